"""A forking server for runs without Ray, and the store that an undisturbed run makes."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.rehearsals import Outcome, Rehearsals
from tests.support.stores import contents
from tests.support.tiny_source import write_tiny_source

CALLS = "openat,write,pwrite64,fsync,close,rename,link,unlink,mkdir,rmdir,symlink,flock,ftruncate"
"""What a run changes the disk with; Python and Arrow make no other such calls on this path."""


@dataclass(frozen=True)
class Stage:
    """Where faults are rehearsed: the server, the *undisturbed* run's calls and what it made."""

    rehearsals: Rehearsals
    folder: Path
    undisturbed: Outcome
    expected: dict[str, str]


@pytest.fixture(scope="session")
def stage(tmp_path_factory, demo_model):
    folder = tmp_path_factory.mktemp("fault")
    write_tiny_source(folder / "source" / "data" / "train.parquet")
    with Rehearsals(folder / "source", demo_model, folder) as rehearsals:
        outcome = rehearsals.run(folder / "undisturbed", CALLS)
        assert outcome.status == 0, outcome.stderr
        yield Stage(rehearsals, folder, outcome, contents(folder / "undisturbed"))

"""Which processes belong to a store's runs. Nothing is ended here but what a test started itself."""

import os
import subprocess
import sys
from contextlib import contextmanager

import pytest

from preprocess.workspace.processes import MARK, belonging, store_mark

MINE, THEIRS = "uuid-1-2", "uuid-1-3"
WAIT = "import sys; file = open(sys.argv[1], sys.argv[2]); print(flush=True); input()"


@contextmanager
def process(mark, path=os.devnull, mode="r"):
    """The id of a process with *mark* in its environment that has *path* open."""
    command = [sys.executable, "-c", WAIT, str(path), mode]
    environment = {name: value for name, value in os.environ.items() if name != MARK} | ({MARK: mark} if mark else {})
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as started:
        started.stdout.readline()
        try:
            yield started.pid
        finally:
            started.kill()


@pytest.fixture
def ray(tmp_path):
    (tmp_path / "ray").mkdir()
    return tmp_path / "ray"


def found(ray):
    return {process.pid for process in belonging(MINE, ray)}


def test_a_process_with_the_stores_mark_belongs_and_one_with_anothers_does_not(ray):
    with process(MINE) as mine, process(THEIRS) as theirs:
        assert mine in found(ray)
        assert theirs not in found(ray)


def test_who_writes_into_rays_folder_belongs_and_who_reads_there_does_not(ray):
    with process("", ray / "log", "w") as writer, process("", ray / "log") as reader:
        assert writer in found(ray)
        assert reader not in found(ray)


def test_this_process_never_belongs(ray):
    with (ray / "log").open("w"):
        assert os.getpid() not in found(ray)


def test_a_copied_store_has_a_mark_of_its_own(tmp_path):
    (tmp_path / "copy").mkdir()
    assert store_mark(tmp_path, "uuid") != store_mark(tmp_path / "copy", "uuid")

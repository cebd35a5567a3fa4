"""Fixtures that many tests share: real German speech and a tiny model, made once for all processes of a session."""

import os
import signal
from pathlib import Path

import pytest

from preprocess.demo.corpus import build_corpus
from preprocess.demo.model import build_model
from preprocess.planning.sample import sample_rows

# Two test processes have a core each: threads that outnumber cores wait for each other, and work at it. Libraries look
# when they are imported, here and in the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol():
    """Each test finds signals as a process has them: commands run in this one take them, and a suite in the background
    was told to ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    return (yield)


@pytest.fixture(scope="session", autouse=True)
def shared_folder(tmp_path_factory) -> Path:
    """One folder of this session for all test processes, which may make the same in it at the same time."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    folder.mkdir(exist_ok=True)
    os.environ["TESTS_SHARED_FOLDER"] = str(folder)
    return folder


@pytest.fixture
def quick_plans(monkeypatch):
    """Plans take their sample in this process; tests/unit/planning/test_sample.py shows that another takes the same.

    A few rows are several shards, as most tests need them; tests/unit/planning/test_job.py is about the rule.
    """
    monkeypatch.setattr("preprocess.planning.job.sample_apart", sample_rows)
    monkeypatch.setattr("preprocess.planning.job.LEAST_SHARD_BYTES", 1)


@pytest.fixture(scope="session")
def demo_cache(shared_folder) -> Path:
    """The cache of every `make demo`: an hour of speech is spoken once, by the first that needs it."""
    folder = shared_folder / "demo-cache"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def demo_corpus(shared_folder) -> Path:
    """A data set in the Hub's Parquet layout: 48 train and 12 test clips, some of them too long for Whisper."""
    folder = shared_folder / "demo" / "corpus"
    build_corpus(folder, train_clips=48, test_clips=12)
    return folder


@pytest.fixture(scope="session")
def demo_model(shared_folder) -> Path:
    """A tiny Whisper model's folder with 80 mel bins and the real special tokens."""
    folder = shared_folder / "demo" / "model"
    build_model(folder)
    return folder


@pytest.fixture(scope="module")
def one_thread():
    """Computes with one thread, as every process of the project does."""
    import torch  # noqa: PLC0415 - two seconds that most tests need not pay

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)

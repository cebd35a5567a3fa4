"""A container's user has a number and no name, and a home that nobody can write to: a run and a training do without."""

import os
import subprocess
import sys

import pytest

from tests.support.runs import REPOSITORY
from tests.support.samples import wav, write_source
from tests.support.training import tiny_model
from trainer.checkpoints.checkpoint import latest

AS_NOBODY = ["unshare", "--user", "--map-user=64999", "--map-group=64999"]
"""As any user: in a namespace of its own this number is nobody's."""
RUN = """
import sys, pytest
from tests.support.inline_run import run_inline
sys.exit(run_inline(pytest.MonkeyPatch(), *sys.argv[1:]))
"""


@pytest.fixture
def as_nobody(tmp_path):
    names = (
        "HOME",
        "USER",
        "LOGNAME",
        "LNAME",
        "USERNAME",
        "HF_HOME",
        "XDG_CACHE_HOME",
        "MPLCONFIGDIR",
        "NUMBA_CACHE_DIR",
    )
    clean = {name: value for name, value in os.environ.items() if name not in names}
    environment = clean | {"HOME": "/proc/nowhere", "PYTHONPATH": str(REPOSITORY), "CUDA_VISIBLE_DEVICES": ""}

    def run(*words):
        command = [*AS_NOBODY, sys.executable, *map(str, words)]
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout

    return run


def test_its_number_has_no_name_and_its_home_takes_nothing(as_nobody):
    look = "import os, pwd; print(os.getuid(), [one for one in pwd.getpwall() if one.pw_uid == os.getuid()])"
    assert as_nobody("-c", look).split() == ["64999", "[]"]
    assert as_nobody("-c", "import os; print(os.access(os.path.dirname(os.environ['HOME']), os.W_OK))") == "False\n"


def test_a_run_and_a_training_need_neither_name_nor_home(as_nobody, tmp_path):
    model = tiny_model(tmp_path / "model")
    rows = [(wav(3_200 + 160 * number, seed=number), f"{number}.wav", f"Satz {number}") for number in range(4)]
    source = write_source(tmp_path / "source" / "train.parquet", rows).parent
    as_nobody("-c", RUN, "--source", source, "--model", model, "--store", "store", "--base-dir", tmp_path)
    options = ["--max-steps", "1", "--global-batch-size", "2", "--frame-budget", "400", "--full-context-share", "0"]
    options += ["--eval-split", "train", "--eval-rows", "2", "--eval-padding", "own", "--warmup-steps", "0"]
    as_nobody("-m", "trainer.train", "--store", "store", "--model", model, "--output", "out", *options)
    assert latest(tmp_path / "out") is not None

"""Words' times are looked at, and a process that ends is told with how it ended."""

import os
import signal

import pytest

from trainer.gate import apart
from trainer.gate.apart import ExportApart
from trainer.gate.realtimestt import WholeCall


def _served_and_gone(connection, *_):
    connection.send("float32")
    connection.recv()
    os.kill(os.getpid(), signal.SIGSEGV)


def test_a_process_that_ends_is_an_error_with_the_signal(monkeypatch, tmp_path):
    monkeypatch.setattr(apart, "_serve", _served_and_gone)
    with ExportApart(tmp_path, "de", device="cpu", threads=1, max_length=448) as export:
        assert export.computed == "float32"
        for _ in range(2):
            with pytest.raises(RuntimeError, match="faster-whisper ended with SIGSEGV"):
                export.call("hear")


def test_what_cannot_be_loaded_is_an_error_here(tmp_path):
    with pytest.raises(RuntimeError, match=r"model\.bin"):
        ExportApart(tmp_path, "de", device="cpu", threads=1, max_length=448)


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (WholeCall("Hallo.", [("Hallo.", 0.0, 0.5)], 1.0), ""),
        (WholeCall("", [], 1.0), ""),
        (WholeCall("...", [], 1.0), ""),
        (WholeCall("Hallo.", [], 1.0), "without words"),
        (WholeCall("Hallo.", [("Hallo.", 0.5, 0.4)], 1.0), "from 0.5 to 0.4 s"),
        (WholeCall("Hallo.", [("Hallo.", -0.1, 0.4)], 1.0), "from -0.1 to 0.4 s"),
        (WholeCall("Hallo.", [("Hallo.", 0.0, float("nan"))], 1.0), "nan"),
    ],
)
def test_words_last_from_a_moment_to_a_later_one(call, problem):
    assert problem in call.problem
    assert bool(call.problem) is bool(problem)

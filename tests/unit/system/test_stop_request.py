"""The first signal asks for the end, the second one is it."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from multiprocessing import resource_tracker

import pytest

from shared.errors import InterruptedRunError
from shared.system.stop_request import StopRequest, deaf_children

ASKED = """
import signal, sys
from shared.system.stop_request import StopRequest
with StopRequest(signal.SIGUSR1) as stop:
    for name in sys.argv[1:]:
        signal.raise_signal(signal.Signals[name])
        print(name, stop.requested, flush=True)
"""


def ask(*names):
    done = subprocess.run([sys.executable, "-c", ASKED, *names], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.split("\n")[:-1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_a_request_and_afterwards_signals_are_what_they_were(number):
    before = signal.getsignal(number)
    with StopRequest() as stop:
        stop.check()
        os.kill(os.getpid(), number)
        assert stop.requested
        assert stop()
        with pytest.raises(InterruptedRunError, match="the same command goes on"):
            stop.check()
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("names", [("SIGINT", "SIGINT"), ("SIGTERM", "SIGINT"), ("SIGUSR1", "SIGTERM")])
def test_a_second_signal_ends_the_process_at_once(names):
    assert ask(*names) == (130, [f"{names[0]} True"])


def test_a_patient_signal_asks_however_often():
    assert ask("SIGTERM", "SIGUSR1", "SIGUSR1") == (0, ["SIGTERM True", "SIGUSR1 True", "SIGUSR1 True"])


def test_the_first_request_is_acknowledged_at_once_whatever_it_interrupts():
    """A line that is being written is held by its stream: another thread waits for it, the handler could not."""
    said, told = [], threading.Event()

    def tell():
        said.append("a stop was asked for")
        told.set()

    with StopRequest(signal.SIGTERM, tell=tell) as stop:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
        assert told.wait(10)
        assert stop.requested
    assert said == ["a stop was asked for"]


@pytest.mark.parametrize("tracked", [False, True])
def test_a_child_that_starts_hears_no_ctrl_c_and_we_do(monkeypatch, tracked):
    if not tracked:
        # As in a process that starts its first child: the tracker that comes with it opens the mask.
        monkeypatch.setattr(resource_tracker._resource_tracker, "_fd", None)
    child = multiprocessing.get_context("spawn").Process(target=signal.raise_signal, args=(signal.SIGINT,))
    with deaf_children():
        child.start()
    child.join()
    assert child.exitcode == 0
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)

"""kill -9 in the middle of a run, and the same command again: the undisturbed store, and nothing left behind.

`make kills` does this at random moments (campaign.py beside this file).
"""

import signal
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest

from tests.support.runs import kill, left_behind
from tests.support.stores import differences


@pytest.fixture
def short_folder():
    """A folder whose path leaves room for Ray's sockets; pytest's own never do."""
    with TemporaryDirectory(prefix="s", dir="/tmp") as folder:
        yield Path(folder)


def at_work(run):
    assert run.until(run.committed), run.messages()
    return run


def check(run, straight):
    assert run.wait() == 0, run.messages()
    assert differences(run.store, straight.expected) == []
    assert left_behind(run.store) == []


def test_two_actors_that_are_killed_are_started_again_within_the_run(start, straight):
    run = at_work(start(actors=3))
    for actor in run.actors()[:2]:
        kill(actor)
    check(run, straight)
    assert "died and is started again" in run.stdout.read_text()


def test_ray_is_started_again_within_the_run_when_processes_of_its_own_die(start, straight):
    run = at_work(start())
    first = run.named("raylet")
    kill(run.named("gcs_server")[0])
    assert run.until(lambda: set(run.named("raylet")) - set(first) and run.actors()), run.messages()
    # Told to end, it takes leave of everyone; killed, it says nothing.
    run.named("raylet")[-1].terminate()
    check(run, straight)
    assert "starting Ray again" in run.stdout.read_text()


def test_a_second_run_refuses_a_live_store_and_takes_over_from_a_killed_driver_and_ends_its_orphans(
    start, straight, short_folder
):
    run = at_work(start(store=short_folder / "store"))
    run.process.send_signal(signal.SIGSTOP)
    second = start(store=run.store)
    assert second.wait() == 1
    assert f"process {run.process.pid}" in second.messages()
    run.process.kill()
    run.wait()
    orphans = run.processes()
    check(start(store=run.store), straight)
    assert [orphan for orphan in orphans if orphan.is_running() and orphan.status() != psutil.STATUS_ZOMBIE] == []


def test_a_signal_ends_a_run_within_ten_seconds_and_two_signals_at_once_and_the_same_command_goes_on(start, straight):
    run = at_work(start())
    run.signal_group(signal.SIGTERM)
    # Ten seconds, and as many again where another test's run takes the cores.
    assert run.wait(20) == 130, run.messages()
    assert left_behind(run.store) == []
    done = run.committed()
    again = start(store=run.store)
    assert again.until(lambda: again.committed() > done), again.messages()
    # Two of the same kind would be one to the kernel.
    again.process.send_signal(signal.SIGINT)
    again.process.send_signal(signal.SIGTERM)
    assert again.wait(3) == 130, again.messages()
    check(start(store=run.store), straight)
    assert "Traceback" not in run.messages() + again.messages()

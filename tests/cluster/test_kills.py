"""kill -9 in the middle of a run, and the same command again: the undisturbed store, and nothing left behind.

`make kills` does this at random moments (campaign.py beside this file).
"""

import signal

import psutil
import pytest

from tests.support.runs import kill, left_behind
from tests.support.stores import differences


def at_work(run):
    assert run.until(run.committed), run.messages()
    return run


def check(run, straight):
    assert run.wait() == 0, run.messages()
    assert differences(run.store, straight.expected) == []
    assert left_behind(run.store) == []


def test_two_actors_that_are_killed_are_started_again_within_the_run(start, straight):
    run = at_work(start())
    for actor in run.actors()[:2]:
        kill(actor)
    check(run, straight)
    assert "died and is started again" in run.stdout.read_text()


@pytest.mark.parametrize("victim", ["raylet", "gcs_server"])
def test_ray_is_started_again_within_the_run_when_a_process_of_its_own_dies(start, straight, victim):
    run = at_work(start())
    kill(run.named(victim)[0])
    check(run, straight)


def test_a_killed_driver_leaves_a_store_that_the_same_command_finishes_and_orphans_that_it_ends(start, straight):
    run = at_work(start())
    run.process.kill()
    run.wait()
    orphans = run.processes()
    again = start(store=run.store)
    check(again, straight)
    assert [orphan for orphan in orphans if orphan.is_running() and orphan.status() != psutil.STATUS_ZOMBIE] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_terminals_signal_ends_the_run_within_ten_seconds_with_130_and_the_same_command_goes_on(
    start, straight, number
):
    run = at_work(start())
    run.signal_group(number)
    assert run.wait(10) == 130
    assert "Traceback" not in run.messages()
    assert left_behind(run.store) == []
    done = run.committed()
    assert done > 0
    again = start(store=run.store)
    check(again, straight)


def test_a_second_signal_ends_the_run_at_once(start):
    run = at_work(start())
    run.process.send_signal(signal.SIGINT)
    run.process.send_signal(signal.SIGTERM)
    assert run.wait(3) == 130


def test_a_second_run_on_a_live_store_refuses_and_names_the_process(start):
    run = at_work(start())
    second = start(store=run.store)
    assert second.wait() == 1
    assert f"process {run.process.pid}" in second.messages()
    assert run.process.poll() is None

"""Memory budgets that hold in whole runs: in a cgroup beside a hog, and against a budget of the run's own."""

import json
import time
import uuid

import psutil
import pytest

from tests.support.memory_group import Hog, MemoryGroup
from tests.support.stores import differences

MB = 1 << 20
LIMIT_BYTES = 1_600 * MB
"""Enough for Ray, the driver and four actors."""
RAM_BUDGET_BYTES = 1_000 * MB
"""Enough for one or two."""


@pytest.fixture
def group():
    with MemoryGroup(f"speech-prep-test-{uuid.uuid4().hex[:8]}", LIMIT_BYTES) as group:
        yield group


@pytest.fixture
def hog(group):
    with Hog(group) as hog:
        yield hog


def said(run, words):
    return words in run.stdout.read_text()


def test_work_pauses_while_a_hog_holds_the_memory_and_goes_on_when_it_gives_it_back(start, straight, group, hog):
    run = start(prefix=group.enter, actors=5)
    assert run.until(run.committed), run.messages()
    with run.held():
        hog.fill_to(0.85)
    assert run.until(lambda: said(run, "level pause")), run.stdout.read_text()
    hog.hold(0)
    assert run.wait() == 0, run.messages()
    assert differences(run.store, straight.expected) == []
    assert group.oom_kills == 0
    assert group.most_bytes <= LIMIT_BYTES


def test_at_the_last_level_the_actors_go_before_the_kernel_kills_and_the_same_command_goes_on_with_as_many_as_fit(
    start, straight, group, hog
):
    run = start(prefix=group.enter, actors=5)
    assert run.until(run.committed), run.messages()
    # One that is still starting would take more than the hog leaves, and nobody would hear the watchdog meanwhile.
    with run.held(everyone=True):
        hog.fill_to(0.96)
    assert run.wait() == 3, run.stdout.read_text()
    assert "memory is short" in run.messages()
    assert f"(process {hog.pid}) holds" in run.messages()
    assert "the same command goes on" in run.messages()
    assert group.oom_kills == 0
    hog.hold(0)
    again = start(prefix=group.enter, actors=5)
    assert again.wait() == 0, again.messages()
    assert differences(run.store, straight.expected) == []
    # It starts with as many actors as there is room for.
    assert 1 <= most_actors(again) < 5
    assert "level emergency" not in again.stdout.read_text()
    assert group.oom_kills == 0


def test_all_processes_of_a_run_together_keep_to_its_memory_budget(start, straight):
    run = start("--ram-budget", f"{RAM_BUDGET_BYTES}", actors=5)
    most = 0
    while run.process.poll() is None:
        most = max(most, proportional_bytes([psutil.Process(run.process.pid), *run.processes()]))
        time.sleep(0.3)
    assert run.process.returncode == 0, run.messages()
    assert 0 < most <= RAM_BUDGET_BYTES
    assert differences(run.store, straight.expected) == []


def proportional_bytes(processes):
    """Their PSS: shared pages count once."""
    total = 0
    for process in processes:
        try:
            total += process.memory_full_info().pss
        except psutil.Error:
            continue
    return total


def most_actors(run):
    """The most actors that the run's lines of JSON ever showed."""
    return max(map(len, shown(run)))


def shown(run):
    """The actors of each line of JSON."""
    lines = [json.loads(line) for line in run.stdout.read_text().splitlines() if line.startswith('{"elapsed')]
    return [line["actors"] for line in lines if "actors" in line]

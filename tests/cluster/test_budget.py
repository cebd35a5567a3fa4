"""Disk budgets that hold in whole runs, and work that goes on when there is room again."""

from tests.support.sampler import Sampler
from tests.support.stores import differences

BUDGET_BYTES = 17_000_000
"""More than Ray's scratch is granted (12 MB), less than that and the store."""


def test_a_forced_run_never_passes_its_budget_and_the_same_command_goes_on_with_more(start, straight):
    run = start("--disk-budget", str(BUDGET_BYTES), "--force", "--stall-timeout", "3")
    with Sampler(run.store) as sampler:
        assert run.wait() == 3, run.messages()
    assert "disk budget" in run.messages()
    assert "the same command goes on" in run.messages()
    assert 0 < run.committed() < len([name for name in straight.expected if name.startswith("data/")])
    assert 0 < sampler.most_bytes <= BUDGET_BYTES
    assert start().wait() == 0
    assert differences(run.store, straight.expected) == []


def test_a_budget_that_the_forecast_breaks_is_refused_with_the_figures(start):
    run = start("--disk-budget", "10MB")
    assert run.wait() == 3
    assert "the disk budget is 10.0 MB" in run.messages()
    assert "--disk-budget" in run.messages()
    assert not list(run.store.glob("data/*"))


def test_work_waits_while_somebody_else_holds_the_disk_and_goes_on_when_it_is_given_back(start, straight, small_disk):
    store = small_disk.seen / "store"
    run = start("--disk-reserve", "20MB", prefix=small_disk.enter)
    assert run.until(lambda: list(store.glob("data/*"))), run.messages()
    with run.held():
        small_disk.fill(leave_bytes=15 << 20)
    assert run.until(lambda: "level emergency" in run.stdout.read_text()), run.messages()
    small_disk.free()
    assert run.wait() == 0, run.messages()
    assert differences(store, straight.expected) == []

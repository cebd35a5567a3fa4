"""Disk budgets that hold in whole runs, and what a run says that ends for want of room."""

from tests.support.browser import rendered
from tests.support.sampler import Sampler
from tests.support.stores import differences

BUDGET_BYTES = 17_000_000
"""More than Ray's scratch is granted (12 MB), less than that and the store."""


def test_a_forced_run_never_passes_its_budget_leaves_a_page_that_says_so_and_the_same_command_goes_on_with_more(
    start, straight, tmp_path
):
    run = start("--disk-budget", str(BUDGET_BYTES), "--force", "--stall-timeout", "3", "--report")
    with Sampler(run.store) as sampler:
        assert run.wait() == 3, run.messages()
    assert "disk budget" in run.messages()
    assert "the same command goes on" in run.messages()
    assert 0 < run.committed() < len([name for name in straight.expected if name.startswith("data/")])
    assert 0 < sampler.most_bytes <= BUDGET_BYTES
    document = rendered(f"file://{run.store}/report.html", tmp_path / "profile")
    for words in ("ended early", "disk budget", "preprocess.run"):
        assert words in document
    assert start().wait() == 0
    assert differences(run.store, straight.expected) == []


def test_a_budget_that_the_forecast_breaks_is_refused_with_the_figures(start):
    run = start("--disk-budget", "10MB")
    assert run.wait() == 3
    assert "the disk budget is 10.0 MB" in run.messages()
    assert "--disk-budget" in run.messages()
    assert not list(run.store.glob("data/*"))

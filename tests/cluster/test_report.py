"""The report of real runs, finished or not, in a real browser."""

import pytest

from tests.support.browser import rendered


@pytest.fixture
def report(tmp_path):
    def read(run):
        assert (run.store / "report.html").is_file(), run.stdout.read_text()
        return rendered(f"file://{run.store}/report.html", tmp_path / "profile")

    return read


def test_a_finished_run_leaves_a_page_with_its_figures_charts_and_pictures(start, report):
    run = start("--report")
    assert run.wait() == 0, run.messages()
    document = report(run)
    assert "Store complete" in document
    assert document.count("data:image/png;base64,") == 3
    assert document.count("<svg") >= 4
    for words in ("rows written", "Forecast and outcome", "preprocess.verify"):
        assert words in document
    assert "http://" not in document.replace("http://127.0.0.1", "").replace("http://www.w3.org", "")


def test_a_run_that_ends_for_want_of_room_leaves_a_page_that_says_so_and_keeps_its_exit_status(start, report):
    run = start("--report", "--disk-budget", "17MB", "--force", "--stall-timeout", "3")
    assert run.wait() == 3, run.messages()
    document = report(run)
    assert "ended early" in document
    assert "disk budget" in document
    assert "preprocess.run" in document


def test_a_page_that_cannot_be_written_changes_no_exit_status(start):
    run = start("--report")
    assert run.until((run.store / "data").is_dir), run.messages()
    (run.store / "report.html").mkdir()
    assert run.wait() == 0, run.messages()
    assert "no report: " in run.stdout.read_text()
    assert [path.name for path in run.store.iterdir() if path.name.startswith(".")] == []

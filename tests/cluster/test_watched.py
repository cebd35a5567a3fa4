"""A run that others are in the way of: it works without what it cannot have, and its exit status stays."""

from shared.system.http_server import WebServer
from shared.system.status_pages import Pages, Vitals
from tests.support.stores import differences


def test_a_port_that_another_run_serves_on_and_a_page_that_cannot_be_written_leave_a_run_as_it_is(start, straight):
    with WebServer(Pages(bytes, str, Vitals()), "127.0.0.1", 0) as another:
        run = start("--report", "--metrics", "--metrics-port", str(another.port))
        assert run.until((run.store / "data").is_dir), run.messages()
        (run.store / "report.html").mkdir()
        assert run.wait() == 0, run.messages()
    assert f"no metrics: 127.0.0.1:{another.port}" in run.stdout.read_text()
    assert "no report: " in run.stdout.read_text()
    assert [path.name for path in run.store.iterdir() if path.name.startswith(".")] == []
    (run.store / "report.html").rmdir()
    assert differences(run.store, straight.expected) == []

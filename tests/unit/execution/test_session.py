"""The part of a run that needs actors, and how it ends."""

from contextlib import contextmanager
from io import StringIO

import pytest

from preprocess.execution import session
from preprocess.execution.context import RunContext
from preprocess.execution.run_stats import RunStats
from preprocess.governor.budgets import Budgets
from preprocess.monitoring.views import make_view
from preprocess.planning.job import plan_job
from preprocess.settings import RunSettings
from shared.errors import InterruptedRunError, RayLostError, SourceError
from shared.system.stop_request import StopRequest
from tests.support.samples import wav, write_source

ECHOES = [RayLostError("a process died"), SourceError("a reader died"), BrokenPipeError(32, "Broken pipe")]


pytestmark = pytest.mark.usefixtures("quick_plans")


@pytest.fixture
def run(tmp_path, demo_model):
    write_source(tmp_path / "source" / "train.parquet", [(wav(), "1.wav", "Satz")])
    settings = RunSettings(source=str(tmp_path / "source"), model=str(demo_model), store=tmp_path / "store")
    job, view = plan_job(settings), make_view("plain", title="", stream=StringIO(), is_terminal=False)
    job.layout.partial.mkdir(parents=True)
    return RunContext(job, settings, RunStats.of(job, 0.0), view, StopRequest())


@pytest.fixture
def fails(monkeypatch):
    """Every cluster's loop raises this after doing that."""

    def plant(error, before=lambda: None):
        class Loop:
            def until_done(self):
                before()
                raise error

        @contextmanager
        def loop(*_):
            yield Loop()

        monkeypatch.setattr(session, "_loop", loop)

    return plant


@pytest.mark.parametrize("error", ECHOES)
def test_what_fails_once_a_stop_was_asked_for_is_the_stop(run, fails, error):
    fails(error, before=lambda: setattr(run.stop, "requested", True))
    with pytest.raises(InterruptedRunError):
        session.commit_units(run, Budgets(1, 0))


@pytest.mark.parametrize("error", ECHOES)
def test_what_fails_unasked_is_told_as_it_is(run, fails, error):
    fails(error)
    with pytest.raises(type(error)):
        session.commit_units(run, Budgets(1, 0))

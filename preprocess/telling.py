"""Who is told of a run, and how: view, history, log, metrics and web pages, put together from the settings."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from errno import EADDRINUSE
from uuid import uuid4

from preprocess.audience import Audience
from preprocess.event_log import EventLog
from preprocess.history import History
from preprocess.job import PlannedJob
from preprocess.live import View
from preprocess.metrics import NO_FACTS, RunFacts, RunMetrics
from preprocess.progress import ActorState, Snapshot
from preprocess.settings import RunSettings
from preprocess.status_page import status_page
from preprocess.web import Pages, Vitals, WebServer
from shared.errors import SpeechPrepError


@dataclass(slots=True)
class Told:
    """*audience* is the view that a run talks to; *metrics* and *vitals* are what others ask for."""

    audience: Audience
    metrics: RunMetrics
    vitals: Vitals
    run_id: str
    title: str

    def begin(self, job: PlannedJob, settings: RunSettings) -> None:
        """The plan is made: from now on it is known what the run is about."""
        digest = "+".join(plan.record.digest for plan in job.plans)
        budget = settings.ram_budget or 0
        store = str(job.layout.root)
        self.metrics.facts = RunFacts(self.run_id, store, job.source.uri, digest, time.time(), budget)

    def complete(self) -> None:
        """The store is finished."""
        self.metrics.complete = self.vitals.ready = True

    def update(self, snapshot: Snapshot) -> None:
        """The run loop came round."""
        self.metrics.snapshot = snapshot
        self.vitals.beat()
        self.vitals.ready |= any(actor.state is ActorState.WORKING for actor in snapshot.actors)

    def page(self) -> str:
        """The status page at this moment."""
        return status_page(self.metrics.snapshot, self.title, self.audience.history.events)


@contextmanager
def telling(settings: RunSettings, view: View, title: str) -> Iterator[Told]:
    """Everyone is told inside the block; at its end the metrics file is written and the pages linger as asked for."""
    run_id = uuid4().hex[:12]
    audience = Audience(view, History())
    told = Told(audience, RunMetrics(), Vitals(), run_id, title)
    # Until the plan is made this is all that is known.
    told.metrics.facts = replace(NO_FACTS, run_id=run_id, started_at=time.time())
    audience.on_update = (told.update,)
    with ExitStack() as stack:
        log = _open_log(stack, settings, run_id)
        if log is not None:
            audience.on_event = (log.event,)
            log.event("started", title=title)
        if settings.metrics:
            _serve(stack, settings, told)
        try:
            yield told
        except SpeechPrepError as error:
            if log is not None:
                log.event("ended", error=error.message, exit_code=int(error.exit_code))
            raise
        else:
            if log is not None:
                log.event("ended", exit_code=0)
        finally:
            if settings.metrics_file is not None:
                told.metrics.write(settings.metrics_file)
        if settings.metrics:
            time.sleep(settings.metrics_linger)


def _open_log(stack: ExitStack, settings: RunSettings, run_id: str) -> EventLog | None:
    """The log, where a folder for it was named."""
    if settings.log_dir is None and settings.base_dir is None:
        return None
    return stack.enter_context(EventLog(settings.logs, run_id, settings.log_format))


def _serve(stack: ExitStack, settings: RunSettings, told: Told) -> None:
    """Starts the pages; a port that another run uses already costs this one its pages, not its work."""
    pages = Pages(told.metrics.text, told.page, told.vitals)
    try:
        server = stack.enter_context(WebServer(pages, settings.metrics_host, settings.metrics_port))
    except OSError as error:
        if error.errno != EADDRINUSE:
            raise
        where = f"{settings.metrics_host}:{settings.metrics_port}"
        told.audience.event(f"no metrics: {where} is in use; --metrics-port names another")
    else:
        told.audience.event(f"status page and metrics at {server.url}")

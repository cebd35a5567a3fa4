"""Who hears of a run, decided here alone: the person's view, the report's history, log, metrics and web pages."""

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import TYPE_CHECKING, Self
from uuid import uuid4

from preprocess.monitoring.event_log import EventLog
from preprocess.monitoring.history import History
from preprocess.monitoring.prometheus import NO_FACTS, RunMetrics
from preprocess.monitoring.snapshot import ActorState, Snapshot
from preprocess.monitoring.status_page import status_page
from preprocess.monitoring.views import NoView, View, is_live, make_view
from preprocess.phases import Phase
from preprocess.settings import RunSettings
from shared.command.ending import Ending, ending_of
from shared.command.terminal import complain
from shared.errors import ExitCode
from shared.system.http_server import served
from shared.system.library_output import LibraryOutput
from shared.system.status_pages import Pages, Vitals

if TYPE_CHECKING:
    from preprocess.planning.planned_job import PlannedJob


@dataclass(slots=True)
class Broadcast:
    """A `View` that passes everything on to everyone; *metrics*, *vitals* and the page are there to be asked for.

    *ending* is that of a run that raises nothing. *for_people* is False where all that is printed are lines of JSON.
    """

    title: str
    view: View
    log: EventLog | None = None
    history: History = field(default_factory=History)
    metrics: RunMetrics = field(default_factory=RunMetrics)
    vitals: Vitals = field(default_factory=Vitals)
    ending: Ending = field(default_factory=Ending)
    for_people: bool = True
    libraries: LibraryOutput = field(default_factory=LibraryOutput)

    def __enter__(self) -> Self:
        self.view.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.history.finish()
        self.view.__exit__(kind, error, traceback)

    def update(self, snapshot: Snapshot) -> None:
        """The run loop came round: *snapshot* goes to everyone."""
        self.hear_libraries()
        if self.log is not None:
            self.log.progress(snapshot)
        self.history.see(snapshot)
        self.metrics.snapshot = snapshot
        self.vitals.beat()
        self.vitals.ready |= any(actor.state is ActorState.WORKING for actor in snapshot.actors)
        self.view.update(snapshot)

    def phase(self, phase: Phase) -> None:
        """*phase* begins, for everyone."""
        self.hear_libraries()
        self.metrics.phase = phase
        self.vitals.beat()
        self.history.say(phase)
        self._log(phase)
        self.view.phase(phase)

    def event(self, message: str) -> None:
        """*message* goes to everyone."""
        self.history.say(message)
        self._log(message)
        self.view.event(message)

    def hear_libraries(self) -> None:
        """What libraries printed is an event where lines are for programs; a screen's reader is told at the end."""
        if not self.for_people:
            for line in self.libraries.lines():
                self.event(f"a library says: {line}")

    def ended(self, ending: Ending) -> None:
        """The run is over."""
        self.view.ended(ending)

    def begin(self, job: "PlannedJob", settings: RunSettings) -> None:
        """The plan is made: from now on it is known what the run is about."""
        self.metrics.facts = replace(
            self.metrics.facts,
            store=str(job.layout.root),
            source=job.source.uri,
            plan_digest="+".join(plan.record.digest for plan in job.plans),
            started_at=time.time(),
            ram_budget_bytes=settings.ram_budget or 0,
        )

    def complete(self) -> None:
        """The store is finished."""
        self.metrics.complete = self.vitals.ready = True

    def page(self) -> str:
        """The status page at this moment."""
        return status_page(self.metrics.snapshot, self.title, self.history.events, self.metrics.phase or "")

    @contextmanager
    def logged(self) -> Iterator[None]:
        """The log has the block's beginning and how it ended."""
        self._log("started", title=self.title)
        try:
            yield
        except BaseException as error:
            ending = ending_of(error) or Ending(int(ExitCode.FAILED), f"a defect: {error!r}")
            self._end(ending)
            raise
        self._end(self.ending)

    def _end(self, ending: Ending) -> None:
        self.hear_libraries()
        words = {"error": ending.error, "remedy": ending.remedy}
        self._log("ended", exit_code=ending.exit_code, **{name: text for name, text in words.items() if text})
        self.ended(ending)

    def _log(self, message: str, **values: object) -> None:
        if self.log is not None:
            self.log.event(message, **values)


def _say_what_libraries_said(output: LibraryOutput) -> None:
    """To stderr, once it is theirs again and no screen is in the way."""
    for line in output.lines():
        complain(line)


@contextmanager
def broadcast(settings: RunSettings, title: str) -> Iterator[Broadcast]:
    """Everyone hears inside the block; at its end the metrics file is written and the pages linger as asked for."""
    stream, live = sys.stdout, is_live(settings.view, sys.stdout, is_terminal=sys.stdout.isatty())
    in_json = settings.log_format == "json" and settings.view != "json" and not live
    view = NoView() if in_json else make_view(settings.view, title=title, stream=stream, is_terminal=stream.isatty())
    # Until the plan is made the run's id is all that is known.
    facts = replace(NO_FACTS, run_id=uuid4().hex[:12], started_at=time.time())
    with ExitStack() as stack:
        everyone = Broadcast(title, view, for_people=settings.view != "json" and not in_json)
        everyone.metrics.facts = facts
        folder = settings.logs if settings.log_dir is not None or settings.base_dir is not None else None
        if folder or in_json:
            log = EventLog(folder, facts.run_id, settings.log_format, stream=stream if in_json else None)
            everyone.log = stack.enter_context(log)
        if live or not everyone.for_people:
            stack.callback(_say_what_libraries_said, everyone.libraries)
            stack.enter_context(everyone.libraries)
        try:
            with everyone.logged():
                if settings.metrics:
                    pages = Pages(everyone.metrics.text, everyone.page, everyone.vitals, settings.metrics_names)
                    stack.enter_context(served(pages, settings.metrics_host, settings.metrics_port, everyone.event))
                yield everyone
        finally:
            if settings.metrics_file is not None:
                everyone.metrics.write(settings.metrics_file)
        if settings.metrics:
            time.sleep(settings.metrics_linger)

"""What a training is seen by from outside: it listens as a sink, and answers over HTTP. On the rank that writes."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from shared.command.settings import PageSettings
from shared.errors import UsageError
from shared.system.exposition import exposition, require_client, write_exposition
from shared.system.http_server import served
from shared.system.status_pages import Pages, Vitals
from trainer.telemetry.health import HealthWarning
from trainer.telemetry.progress_bar import Pace
from trainer.telemetry.records import CheckpointRecord, EvaluationRecord, Phase, StepRecord
from trainer.telemetry.sink import Sink
from trainer.watch.curves import Curves
from trainer.watch.metrics import families
from trainer.watch.moment import Moment, RunFacts
from trainer.watch.page import EVENTS_SHOWN, status_page

SILENT_SECONDS = 1_800.0
"""A training that took no step and evaluated no clips for so long is not alive; ranks wait as long for each other."""
_BEATING = (Phase.TRAINING, Phase.EVALUATING)
_POLL_SECONDS = 0.1


@dataclass(slots=True)
class Watch(Sink):
    """Remembers what it is told, for pages that are made when they are asked for. *now* is Unix time."""

    facts: RunFacts
    now: Callable[[], float] = time.time
    moment: Moment = field(default_factory=Moment)
    curves: Curves = field(default_factory=Curves)
    vitals: Vitals = field(default_factory=lambda: Vitals(silent_seconds=SILENT_SECONDS))
    said: deque[tuple[float, str]] = field(default_factory=lambda: deque(maxlen=EVENTS_SHOWN))
    _pace: Pace = field(default_factory=lambda: Pace(0))

    def begin(self, step: int, max_steps: int, best: tuple[float | None, int | None], history: dict[str, Any]) -> None:
        """The plan is known: *step* of *max_steps* are done, by runs whose figures are *history*."""
        self._pace = Pace(max_steps)
        self.curves.go_on(history)
        self._see(first_step=step, step=step, recorded_step=step, max_steps=max_steps)
        self._see(best_wer=best[0], best_step=best[1])

    def phase(self, phase: Phase, done: int = 0, total: int = 0) -> None:
        """It is alive, and for as long as it takes where the phase has no beats."""
        self._see(phase=phase, done=done, total=total)
        if phase in _BEATING:
            self.vitals.beat()
        else:
            self.vitals.rest()

    def progress(self, step: int) -> None:
        """It is alive, and ready."""
        now = self.now()
        left = self._pace.after(step, datetime.fromtimestamp(now, UTC))
        self._see(step=step, last_step_at=now, seconds_left=left)
        self.vitals.beat()
        self.vitals.ready = True

    def step(self, record: StepRecord) -> None:
        """New figures, and points of the curves."""
        seen = self.moment
        seconds = record.seconds_per_step * (record.step - seen.recorded_step)
        self.curves.step(record)
        self._see(
            record=record,
            recorded_step=record.step,
            skipped=seen.skipped + record.skipped_steps,
            samples=seen.samples + record.samples_per_second * seconds,
            audio_seconds=seen.audio_seconds + record.audio_seconds_per_second * seconds,
        )

    def evaluated(self, record: EvaluationRecord, *, best: bool) -> None:
        """New rates."""
        self.curves.evaluated(record)
        self._see(evaluations={**self.moment.evaluations, record.padding: record})
        if best:
            self._see(best_wer=record.overall["raw"].wer, best_step=record.step)

    def found(self, record: CheckpointRecord) -> None:
        """The checkpoint that the training goes on from."""
        self._see(checkpoint=record)

    def saved(self, record: CheckpointRecord) -> None:
        """A new last checkpoint."""
        self._see(checkpoint=record, checkpoints=self.moment.checkpoints + 1)

    def save_failed(self, text: str) -> None:
        """Counted, and an event."""
        self._see(failures=self.moment.failures + 1)
        self.event(text)

    def event(self, text: str) -> None:
        """One line of the page."""
        self.said.append((self.now(), text))

    def warn(self, warning: HealthWarning) -> None:
        """Counted, and an event."""
        counts = self.moment.warnings
        self._see(warnings={**counts, warning.kind: counts.get(warning.kind, 0) + 1})
        self.event(f"warning: {warning.message} -> {warning.remedy}")

    def metrics(self) -> bytes:
        """What a scrape is answered."""
        return exposition(families(self.facts, self.moment))

    def page(self) -> str:
        """The status page at this moment."""
        return status_page(self.facts, self.moment, dict(self.curves.points), list(self.said), self.now())

    def write(self, path: Path) -> None:
        """A file for node_exporter's textfile collector. Raises OSError."""
        write_exposition(path, families(self.facts, self.moment))

    def _see(self, **changes: Any) -> None:
        """Another one in one go: whoever reads the old one goes on with it."""
        self.moment = replace(self.moment, **changes)


@contextmanager
def watched(
    settings: PageSettings, facts: RunFacts, tell: Callable[[str], None], stop: Callable[[], bool]
) -> Iterator[Watch]:
    """Pages are served inside the block, and after it for as long as was asked for, unless *stop*.

    Raises UsageError where the address cannot be used, or the metrics file not be made.
    """
    watch = Watch(facts)
    with ExitStack() as stack:
        if settings.metrics_file is not None:
            _try_file(watch, settings.metrics_file)
        if settings.metrics:
            _tell_of_client(tell)
            pages = Pages(watch.metrics, watch.page, watch.vitals, settings.metrics_names)
            stack.enter_context(served(pages, settings.metrics_host, settings.metrics_port, tell))
        try:
            yield watch
        finally:
            if settings.metrics_file is not None:
                _last_file(watch, settings.metrics_file, tell)
        if settings.metrics:
            _linger(settings.metrics_linger, stop)


def new_facts(model: str, store: str, output: Path) -> RunFacts:
    """Of a run that begins now."""
    return RunFacts(uuid4().hex[:12], model, store, str(output), time.time())


def _try_file(watch: Watch, path: Path) -> None:
    """Now, and not after days of training."""
    try:
        watch.write(path)
    except OSError as error:
        message = f"--metrics-file {path} cannot be written: {error.strerror or error}"
        raise UsageError(message, "name a file in a folder that is there") from error


def _last_file(watch: Watch, path: Path, tell: Callable[[str], None]) -> None:
    """What shows a training decides nothing about it."""
    try:
        watch.write(path)
    except OSError as error:
        tell(f"no metrics file: {error}")


def _tell_of_client(tell: Callable[[str], None]) -> None:
    try:
        require_client()
    except UsageError as error:
        tell(f"no /metrics: {error.message}; {error.remedy}")


def _linger(seconds: float, stop: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while not stop() and time.monotonic() < until:
        time.sleep(_POLL_SECONDS)

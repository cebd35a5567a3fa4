"""A training's news, told to everyone who was asked for: files, screen, TensorBoard, wandb."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console

from trainer.telemetry.health import HealthWarning
from trainer.telemetry.log_files import BestWer, Clock, MetricsFile, TrainingLog
from trainer.telemetry.progress_bar import ProgressBar
from trainer.telemetry.records import CheckpointRecord, EvaluationRecord, Phase, StepRecord
from trainer.telemetry.sink import Sink
from trainer.telemetry.tensorboard import TensorBoardWriter
from trainer.telemetry.wandb import WandbWriter

_Call = Callable[[Sink], None]


def _utc_now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


class Telemetry:
    """Tells every sink the same, in the same order; without sinks, as on ranks other than 0, it tells nobody.

    A sink that raises OSError (a full disk, a closed pipe) is given up and the others are told so: what shows a
    training must not end it. Any other error is a bug and goes up. A context manager: leaving it closes every sink, the
    first last, and an exception that leaves it is an event; not on the screen, where whoever catches it shows it.
    """

    def __init__(self, sinks: Iterable[Sink] = ()) -> None:
        self._sinks = list(sinks)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is not None:
                text = f"training was ended by {type(error).__name__}: {error}"
                self._tell(lambda sink: None if isinstance(sink, ProgressBar) else sink.event(text))
        finally:
            self.close()

    def progress(self, step: int) -> None:
        """*step* is done."""
        self._tell(lambda sink: sink.progress(step))

    def phase(self, phase: Phase, done: int = 0, total: int = 0) -> None:
        """The training is at *phase* from now on, at clip *done* of *total* where they are counted."""
        self._tell(lambda sink: sink.phase(phase, done, total))

    def saved(self, record: CheckpointRecord) -> None:
        """A checkpoint was written."""
        self._tell(lambda sink: sink.saved(record))

    def save_failed(self, text: str) -> None:
        """A checkpoint could not be written."""
        self._tell(lambda sink: sink.save_failed(text))

    def step(self, record: StepRecord) -> None:
        """The steps since the last record are done."""
        self._tell(lambda sink: sink.step(record))

    def evaluated(self, record: EvaluationRecord, *, best: bool) -> None:
        """The model was evaluated; *best* says that no evaluation before was better."""
        self._tell(lambda sink: sink.evaluated(record, best=best))

    def event(self, text: str) -> None:
        """Something happened, in words."""
        self._tell(lambda sink: sink.event(text))

    def warn(self, warning: HealthWarning) -> None:
        """Something is wrong."""
        self._tell(lambda sink: sink.warn(warning))

    def close(self) -> None:
        """Closes every sink, whatever one of them raises; a second call does nothing."""
        with ExitStack() as stack:
            for sink in self._sinks:
                stack.callback(self._close, sink)

    def _close(self, sink: Sink) -> None:
        if sink not in self._sinks:
            return
        self._sinks.remove(sink)
        try:
            sink.close()
        except OSError as error:
            self._tell_of(sink, error)

    def _tell(self, call: _Call) -> None:
        for sink in tuple(self._sinks):
            # One that fails has the others told at once, which may have cost this one its place.
            if sink in self._sinks:
                self._try(sink, call)

    def _try(self, sink: Sink, call: _Call) -> None:
        try:
            call(sink)
        except OSError as error:
            self._give_up(sink, error)

    def _give_up(self, sink: Sink, error: OSError) -> None:
        self._sinks.remove(sink)
        # What it still holds back meets the same trouble.
        with suppress(OSError):
            sink.close()
        self._tell_of(sink, error)

    def _tell_of(self, sink: Sink, error: OSError) -> None:
        self.event(f"{type(sink).__name__} is given up, training goes on: {error}")


def open_telemetry(
    *,
    log_dir: Path,
    run: Path,
    report_to: tuple[str, ...],
    resumed_step: int | None,
    max_steps: int,
    console: Console,
    clock: Clock = _utc_now,
    watch: Sink | None = None,
) -> Telemetry:
    """The telemetry of rank 0: log files in *log_dir*, progress on *console*, and what *report_to* names.

    *run* is the output folder: log files of another one are put aside. *report_to* has `tensorboard` and `wandb`;
    anything else names nothing. *watch* is told, too, and closed. *resumed_step* is the checkpoint's step,
    None for a new training. *clock* says the time in UTC. Raises UsageError where wandb does not start or an older
    `metrics.json` cannot be read, and OSError where *log_dir* cannot be written.
    """
    log_dir.mkdir(parents=True, exist_ok=True)
    # Log and screen are closed last, so that they can tell what befell the others.
    makers: list[Callable[[], Sink]] = [
        lambda: TrainingLog(log_dir, max_steps, clock),
        lambda: ProgressBar(console, max_steps, clock, resumed_step or 0),
        lambda: MetricsFile(log_dir, run, resumed_step, clock),
        lambda: BestWer(log_dir, run, resumed_step, clock),
    ]
    if watch is not None:
        makers.append(lambda: watch)
    if "tensorboard" in report_to:
        makers.append(lambda: TensorBoardWriter(log_dir, run, resumed_step))
    if "wandb" in report_to:
        makers.append(lambda: WandbWriter(log_dir, run, resumed_step))
    telemetry = Telemetry(_make_all(makers))
    telemetry.event("a new training begins" if resumed_step is None else f"training goes on after step {resumed_step}")
    return telemetry


def _make_all(makers: Iterable[Callable[[], Sink]]) -> list[Sink]:
    """All sinks, or an error and none left open."""
    with ExitStack() as stack:
        sinks = []
        for make in makers:
            sinks.append(make())
            stack.callback(sinks[-1].close)
        stack.pop_all()
    return sinks

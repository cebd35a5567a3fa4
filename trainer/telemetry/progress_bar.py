"""How far a training is, on the screen: a live bar on a terminal, otherwise one plain line a record."""

from collections.abc import Iterable
from datetime import datetime

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from shared.text import one_line
from shared.units import format_count, format_rate, format_seconds
from trainer.telemetry.health import HealthWarning
from trainer.telemetry.log_files import Clock
from trainer.telemetry.record_lines import evaluation_line, loss_word, padding_words, step_line, wer_words
from trainer.telemetry.records import EvaluationRecord, StepRecord
from trainer.telemetry.sink import Sink

_REFRESHES_PER_SECOND = 2


class Pace:
    """How long the rest takes, evaluations and checkpoints included, from the time since the first record."""

    def __init__(self, max_steps: int) -> None:
        self._max_steps = max_steps
        self._first: tuple[int, datetime] | None = None

    def seconds_left(self, record: StepRecord, now: datetime) -> float:
        """Seconds from *now*, after *record*, to the last step; never negative."""
        if self._first is None:
            self._first = (record.step, now)
        first_step, begin = self._first
        done, left = record.step - first_step, max(0, self._max_steps - record.step)
        # One record alone has no time between; its own steps stand for it.
        return left * (max(0.0, (now - begin).total_seconds()) / done if done > 0 else record.seconds_per_step)


class ProgressBar(Sink):
    """Shows steps, clips/s, ETA, loss and the last WER with its normalisers' names.

    Made on rank 0 only. On a terminal the bar is live from the start, and events, warnings and evaluations scroll above
    it; the cursor stays visible, because after kill -9 nobody would give it back.
    """

    def __init__(self, console: Console, max_steps: int, clock: Clock, resumed_step: int = 0) -> None:
        self._console, self._max_steps, self._clock = console, max_steps, clock
        self._pace = Pace(max_steps)
        self._wer = ""
        self._bar = _Bar(console, max_steps, resumed_step) if _is_live(console) else None
        if self._bar is not None:
            self._bar.start()
            console.show_cursor()

    def step(self, record: StepRecord) -> None:
        """Moves the bar, or prints a line."""
        eta = format_seconds(self._pace.seconds_left(record, self._clock()))
        if self._bar is not None:
            rate = f"{format_rate(record.samples_per_second)} clips/s"
            self._bar.show(record.step, f"{rate}, ETA {eta}, {loss_word(record.loss)}")
            return
        self._print(", ".join(part for part in (step_line(record, self._max_steps), f"ETA {eta}", self._wer) if part))

    def evaluated(self, record: EvaluationRecord, *, best: bool) -> None:
        """Prints a line; the rates stay in view from now on."""
        self._wer = f"{wer_words(record.overall)}{padding_words(record)} (step {format_count(record.step)})"
        if self._bar is not None:
            self._bar.note = self._wer
        self._print(evaluation_line(record, best=best))

    def event(self, text: str) -> None:
        """Prints a line."""
        self._print(one_line(text))

    def warn(self, warning: HealthWarning) -> None:
        """Prints the message and, below it, the remedy."""
        self._print(f"warning: {one_line(warning.message)}", "yellow")
        self._print(f"  -> {one_line(warning.remedy)}", "yellow")

    def close(self) -> None:
        """Leaves the last state on the screen."""
        if self._bar is not None:
            self._bar.stop()

    def _print(self, text: str, style: str = "") -> None:
        # A screen in an old encoding must not end a training over one umlaut in a folder's name.
        shown = text.encode(self._console.encoding, "backslashreplace").decode(self._console.encoding)
        # A style for the print itself would colour the bar as well.
        self._console.print(Text(shown, style), soft_wrap=True)


class _Bar(Progress):
    """Rich's progress display with a line of text below the bar, none while *note* is empty."""

    note = ""

    def __init__(self, console: Console, max_steps: int, resumed_step: int) -> None:
        super().__init__(
            TextColumn("step {task.description}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[figures]}", markup=False),
            TimeElapsedColumn(),
            console=console,
            refresh_per_second=_REFRESHES_PER_SECOND,
            expand=True,
        )
        self._max_steps = max_steps
        steps = self._steps(resumed_step)
        self._steps_task = self.add_task(steps, total=max_steps, completed=resumed_step, figures="")

    def show(self, step: int, figures: str) -> None:
        self.update(self._steps_task, completed=step, description=self._steps(step), figures=figures)

    def get_renderables(self) -> Iterable[RenderableType]:
        """The bars, with the note below them."""
        yield self.make_tasks_table(self.tasks)
        if self.note:
            yield Text(self.note, no_wrap=True, overflow="ellipsis")

    def _steps(self, step: int) -> str:
        return f"{format_count(step)}/{format_count(self._max_steps)}"


def _is_live(console: Console) -> bool:
    return console.is_terminal and not console.is_dumb_terminal and console.encoding.startswith("utf")

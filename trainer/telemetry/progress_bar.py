"""How far a training is, on the screen: a live bar on a terminal, otherwise one plain line a record."""

from collections.abc import Iterable
from datetime import datetime

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from shared.text import one_line
from shared.units import format_count, format_counted, format_rate, format_seconds
from trainer.telemetry.health import HealthWarning
from trainer.telemetry.log_files import Clock
from trainer.telemetry.record_lines import evaluation_line, loss_word, padding_words, step_line, wer_words
from trainer.telemetry.records import EvaluationRecord, Phase, StepRecord
from trainer.telemetry.sink import Sink

_REFRESHES_PER_SECOND = 2
_WIDE = 80
"""Columns from which a bar has room between what it counts and its figures."""
_NAMED = (Phase.EVALUATING, Phase.SAVING, Phase.UPLOADING)
"""What is shown below the steps while it goes on."""


class Pace:
    """How long the rest takes, evaluations and checkpoints included, from the time since the first step."""

    def __init__(self, max_steps: int) -> None:
        self._max_steps = max_steps
        self._first: tuple[int, datetime] | None = None

    def seconds_left(self, record: StepRecord, now: datetime) -> float:
        """Seconds from *now*, after *record*, to the last step; never negative."""
        left = self.after(record.step, now)
        # One record alone has no time between; its own steps stand for it.
        return max(0, self._max_steps - record.step) * record.seconds_per_step if left is None else left

    def after(self, step: int, now: datetime) -> float | None:
        """As `seconds_left`, after *step*; None after the first one."""
        if self._first is None:
            self._first = (step, now)
        first_step, begin = self._first
        done, left = step - first_step, max(0, self._max_steps - step)
        return left * max(0.0, (now - begin).total_seconds()) / done if done > 0 else None


class ProgressBar(Sink):
    """Shows steps, clips/s, ETA, loss and the last WER with its normalisers' names.

    Made on rank 0 only. On a terminal the bar is live from the start: it moves with every step, a second one through
    evaluations, and events and warnings scroll above; the cursor stays visible, because after kill -9 nobody would give
    it back.
    """

    def __init__(self, console: Console, max_steps: int, clock: Clock, resumed_step: int = 0) -> None:
        self._console, self._max_steps, self._clock = console, max_steps, clock
        self._pace = Pace(max_steps)
        self._wer = ""
        self._rate, self._loss = "", ""
        self._bar = _Bar(console, max_steps, resumed_step) if _is_live(console) else None
        if self._bar is not None:
            self._bar.start()
            console.show_cursor()

    def progress(self, step: int) -> None:
        """Moves the bar."""
        if self._bar is not None:
            self._show(step, self._pace.after(step, self._clock()))

    def phase(self, phase: Phase, done: int = 0, total: int = 0) -> None:
        """A bar of its own below the steps; a line where an evaluation begins and nothing is live."""
        if self._bar is not None:
            self._bar.name(phase if phase in _NAMED else None, done, total)
        elif phase is Phase.EVALUATING and total and not done:
            self._print(f"evaluating {format_counted(total, 'clip')}")

    def step(self, record: StepRecord) -> None:
        """Shows its figures, or prints a line."""
        left = self._pace.seconds_left(record, self._clock())
        if self._bar is not None:
            self._rate = f"{format_rate(record.samples_per_second)} clips/s"
            self._loss = loss_word(record.loss)
            self._show(record.step, left)
            return
        eta = format_seconds(left)
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

    def _show(self, step: int, seconds_left: float | None) -> None:
        eta = "" if seconds_left is None else f"ETA {format_seconds(seconds_left)}"
        if self._bar is not None:
            self._bar.show(step, ", ".join(part for part in (self._rate, eta, self._loss) if part))

    def _print(self, text: str, style: str = "") -> None:
        # A screen in an old encoding must not end a training over one umlaut in a folder's name.
        shown = text.encode(self._console.encoding, "backslashreplace").decode(self._console.encoding)
        # A style for the print itself would colour the bar as well.
        self._console.print(Text(shown, style), soft_wrap=True)


class _Bar(Progress):
    """Rich's progress display: the steps, what else goes on, and a line of text, none while *note* is empty."""

    note = ""
    _figures = ""

    def __init__(self, console: Console, max_steps: int, resumed_step: int) -> None:
        # Rich draws while it is made, before it has a `console`.
        self._screen = console
        self._narrow = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=None), TimeElapsedColumn())
        *before, elapsed = self._narrow
        self._wide = (*before, TextColumn("{task.fields[figures]}", markup=False), elapsed)
        super().__init__(
            *self._wide,
            console=console,
            refresh_per_second=_REFRESHES_PER_SECOND,
            expand=True,
        )
        self._max_steps = max_steps
        steps = self._steps(resumed_step)
        self._steps_task = self.add_task(steps, total=max_steps, completed=resumed_step, figures="")
        self._named: tuple[Phase, TaskID] | None = None

    def show(self, step: int, figures: str) -> None:
        self._figures = figures
        self.update(self._steps_task, completed=step, description=self._steps(step), figures=figures)

    def name(self, phase: Phase | None, done: int, total: int) -> None:
        """Shows *phase* below the steps, in place of what was there; None shows nothing. Without *total* it pulses."""
        if self._named is not None and self._named[0] is not phase:
            self.remove_task(self._named[1])
            self._named = None
        if phase is None:
            return
        if self._named is None:
            self._named = (phase, self.add_task(phase, total=None, figures=""))
        words = f"{phase} {format_count(done)}/{format_count(total)}" if total else str(phase)
        self.update(self._named[1], description=words, completed=done, total=total or None)

    def get_renderables(self) -> Iterable[RenderableType]:
        """The bars, with the note below them; the figures, too, where the terminal has no room for them beside."""
        is_wide = self._screen.width >= _WIDE
        self.columns = self._wide if is_wide else self._narrow
        yield self.make_tasks_table(self.tasks)
        for text in (self.note,) if is_wide else (self._figures, self.note):
            if text:
                yield Text(text, no_wrap=True, overflow="ellipsis")

    def _steps(self, step: int) -> str:
        return f"step {format_count(step)}/{format_count(self._max_steps)}"


def _is_live(console: Console) -> bool:
    return console.is_terminal and not console.is_dumb_terminal and console.encoding.startswith("utf")

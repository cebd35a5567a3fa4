"""The lines of a check as they come, on one screen: what is well, what to do, what was left out and why."""

import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic

from rich.console import RenderableType
from rich.live import Live
from rich.text import Text

from shared.command.terminal import Screen, say
from shared.text import one_line
from shared.units import format_seconds
from trainer.checking.verdict import State, Verdict

_STYLES = {State.OK: "green", State.FIX: "bold red", State.LEFT_OUT: "dim"}
_TOGETHER = {State.OK: "the rest", State.LEFT_OUT: "left out"}
_STATE, _NAME = 4, 12
_INDENT = _STATE + _NAME + 1
"""Where a line's words begin."""
_AROUND = 5
"""Rows of a terminal for the first line, the last ones, the check that is being tried, and the cursor."""


def line_of(name: str, verdict: Verdict, width: int) -> list[str]:
    """*verdict* on the check *name* in lines of *width* columns: its words, and below them the remedy."""
    first = f"{verdict.state:<{_STATE}}{name:<{_NAME}} "
    words = textwrap.wrap(one_line(verdict.words), width, initial_indent=first, subsequent_indent=" " * _INDENT)
    if not verdict.remedy:
        return words
    arrow, below = f"{'':<{_STATE}}-> ", f"{'':<{_STATE + 3}}"
    return [*words, *textwrap.wrap(one_line(verdict.remedy), width, initial_indent=arrow, subsequent_indent=below)]


def ending(verdicts: Iterable[Verdict], report: str, seconds: float) -> list[str]:
    """The last lines: how it came out, and where the report is."""
    states = [verdict.state for verdict in verdicts]
    wrong, missed = states.count(State.FIX), states.count(State.LEFT_OUT)
    words = f"{wrong} to fix" if wrong else "nothing to fix"
    left = f", {missed} left out" if missed else ""
    return [f"{words}{left}, after {format_seconds(seconds)}", f"all figures, to paste into a bug: {report}"]


def fitted(verdicts: Sequence[tuple[str, Verdict]], width: int, height: int) -> list[Text]:
    """All lines in *height* rows of *width* columns; where they are more, those that are well share one.

    Where that is not enough, so do those that were left out.
    """
    for joined in ((), (State.OK,), (State.OK, State.LEFT_OUT)):
        lines = _joined(verdicts, joined)
        rows = [_styled(row, verdict.state) for name, verdict in lines for row in line_of(name, verdict, width)]
        if len(rows) <= height:
            break
    return rows


def _joined(verdicts: Sequence[tuple[str, Verdict]], states: Sequence[State]) -> list[tuple[str, Verdict]]:
    """*verdicts* with those of each of *states* as one, behind the others."""
    found = [(name, verdict) for name, verdict in verdicts if verdict.state not in states]
    for state in states:
        names = [name for name, verdict in verdicts if verdict.state is state]
        found += [(_TOGETHER[state], Verdict(state, ", ".join(names)))] if names else []
    return found


def _styled(row: str, state: State) -> Text:
    text = Text(row, "dim" if state is State.LEFT_OUT else "")
    if row.startswith(state):
        text.stylize(_STYLES[state], 0, _STATE)
    return text


@dataclass(slots=True)
class Telling:
    """What is shown while a check runs: *verdicts* so far, and the check that is being tried."""

    screen: Screen
    verdicts: list[tuple[str, Verdict]] = field(default_factory=list)
    trying: str = ""
    since: float = 0.0

    def begin(self, name: str) -> None:
        """The check *name* is being tried from now on."""
        self.trying, self.since = name, monotonic()

    def add(self, name: str, verdict: Verdict) -> None:
        """The *verdict* on *name*: at once, where lines are not drawn again."""
        self.trying = ""
        self.verdicts.append((name, verdict))
        if not self.screen.is_terminal:
            for row in line_of(name, verdict, self.screen.width):
                say(row)

    def __rich_console__(self, *_: object) -> Iterator[RenderableType]:
        """As Rich's Live draws it."""
        yield from fitted(self.verdicts, self.screen.width, self.screen.height - _AROUND)
        if self.trying:
            yield Text(f"{'...':<{_STATE}}{self.trying:<{_NAME}} {format_seconds(monotonic() - self.since)}", "cyan")


@contextmanager
def telling() -> Iterator[Telling]:
    """Shows verdicts: drawn anew on a terminal, one below the other elsewhere."""
    screen = Screen(width=None if sys.stdout.isatty() else 80)
    found = Telling(screen)
    if not screen.is_terminal:
        yield found
        return
    with Live(found, console=screen, refresh_per_second=4, vertical_overflow="visible"):
        yield found

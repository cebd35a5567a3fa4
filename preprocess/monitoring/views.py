"""How a run is shown while it works: a live screen, plain log lines or JSON lines.

What is due is told by `Snapshot.elapsed_seconds`; only a plain line's stamp is the time of day.
"""

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from time import strftime
from types import TracebackType
from typing import Any, Literal, Protocol, Self, TextIO

from rich.console import Group, RenderableType
from rich.control import Control
from rich.live import Live
from rich.text import Text

from preprocess.monitoring.live_screen import (
    EVENTS_SHOWN,
    disk_limit_bytes,
    format_eta,
    percent_done,
    ram_in_words,
    render,
)
from preprocess.monitoring.snapshot import Snapshot
from preprocess.phases import Phase
from shared.command.ending import Ending
from shared.command.terminal import Screen, say
from shared.text import one_line
from shared.units import format_audio_rate, format_bytes, format_count, format_counted, format_rate

ViewKind = Literal["auto", "live", "plain", "json"]

PLAIN_EVERY_SECONDS = 5.0
"""The shortest time between two plain lines."""
JSON_EVERY_SECONDS = 1.0
"""The shortest time between two JSON lines."""
_REFRESHES_PER_SECOND = 4


def _time_of_day() -> str:
    return strftime("%H:%M:%S ")


class View(Protocol):
    """Shows a run. A context manager: on leaving, by an exception too, the last state is shown and the terminal is as
    it was before. Used from one thread.
    """

    def __enter__(self) -> Self:
        """Begin to show."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Show the last state and hand the stream back; an exception goes on."""

    def update(self, snapshot: Snapshot) -> None:
        """Show *snapshot*, at once or with a later one; call it as often as there is news."""

    def phase(self, phase: Phase) -> None:
        """Show what the run is at from now on; comes before the view is entered, too."""

    def event(self, message: str) -> None:
        """Show that something happened: one line of plain text."""

    def ended(self, ending: Ending) -> None:
        """The run is over, after the view was left or before it was entered; only programs are told."""


def make_view(
    kind: ViewKind, *, title: str, stream: TextIO, is_terminal: bool, stamp: Callable[[], str] = _time_of_day
) -> View:
    """A view of *kind* that writes to *stream*.

    `auto` is live on a terminal that can move its cursor, plain otherwise. `live` on a stream that is no terminal
    shows only the last state. A stream that is not UTF-8 gets plain lines in both cases. NO_COLOR and TERM count.
    *stamp* stands before each plain line.
    """
    if kind == "json":
        return _LineView(stream, json_line, _json_event, JSON_EVERY_SECONDS, ending_line_of=_json_ending)
    if is_live(kind, stream, is_terminal=is_terminal):
        return _LiveView(_terminal(stream, is_terminal=is_terminal), title)
    return _LineView(stream, plain_line, one_line, PLAIN_EVERY_SECONDS, heading=one_line(title), stamp=stamp)


def is_live(kind: ViewKind, stream: TextIO, *, is_terminal: bool) -> bool:
    """Whether `make_view` draws a screen."""
    console = _terminal(stream, is_terminal=is_terminal)
    wanted = kind == "live" or (kind == "auto" and is_terminal and not console.is_dumb_terminal)
    return wanted and console.encoding.startswith("utf")


def plain_line(snapshot: Snapshot) -> str:
    """*snapshot* as one log line without a time stamp; figures that are zero and mean no trouble are left out."""
    restarts = sum(actor.restarts for actor in snapshot.actors)
    parts = [
        f"{percent_done(snapshot):.1f} %",
        f"{format_count(snapshot.rows_done)}/{format_counted(snapshot.rows_total, 'row')}",
        f"{format_rate(snapshot.rows_per_second)} clips/s",
        format_audio_rate(snapshot.audio_seconds_per_second),
        f"ETA {format_eta(snapshot.eta_seconds)}",
        f"shards {format_count(snapshot.units_done)}/{format_count(snapshot.units_total)}",
        f"disk {format_bytes(snapshot.disk_used_bytes)} of {format_bytes(disk_limit_bytes(snapshot))}",
        f"RAM {ram_in_words(snapshot)}",
        f"resumed {format_count(snapshot.rows_resumed)}" if snapshot.rows_resumed else "",
        f"level {snapshot.level}",
        f"quarantined {format_count(snapshot.rows_quarantined)}" if snapshot.rows_quarantined else "",
        f"actor restarts {restarts}" if restarts else "",
    ]
    return ", ".join(part for part in parts if part)


def json_line(snapshot: Snapshot) -> str:
    """*snapshot* as one JSON object: the fields of `Snapshot` under their own names, null where not finite."""
    return json.dumps(_finite(asdict(snapshot)), allow_nan=False)


def _json_event(message: str) -> str:
    return json.dumps({"event": message})


def _json_ending(ending: Ending) -> str:
    return json.dumps({"outcome": asdict(ending)})


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class _Terminal(Screen):
    """A console that never hides the cursor: after kill -9 nobody would give it back."""

    def show_cursor(self, show: bool = True) -> bool:
        return super().show_cursor(show) if show else False


def _terminal(stream: TextIO, *, is_terminal: bool) -> "_Terminal":
    return _Terminal(file=stream, force_terminal=is_terminal)


class NoView:
    """Shows nothing: the log itself goes to the stream."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass

    def update(self, snapshot: Snapshot) -> None:
        """Nothing."""

    def phase(self, phase: Phase) -> None:
        """Nothing."""

    def event(self, message: str) -> None:
        """Nothing."""

    def ended(self, ending: Ending) -> None:
        """Nothing."""


class _LineView:
    """One line per update, at most every *every_seconds* of the run's time; the first and the last always."""

    def __init__(
        self,
        stream: TextIO,
        line_of: Callable[[Snapshot], str],
        event_line_of: Callable[[str], str],
        every_seconds: float,
        *,
        heading: str = "",
        stamp: Callable[[], str] = str,
        ending_line_of: Callable[[Ending], str] | None = None,
    ) -> None:
        self._stream = stream
        self._line_of = line_of
        self._event_line_of = event_line_of
        self._every_seconds = every_seconds
        self._heading = heading
        self._stamp = stamp
        self._ending_line_of = ending_line_of
        self._due_seconds = -math.inf
        self._held_back: Snapshot | None = None

    def __enter__(self) -> Self:
        if self._heading:
            self._write(self._heading)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._held_back is not None:
            self._show(self._held_back)

    def update(self, snapshot: Snapshot) -> None:
        """Writes a line when one is due; the latest snapshot is kept for the end."""
        self._held_back = snapshot
        if snapshot.elapsed_seconds >= self._due_seconds:
            self._show(snapshot)

    def phase(self, phase: Phase) -> None:
        self.event(phase)

    def event(self, message: str) -> None:
        self._write(self._event_line_of(message))

    def ended(self, ending: Ending) -> None:
        if self._ending_line_of is not None:
            self._write(self._ending_line_of(ending))

    def _show(self, snapshot: Snapshot) -> None:
        self._held_back = None
        self._due_seconds = snapshot.elapsed_seconds + self._every_seconds
        self._write(self._line_of(snapshot))

    def _write(self, line: str) -> None:
        say(f"{self._stamp()}{line}", self._stream)


class _LiveView:
    """The live screen. Rich's own thread draws it: a burst of updates costs nothing, a resized window is noticed."""

    def __init__(self, console: Screen, title: str) -> None:
        self._console = console
        self._title = title
        self._snapshot: Snapshot | None = None
        self._phase = ""
        self._events: tuple[str, ...] = ()
        self._size = console.size
        self._live = Live(get_renderable=self._draw, console=console, refresh_per_second=_REFRESHES_PER_SECOND)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, traceback)

    def update(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def phase(self, phase: Phase) -> None:
        """Stands beside the title; a line of its own while nothing is drawn yet."""
        self._phase = phase
        if not self._live.is_started:
            self._console.say(phase)

    def event(self, message: str) -> None:
        self._events = (*self._events, message)[-EVENTS_SHOWN:]

    def ended(self, ending: Ending) -> None:
        """A person reads the summary or the error."""

    def _draw(self) -> RenderableType:
        """The screen; below nothing else once the window has another size."""
        if self._console.size == self._size:
            return self._picture()
        self._size = self._console.size
        # The terminal has broken the last picture's lines anew: where it begins is lost, and half of it would stay.
        return Group(Control.home(), Control.clear(), self._picture())

    def _picture(self) -> RenderableType:
        title = f"{self._title}: {self._phase}" if self._phase else self._title
        if self._snapshot is None:
            return Group(Text(one_line(title), style="bold"), *(Text(one_line(event)) for event in self._events))
        width, height = self._console.size
        return render(self._snapshot, title, self._events, width, height)

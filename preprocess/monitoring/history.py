"""A run over time, for the report: what was seen at some moments, and everything that was said.

The number of points is bounded: when there are too many, every other one is dropped and new ones come half as often.
"""

from dataclasses import dataclass, field

from preprocess.monitoring.snapshot import Snapshot

MAX_POINTS = 1_200
MAX_EVENTS = 1_000
FIRST_STEP_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Point:
    """One moment: progress, rates over the last minute, disk and memory in use with their limits, the level."""

    elapsed_seconds: float
    rows_done: int
    rows_per_second: float
    audio_seconds_per_second: float
    disk_used_bytes: int
    disk_budget_bytes: int
    ram_used_bytes: int
    ram_limit_bytes: int
    level: str
    actors_working: int


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, in words; *elapsed_seconds* is that of the last snapshot before it."""

    elapsed_seconds: float
    message: str


@dataclass(slots=True)
class History:
    """Points and events in order; the last point is always the last snapshot. Of events the first are kept."""

    points: list[Point] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    events_left_out: int = 0
    _last: Point | None = None
    _step_seconds: float = FIRST_STEP_SECONDS

    def see(self, snapshot: Snapshot) -> None:
        """Takes *snapshot* in, if it is time for another point."""
        self._last = _point(snapshot)
        if self.points and self._last.elapsed_seconds < self.points[-1].elapsed_seconds + self._step_seconds:
            return
        self.points.append(self._last)
        if len(self.points) > MAX_POINTS:
            self.points = self.points[::2]
            self._step_seconds *= 2

    def say(self, message: str) -> None:
        """Takes an event in."""
        if len(self.events) == MAX_EVENTS:
            self.events_left_out += 1
            return
        self.events.append(Event(self._last.elapsed_seconds if self._last else 0.0, message))

    def finish(self) -> None:
        """The run is over: its last moment is a point."""
        if self._last is not None and self.points[-1] is not self._last:
            self.points.append(self._last)


def _point(snapshot: Snapshot) -> Point:
    return Point(
        elapsed_seconds=snapshot.elapsed_seconds,
        rows_done=snapshot.rows_done,
        rows_per_second=snapshot.rows_per_second,
        audio_seconds_per_second=snapshot.audio_seconds_per_second,
        disk_used_bytes=snapshot.disk_used_bytes,
        disk_budget_bytes=snapshot.disk_budget_bytes,
        ram_used_bytes=snapshot.ram_used_bytes,
        ram_limit_bytes=snapshot.ram_total_bytes,
        level=snapshot.level,
        actors_working=sum(actor.state == "working" for actor in snapshot.actors),
    )

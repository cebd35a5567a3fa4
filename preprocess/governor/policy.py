"""From readings to a level. Pure: no I/O, clock, randomness or logging.

A level rises at once and falls only after the reading has been ten points below its entry for a dwell, to the highest
level that any reading of that dwell asked for. A resource that rises again soon after it fell must be calm for twice as
long. So a reading that swings by less than the margin changes nothing; one that swings between two levels however it
likes makes at most 5 falls in the first five minutes and then one in five; none makes more than 16 in any five.

A reading that is missing holds what is known and never loosens: after `BLIND_SECONDS`, or when there was never one, it
counts as a pause.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum


class Level(IntEnum):
    """How tight things are; each level includes the measures of those below it."""

    NORMAL = 0
    THROTTLE = 1
    PAUSE = 2
    EMERGENCY = 3
    STOP = 4


LEAVE_MARGIN = 0.10
"""How far below a level's entry a reading must fall before the level can be left."""
DAMPING_SECONDS = 300.0
"""A rise within this time of a fall doubles the dwells."""
MAX_DWELL_SECONDS = 300.0
FORECAST_TOLERANCE = 0.05
"""How far the bytes still to be written may lie above the truth."""
BLIND_SECONDS = 5.0
"""How long a resource may go unread before no new work is admitted."""
MAX_STEP_SECONDS = 2.0
"""The longest time between two readings that counts as time observed."""
PSI_PERCENT, PSI_SECONDS = 20.0, 10.0
"""Memory pressure (PSI `some avg10`) of this much for so long is a pause, until it is less than `PSI_CALM_PERCENT`."""
PSI_CALM_PERCENT = PSI_PERCENT - 100 * LEAVE_MARGIN


@dataclass(frozen=True, slots=True)
class Ladder:
    """Where a resource's levels begin, as shares of its budget, and how long each must be calm to be left."""

    entries: Mapping[Level, float]
    dwell_seconds: Mapping[Level, float]

    def level_of(self, share: float) -> Level:
        """The level that *share* enters."""
        return max((level for level, entry in self.entries.items() if share >= entry), default=Level.NORMAL)


DISK = Ladder(
    {Level.THROTTLE: 0.80, Level.PAUSE: 0.90, Level.EMERGENCY: 0.95, Level.STOP: 0.98},
    {Level.THROTTLE: 5.0, Level.PAUSE: 5.0, Level.EMERGENCY: 5.0, Level.STOP: 5.0},
)
"""Disk space is admitted by reservation, so a short dwell is safe: work goes on within 10 s once space is back."""
MEMORY = Ladder(
    {Level.THROTTLE: 0.70, Level.PAUSE: 0.80, Level.EMERGENCY: 0.90, Level.STOP: 0.95},
    {Level.THROTTLE: 10.0, Level.PAUSE: 30.0, Level.EMERGENCY: 30.0, Level.STOP: 30.0},
)


@dataclass(frozen=True, slots=True)
class DiskReading:
    """One budgeted mount. *used_bytes* is allocated by this store with its scratch, of *budget_bytes*.

    *missing_bytes* is what the job has still to write beyond that. *free_bytes* is `f_bavail`; below *reserve_bytes* it
    is an emergency whatever the budget says. *inodes_free* is False when the mount has next to none left.
    """

    used_bytes: int
    budget_bytes: int
    free_bytes: int
    reserve_bytes: int
    missing_bytes: int = 0
    inodes_free: bool = True

    @property
    def share(self) -> float:
        """Share of the budget in use, 0 while all that is missing still fits: a job that fits is not slowed down.

        A forecast that is off by a little must not stop a job that fits: reservations hold the budget in any case.
        """
        if self.used_bytes + self.missing_bytes * (1 - FORECAST_TOLERANCE) <= self.budget_bytes:
            return 0.0
        return self.used_bytes / self.budget_bytes if self.budget_bytes > 0 else 1.0

    @property
    def floor(self) -> Level:
        """The least level, whatever the share: EMERGENCY when the mount itself runs out."""
        return Level.EMERGENCY if self.free_bytes < self.reserve_bytes or not self.inodes_free else Level.NORMAL

    @property
    def leave_floor(self) -> Level:
        """As `floor`, with a tenth of the reserve for a margin, or less where the rest of the job needs less."""
        margin = min(int(self.reserve_bytes * LEAVE_MARGIN), self.missing_bytes)
        return replace(self, free_bytes=self.free_bytes - margin).floor


@dataclass(frozen=True, slots=True)
class MemoryReading:
    """Working set against its limit: of the cgroup or the machine, or of this run against its own budget.

    *others* are the readings against the other limits that hold at the same time; this one's share is the largest.
    """

    used_bytes: int
    limit_bytes: int
    psi_percent: float | None = None
    others: tuple["MemoryReading", ...] = field(default=(), compare=False)

    def room_bytes(self, share: float) -> int:
        """What may still be used before *share* of any limit is, negative where more is used already.

        Where the share is largest the room need not be least: a small cgroup half full has less than a large machine.
        """
        return min(int(reading.limit_bytes * share) - reading.used_bytes for reading in (self, *self.others))

    @property
    def share(self) -> float:
        """Share of the limit in use."""
        return self.used_bytes / self.limit_bytes if self.limit_bytes > 0 else 1.0


def tightest(readings: Iterable[MemoryReading], psi_percent: float | None) -> MemoryReading:
    """One reading for all of *readings*: that of the largest share, which knows the others."""
    ranked = sorted((replace(reading, others=()) for reading in readings), key=lambda reading: -reading.share)
    return replace(ranked[0], psi_percent=psi_percent, others=tuple(ranked[1:]))


@dataclass(frozen=True, slots=True)
class Signals:
    """All readings of one moment; None where a reading failed. *no_space* is True once a write failed with ENOSPC."""

    disk: DiskReading | None
    memory: MemoryReading | None
    no_space: bool = False


@dataclass(frozen=True, slots=True)
class Track:
    """What the policy remembers of one resource.

    *calm_seconds* and *pressed_seconds* add up between readings, at most `MAX_STEP_SECONDS` each time, so that neither
    a clock that jumps nor a pause of the whole process counts as calm. *calm_level* is the highest level that a reading
    asked for in that time; *left_at* is when the level last fell, None once it rose again.
    """

    level: Level = Level.NORMAL
    calm_seconds: float | None = None
    calm_level: Level = Level.NORMAL
    pressed_seconds: float | None = None
    dwell_factor: float = 1.0
    left_at: float | None = None
    read_at: float | None = None


@dataclass(frozen=True, slots=True)
class PolicyState:
    """The policy's whole memory."""

    disk: Track = field(default_factory=Track)
    memory: Track = field(default_factory=Track)

    @property
    def level(self) -> Level:
        """The tighter of the two."""
        return max(self.disk.level, self.memory.level)


def decide(state: PolicyState, signals: Signals, now: float) -> PolicyState:
    """The state after *signals* at *now* (monotonic seconds; a clock that jumps back never loosens a level)."""
    return PolicyState(_disk(state.disk, signals, now), _memory(state.memory, signals.memory, now))


def actors_allowed(level: Level, num_actors: int) -> int:
    """Actors that may be at work at *level*: all, half of them when throttled, none from PAUSE on."""
    if level >= Level.PAUSE:
        return 0
    return num_actors if level is Level.NORMAL else min(num_actors, max(1, num_actors // 2))


def _disk(track: Track, signals: Signals, now: float) -> Track:
    if signals.no_space:
        return _rise(track, Level.STOP, now)
    if signals.disk is None:
        return _blind(track, now)
    return _step(track, DISK, signals.disk.share, (signals.disk.floor, signals.disk.leave_floor), now)


def _memory(track: Track, reading: MemoryReading | None, now: float) -> Track:
    if reading is None:
        return _blind(track, now)
    pressed = _pressed_seconds(track, reading.psi_percent, now)
    floor = Level.PAUSE if pressed is not None and pressed >= PSI_SECONDS else Level.NORMAL
    return _step(replace(track, pressed_seconds=pressed), MEMORY, reading.share, (floor, floor), now)


def _pressed_seconds(track: Track, psi_percent: float | None, now: float) -> float | None:
    """How long memory has been under pressure; once that is a pause, it lasts until the pressure is well below."""
    paused = track.pressed_seconds is not None and track.pressed_seconds >= PSI_SECONDS
    if psi_percent is None or psi_percent < (PSI_CALM_PERCENT if paused else PSI_PERCENT):
        return None
    return 0.0 if track.pressed_seconds is None else track.pressed_seconds + _elapsed(track, now)


def _elapsed(track: Track, now: float) -> float:
    """Seconds since the last reading, as far as they can be trusted."""
    return 0.0 if track.read_at is None else min(max(0.0, now - track.read_at), MAX_STEP_SECONDS)


def _step(track: Track, ladder: Ladder, share: float, floors: tuple[Level, Level], now: float) -> Track:
    """The next state from *share*; *floors* are the least levels to be entered and to be held."""
    elapsed = _elapsed(track, now)
    track = replace(track, read_at=now)
    entered = max(ladder.level_of(share), floors[0])
    if entered > track.level:
        return _rise(track, entered, now)
    # What the level would be if every entry lay lower by the margin: it may fall no further than that.
    held = max(ladder.level_of(share + LEAVE_MARGIN), floors[1])
    if held >= track.level:
        return replace(track, calm_seconds=None)
    if track.calm_seconds is None:
        return replace(track, calm_seconds=0.0, calm_level=held)
    track = replace(track, calm_seconds=track.calm_seconds + elapsed, calm_level=max(track.calm_level, held))
    return _fall(track, ladder.dwell_seconds[track.level], now)


def _fall(track: Track, dwell_seconds: float, now: float) -> Track:
    """The level that was enough throughout the calm, once the calm has lasted; else no change."""
    if track.calm_seconds is None or track.calm_seconds < min(dwell_seconds * track.dwell_factor, MAX_DWELL_SECONDS):
        return track
    return replace(track, level=track.calm_level, calm_seconds=None, left_at=now)


def _rise(track: Track, level: Level, now: float) -> Track:
    if level <= track.level:
        return replace(track, calm_seconds=None)
    track = replace(track, level=level, calm_seconds=None)
    if track.left_at is None:
        # Higher still in the same rise: that is no flapping.
        return track
    soon = now - track.left_at < DAMPING_SECONDS
    return replace(track, dwell_factor=2 * track.dwell_factor if soon else 1.0, left_at=None)


def _blind(track: Track, now: float) -> Track:
    """No reading: calm is forgotten, and after a while, at the very start or with a clock gone back it is a pause."""
    if track.read_at is None or now < track.read_at or now - track.read_at >= BLIND_SECONDS:
        return _rise(track, Level.PAUSE, now)
    return replace(track, calm_seconds=None)

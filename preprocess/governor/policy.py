"""From readings to a level. Pure: no I/O, clock, randomness or logging.

A level rises at once and falls only after the reading has been ten points below its entry for a dwell, so it cannot
flap; a level that was entered again soon after it was left must be calm for twice as long. A reading that is missing
holds what is known and never loosens: after `BLIND_SECONDS` it counts as a pause.
"""

from collections.abc import Mapping
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
"""A level entered again within this time of being left doubles its dwell."""
MAX_DWELL_SECONDS = 300.0
BLIND_SECONDS = 5.0
"""How long a resource may go unread before no new work is admitted."""
MAX_STEP_SECONDS = 2.0
"""The longest time between two readings that counts as time observed."""
PSI_PERCENT, PSI_SECONDS = 20.0, 10.0
"""Memory pressure (PSI `some avg10`) of this much for so long is a pause."""


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
    """One budgeted mount. *used_bytes* is allocated or reserved by this run, of *budget_bytes*.

    *missing_bytes* is what the job has still to write. *free_bytes* is `f_bavail`; below *reserve_bytes* it is an
    emergency whatever the budget says. *inodes_free* is False when the mount has next to none left.
    """

    used_bytes: int
    budget_bytes: int
    free_bytes: int
    reserve_bytes: int
    missing_bytes: int = 0
    inodes_free: bool = True

    @property
    def share(self) -> float:
        """Share of the budget in use, 0 while all that is missing still fits: a job that fits is not slowed down."""
        if self.used_bytes + self.missing_bytes <= self.budget_bytes:
            return 0.0
        return self.used_bytes / self.budget_bytes if self.budget_bytes > 0 else 1.0

    @property
    def floor(self) -> Level:
        """The least level, whatever the share: EMERGENCY when the mount itself runs out."""
        return Level.EMERGENCY if self.free_bytes < self.reserve_bytes or not self.inodes_free else Level.NORMAL


@dataclass(frozen=True, slots=True)
class MemoryReading:
    """Working set against its limit: of the cgroup or the machine, or of this run against its own budget."""

    used_bytes: int
    limit_bytes: int
    psi_percent: float | None = None

    @property
    def share(self) -> float:
        """Share of the limit in use."""
        return self.used_bytes / self.limit_bytes if self.limit_bytes > 0 else 1.0


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
    a clock that jumps nor a pause of the whole process counts as calm.
    """

    level: Level = Level.NORMAL
    calm_seconds: float | None = None
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
    return num_actors if level is Level.NORMAL else max(1, num_actors // 2)


def _disk(track: Track, signals: Signals, now: float) -> Track:
    if signals.no_space:
        return _rise(track, Level.STOP, now)
    if signals.disk is None:
        return _blind(track, now)
    return _step(track, DISK, signals.disk.share, signals.disk.floor, now)


def _memory(track: Track, reading: MemoryReading | None, now: float) -> Track:
    if reading is None:
        return _blind(track, now)
    pressed = None
    if reading.psi_percent is not None and reading.psi_percent >= PSI_PERCENT:
        pressed = 0.0 if track.pressed_seconds is None else track.pressed_seconds + _elapsed(track, now)
    floor = Level.PAUSE if pressed is not None and pressed >= PSI_SECONDS else Level.NORMAL
    return _step(replace(track, pressed_seconds=pressed), MEMORY, reading.share, floor, now)


def _elapsed(track: Track, now: float) -> float:
    """Seconds since the last reading, as far as they can be trusted."""
    return 0.0 if track.read_at is None else min(max(0.0, now - track.read_at), MAX_STEP_SECONDS)


def _step(track: Track, ladder: Ladder, share: float, floor: Level, now: float) -> Track:
    elapsed = _elapsed(track, now)
    track = replace(track, read_at=now)
    entered = max(ladder.level_of(share), floor)
    if entered > track.level:
        return _rise(track, entered, now)
    # What the level would be if every entry lay lower by the margin: it may fall no further than that.
    held = max(ladder.level_of(share + LEAVE_MARGIN), floor)
    if held >= track.level:
        return replace(track, calm_seconds=None)
    calm = 0.0 if track.calm_seconds is None else track.calm_seconds + elapsed
    if calm < min(ladder.dwell_seconds[track.level] * track.dwell_factor, MAX_DWELL_SECONDS):
        return replace(track, calm_seconds=calm)
    return replace(track, level=held, calm_seconds=None, left_at=now)


def _rise(track: Track, level: Level, now: float) -> Track:
    if level <= track.level:
        return replace(track, calm_seconds=None)
    soon = track.left_at is not None and now - track.left_at < DAMPING_SECONDS
    return replace(track, level=level, calm_seconds=None, dwell_factor=2 * track.dwell_factor if soon else 1.0)


def _blind(track: Track, now: float) -> Track:
    """No reading: calm is forgotten, and after a while, or with a clock that went back, it is a pause."""
    if track.read_at is None:
        return replace(track, read_at=now, calm_seconds=None)
    blind = now - track.read_at >= BLIND_SECONDS or now < track.read_at
    return _rise(track, Level.PAUSE, now) if blind else replace(track, calm_seconds=None)

"""What each of the governor's levels asks of a run. Pure but for what it remembers: the run loop enacts it.

Who may start is `Governor.admit`'s to say, how many actors there are `Crew`'s; `start_gate.py` waits before Ray starts.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from time import monotonic

from preprocess.governor.policy import Level

RELIEF_SECONDS = 30.0
"""The shortest time between two measures against an emergency."""


class Measure(Enum):
    """What is to be done for want of disk or memory."""

    RELIEVE = auto()
    """Every process returns memory that it holds and does not use."""
    CLEAN = auto()
    """Partial files of dead processes go."""
    END_LARGEST = auto()
    """The actor that holds most memory ends."""
    END_RUN = auto()
    """Open shards are given up, and the run ends."""


@dataclass(slots=True)
class Enforcer:
    """Knows when there was progress and when relief; *stall_seconds* without progress end the run."""

    stall_seconds: float
    now: Callable[[], float] = monotonic
    _moved_at: float = field(init=False)
    _relieved_at: float = float("-inf")

    def __post_init__(self) -> None:
        self._moved_at = self.now()

    def moved(self) -> None:
        """There was progress."""
        self._moved_at = self.now()

    @property
    def stalled_seconds(self) -> float:
        """Time since there was progress."""
        return self.now() - self._moved_at

    def due(self, before: Level, level: Level, *, held_up: bool) -> list[Measure]:
        """What is due at *level*, which was *before* at the last call; *held_up* when no work was admitted."""
        measures = [Measure.RELIEVE] if before < level >= Level.PAUSE else []
        stalled = self.stalled_seconds >= self.stall_seconds and (level >= Level.PAUSE or held_up)
        if level is Level.STOP or stalled:
            return [*measures, Measure.END_RUN]
        if level is Level.EMERGENCY and self.now() - self._relieved_at >= RELIEF_SECONDS:
            self._relieved_at = self.now()
            return [Measure.CLEAN, Measure.RELIEVE, Measure.END_LARGEST]
        return measures

"""What the governor did in a run: seconds at each level, removals, actors started anew, the most memory in use."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from preprocess.governor.policy import Level, MemoryReading, PolicyState
from preprocess.governor.watchdog import Verdict
from preprocess.workspace.cleanup import Removal

N = TypeVar("N", int, float)


@dataclass(slots=True)
class GovernorRecord:
    """Kept up by the run loop. *level_seconds* and *rises* count by level, *removed* and *removed_bytes* by kind.

    *memory* is the last reading, *tightest* the one nearest to its limit.
    """

    verdict: Verdict = field(default_factory=lambda: Verdict(PolicyState(), -math.inf))
    level_seconds: dict[Level, float] = field(default_factory=dict)
    rises: Counter[Level] = field(default_factory=Counter)
    removed: Counter[str] = field(default_factory=Counter)
    removed_bytes: Counter[str] = field(default_factory=Counter)
    recycled: int = 0
    memory: MemoryReading | None = None
    tightest: MemoryReading | None = None
    _seen_at: float | None = None

    @property
    def level(self) -> Level:
        """The present level."""
        return self.verdict.level

    def see(self, verdict: Verdict, now: float) -> None:
        """The governor's *verdict* at *now* (monotonic seconds)."""
        if self._seen_at is not None:
            elapsed = max(0.0, now - self._seen_at)
            self.level_seconds[self.level] = self.level_seconds.get(self.level, 0.0) + elapsed
        if verdict.level > self.level:
            self.rises[verdict.level] += 1
        self._seen_at, self.verdict = now, verdict
        if verdict.memory is not None:
            self.memory = verdict.memory
            self.tightest = max(self.tightest or verdict.memory, verdict.memory, key=lambda reading: reading.share)

    def count(self, removals: Iterable[Removal]) -> None:
        """*removals* were made."""
        for removal in removals:
            if not removal.error:
                self.removed[removal.kind] += 1
                self.removed_bytes[removal.kind] += removal.num_bytes


def by_name(values: Mapping[Level, N]) -> dict[str, N]:
    """*values* by the level's name as it is shown, the lowest level first."""
    return {level.name.lower(): value for level, value in sorted(values.items())}

"""How many actors a run has and when one is replaced: the pure decisions, fed from the tally and the machine."""

from dataclasses import dataclass, field
from time import monotonic
from typing import Literal

from preprocess.governor.cores import usable_cores
from preprocess.governor.policy import Level, MemoryReading
from preprocess.governor.recycling import Recycling
from preprocess.governor.tuning import ACTOR_BYTES, MEMORY_SHARE, Load, Room, Tuning, first_tuning, most_actors, tune
from preprocess.tally import Tally


@dataclass(slots=True)
class Crew:
    """*tuning* is None where the number of actors was given."""

    recycling: Recycling
    tally: Tally
    tuning: Tuning | None = None
    cores: int = field(default_factory=usable_cores)

    def wanted(self, num_busy: int, memory: MemoryReading | None, level: Level) -> int | None:
        """How many actors there should be with *num_busy* at work and memory at *level*; None for no change.

        Without a *memory* reading nothing changes.
        """
        if self.tuning is None or memory is None:
            return None
        before = self.tuning.wanted
        audio_seconds = self.tally.audio_seconds_so_far
        load = Load(monotonic(), audio_seconds, self.tally.cpu_seconds, num_busy, self._actor_bytes())
        self.tuning = tune(self.tuning, load, room_in(memory, self.cores), level)
        return self.tuning.wanted if self.tuning.wanted != before else None

    def _actor_bytes(self) -> int:
        return max(self.tally.peak_memory_bytes.values(), default=ACTOR_BYTES)


def room_in(memory: MemoryReading, cores: int) -> Room:
    """The room that *memory* leaves, on *cores*."""
    return Room(cores, max(0, int(memory.limit_bytes * MEMORY_SHARE) - memory.used_bytes))


def make_crew(
    actors: int | Literal["auto"], recycling: Recycling, tally: Tally, memory: MemoryReading | None
) -> tuple[Crew, int, int]:
    """A crew of *actors* (`auto`: as many as prove useful), how many to begin with, and the most there will ever be."""
    crew = Crew(recycling, tally)
    if actors != "auto":
        return crew, actors, actors
    # Memory that cannot be read is none: one actor, until it can.
    crew.tuning = first_tuning(room_in(memory or MemoryReading(0, 0), crew.cores))
    return crew, crew.tuning.wanted, most_actors(crew.cores)

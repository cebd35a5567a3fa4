"""How many actors a run has and when one is replaced: the pure decisions, fed from the stats and the machine."""

from dataclasses import dataclass, field
from time import monotonic
from typing import Literal

from preprocess.governor.cores import usable_cores
from preprocess.governor.policy import Level, MemoryReading
from preprocess.governor.recycling import Recycling
from preprocess.governor.tuning import (
    ACTOR_BYTES,
    MEMORY_SHARE,
    Load,
    Room,
    Tuning,
    first_tuning,
    fitting_actors,
    most_actors,
    tune,
)
from preprocess.tally import RunStats


@dataclass(slots=True)
class Crew:
    """*actors* is the number that was asked for, *tuning* what takes its place where it was `auto`."""

    recycling: Recycling
    stats: RunStats
    actors: int
    tuning: Tuning | None = None
    cores: int = field(default_factory=usable_cores)

    def wanted(self, now_wanted: int, num_busy: int, memory: MemoryReading | None, level: Level) -> int:
        """How many actors there should be where *now_wanted* are, with *num_busy* at work and memory at *level*.

        Without a *memory* reading nothing changes. A number that was asked for is reached one by one as far as memory
        has room for the next; the governor's levels, not this, hold back actors that are there.
        """
        if memory is None or (self.tuning is None and now_wanted >= self.actors):
            return now_wanted
        room = room_in(memory, self.cores)
        if self.tuning is None:
            # One that has just been started does not hold yet what it will.
            ready = level is Level.NORMAL and num_busy >= now_wanted
            return now_wanted + (ready and self._actor_bytes() <= room.left_bytes)
        audio_seconds = self.stats.audio_seconds_so_far
        load = Load(monotonic(), audio_seconds, self.stats.cpu_seconds, num_busy, self._actor_bytes())
        self.tuning = tune(self.tuning, load, room, level)
        return self.tuning.wanted

    def _actor_bytes(self) -> int:
        """What one more actor may come to hold: as much as the largest, and a good deal for one that has told none."""
        return max(self.stats.peak_memory_bytes.values(), default=ACTOR_BYTES)


def room_in(memory: MemoryReading, cores: int) -> Room:
    """The room that *memory* leaves, on *cores*."""
    return Room(cores, max(0, memory.room_bytes(MEMORY_SHARE)))


def most_wanted(actors: int | Literal["auto"]) -> int:
    """The most actors that there will ever be."""
    return most_actors(usable_cores()) if actors == "auto" else actors


def make_crew(
    actors: int | Literal["auto"], recycling: Recycling, stats: RunStats, memory: MemoryReading | None
) -> tuple[Crew, int]:
    """A crew of *actors* (`auto`: as many as prove useful), and how many to begin with as far as memory has room."""
    cores = usable_cores()
    # Memory that cannot be read is none: one actor, until it can.
    room = room_in(memory or MemoryReading(0, 0), cores)
    if actors != "auto":
        return Crew(recycling, stats, actors, cores=cores), min(actors, fitting_actors(room))
    tuning = first_tuning(room)
    return Crew(recycling, stats, most_actors(cores), tuning, cores), tuning.wanted

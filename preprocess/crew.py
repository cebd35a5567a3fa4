"""How many actors a run has and when one is replaced: the pure decisions."""

from dataclasses import dataclass, field
from typing import Literal

from preprocess.governor.cores import usable_cores
from preprocess.governor.policy import Level, MemoryReading
from preprocess.governor.recycling import Recycling
from preprocess.governor.tuning import (
    MEMORY_SHARE,
    Load,
    Room,
    Tuning,
    first_tuning,
    fitting_actors,
    most_actors,
    tune,
)


@dataclass(slots=True)
class Crew:
    """*actors* is the number that was asked for, *tuning* what takes its place where it was `auto`."""

    recycling: Recycling
    actors: int
    tuning: Tuning | None = None
    cores: int = field(default_factory=usable_cores)

    def wanted(self, now_wanted: int, load: Load, memory: MemoryReading | None, level: Level) -> int:
        """How many actors there should be where *now_wanted* are, under *load* and with memory at *level*.

        Without a *memory* reading nothing changes. A number that was asked for is reached one by one as far as memory
        has room for the next; the governor's levels, not this, hold back actors that are there.
        """
        if memory is None or (self.tuning is None and now_wanted >= self.actors):
            return now_wanted
        room = room_in(memory, self.cores)
        if self.tuning is None:
            # One that has just been started does not hold yet what it will.
            ready = level is Level.NORMAL and load.num_busy >= now_wanted
            return now_wanted + (ready and load.actor_bytes <= room.left_bytes)
        self.tuning = tune(self.tuning, load, room, level)
        return self.tuning.wanted


def room_in(memory: MemoryReading, cores: int) -> Room:
    """The room that *memory* leaves, on *cores*."""
    return Room(cores, max(0, memory.room_bytes(MEMORY_SHARE)))


def most_wanted(actors: int | Literal["auto"]) -> int:
    """The most actors that there will ever be."""
    return most_actors(usable_cores()) if actors == "auto" else actors


def make_crew(actors: int | Literal["auto"], recycling: Recycling, memory: MemoryReading | None) -> tuple[Crew, int]:
    """A crew of *actors* (`auto`: as many as prove useful), and how many to begin with as far as memory has room."""
    cores = usable_cores()
    # Memory that cannot be read is none: one actor, until it can.
    room = room_in(memory or MemoryReading(0, 0), cores)
    if actors != "auto":
        return Crew(recycling, actors, cores=cores), min(actors, fitting_actors(room))
    tuning = first_tuning(room)
    return Crew(recycling, most_actors(cores), tuning, cores), tuning.wanted

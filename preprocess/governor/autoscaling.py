"""How many actors a run has: a number that was asked for, or one that is found out by measuring. Pure.

Hill climbing on throughput: one more is tried where a core and memory are left for it, and kept when it brings at least
half its share, or `LEAST_GAIN`; then one fewer is tried, and kept while no more than `MOST_LOSS` of the best is lost.
What was found holds for `RETRY_SECONDS`. One core stays the system's: more actors than the other cores are tried only
while actors spend so much of their time waiting (for a slow source) that they leave it free.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from preprocess.governor.cores import usable_cores
from preprocess.governor.policy import MEMORY, Level, MemoryReading
from preprocess.governor.recycling import Recycling

WINDOW_SECONDS = 15.0
"""How long a number of actors is watched: some dozens of clips each, and far longer than a commit."""
LEAST_GAIN = 0.05
MOST_LOSS = 0.03
RETRY_SECONDS = 600.0
ACTORS_PER_CORE = 4
"""Beyond this a source is too slow for more actors to help."""
ACTOR_BYTES = 256_000_000
"""An actor at work, where none has told its size yet."""
MEMORY_SHARE = MEMORY.entries[Level.THROTTLE] - 0.05
"""No actor is added that would bring memory to more than this share of its limit."""


@dataclass(frozen=True, slots=True)
class Room:
    """What there is for actors: *cores* usable by this run, and memory *left_bytes* below `MEMORY_SHARE`."""

    cores: int
    left_bytes: int

    @property
    def working_cores(self) -> int:
        """All but the system's."""
        return max(1, self.cores - 1)


@dataclass(frozen=True, slots=True)
class Load:
    """The run at *now*: audio and CPU seconds so far of all actors, how many are at work, the largest one's memory."""

    now: float
    audio_seconds: float
    cpu_seconds: float
    num_busy: int
    actor_bytes: int = ACTOR_BYTES


@dataclass(frozen=True, slots=True)
class Tuning:
    """*wanted* actors. *since* begins the present window; *rates* are audio seconds a second by number of actors."""

    wanted: int
    since: Load | None = None
    rates: Mapping[int, float] = field(default_factory=dict)
    settled_at: float | None = None


def first_tuning(room: Room) -> Tuning:
    """As many as there are cores for, and memory."""
    return Tuning(min(room.working_cores, fitting_actors(room)))


def fitting_actors(room: Room) -> int:
    """As many as memory has room for, but one."""
    return max(1, room.left_bytes // ACTOR_BYTES)


def most_actors(cores: int) -> int:
    """More are never wanted."""
    return ACTORS_PER_CORE * cores


def tune(tuning: Tuning, load: Load, room: Room, level: Level) -> Tuning:
    """The tuning after *load*; *level* is memory's: above NORMAL one actor goes for every window that it lasts."""
    since = tuning.since
    if since is None or load.now < since.now or load.audio_seconds < since.audio_seconds:
        return replace(tuning, since=load)
    if load.now - since.now < WINDOW_SECONDS:
        # Only time in which as many were at work as were wanted says anything.
        starved = level is Level.NORMAL and load.num_busy != tuning.wanted
        return replace(tuning, since=load) if starved else tuning
    if level is not Level.NORMAL:
        return Tuning(max(1, tuning.wanted - 1), since=load)
    if tuning.settled_at is not None:
        over = load.now - tuning.settled_at >= RETRY_SECONDS
        return Tuning(tuning.wanted, since=load) if over else replace(tuning, since=load)
    return _climb(tuning, since, load, room)


def _climb(tuning: Tuning, since: Load, load: Load, room: Room) -> Tuning:
    """The number to watch next, or the one to settle on."""
    number, seconds = tuning.wanted, load.now - since.now
    rate = (load.audio_seconds - since.audio_seconds) / seconds
    rates = {**tuning.rates, number: rate}
    watched = Tuning(number, since=load, rates=rates)
    settled = replace(watched, settled_at=load.now)
    if number - 1 in tuning.rates and rate < tuning.rates[number - 1] * (1 + min(LEAST_GAIN, 0.5 / number)):
        return replace(watched, wanted=number - 1)
    if rate < max(rates.values()) * (1 - MOST_LOSS) and number + 1 in tuning.rates:
        return replace(settled, wanted=number + 1)
    busy_cores = (load.cpu_seconds - since.cpu_seconds) / seconds
    if number + 1 not in rates and _has_room(number, busy_cores, load.actor_bytes, room):
        return replace(watched, wanted=number + 1)
    if number > 1 and number - 1 not in rates:
        return replace(watched, wanted=number - 1)
    return settled


def _has_room(number: int, busy_cores: float, actor_bytes: int, room: Room) -> bool:
    """Whether one more than *number* actors leaves the system its core and memory below its share."""
    by_cores = number + 1 <= room.working_cores or busy_cores * (number + 1) / number <= room.working_cores
    return by_cores and number < most_actors(room.cores) and actor_bytes <= room.left_bytes


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

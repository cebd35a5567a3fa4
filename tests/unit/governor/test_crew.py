"""How many actors a run begins with and gets, by what memory has room for."""

import pytest

from preprocess.governor.autoscaling import (
    ACTOR_BYTES,
    ACTORS_PER_CORE,
    MEMORY_SHARE,
    Crew,
    Load,
    make_crew,
    most_wanted,
    room_in,
)
from preprocess.governor.cores import usable_cores
from preprocess.governor.policy import Level, MemoryReading
from preprocess.governor.recycling import Recycling

GB = 10**9
PLENTY = MemoryReading(1 * GB, 64 * GB)
NEVER = Recycling(0, 0)


def room_for(actors):
    """Memory with room for just so many."""
    return MemoryReading(0, int(actors * ACTOR_BYTES / MEMORY_SHARE) + 100)


def start(actors, memory):
    return make_crew(actors, NEVER, memory)


def load(num_busy, actor_bytes=ACTOR_BYTES):
    return Load(0.0, 0.0, 0.0, num_busy, actor_bytes)


@pytest.mark.parametrize(("memory", "first"), [(PLENTY, 5), (room_for(3), 3), (room_for(0), 1), (None, 1)])
def test_it_begins_with_as_many_as_were_asked_for_and_memory_has_room_for(memory, first):
    assert start(5, memory)[1] == first


def test_the_rest_come_one_by_one_once_all_are_at_work_and_there_is_room_for_one_as_large_as_the_largest():
    crew, _ = start(5, room_for(2))
    limit, busy = room_for(2).limit_bytes, load(2, 150_000_000)
    assert crew.wanted(2, busy, PLENTY, Level.NORMAL) == 3
    assert crew.wanted(2, load(1, 150_000_000), PLENTY, Level.NORMAL) == 2
    assert crew.wanted(2, busy, PLENTY, Level.THROTTLE) == 2
    assert crew.wanted(2, busy, MemoryReading(limit, limit), Level.NORMAL) == 2
    assert crew.wanted(2, busy, None, Level.NORMAL) == 2
    assert crew.wanted(5, load(5, 150_000_000), PLENTY, Level.NORMAL) == 5


def test_auto_begins_with_every_core_but_one_and_ray_is_told_the_most_there_may_be():
    crew, first = start("auto", PLENTY)
    assert first == max(1, usable_cores() - 1)
    assert crew.tuning is not None
    assert most_wanted("auto") == ACTORS_PER_CORE * usable_cores()
    assert most_wanted(5) == 5


def test_auto_goes_down_while_memory_is_short():
    crew = Crew(NEVER, 8, start("auto", PLENTY)[0].tuning)
    assert crew.wanted(1, load(1), PLENTY, Level.EMERGENCY) == 1


def test_room_is_what_lies_below_the_share_that_actors_may_bring_memory_to():
    assert room_in(MemoryReading(1 * GB, 10 * GB), 4).left_bytes == int(10 * GB * MEMORY_SHARE) - 1 * GB
    assert room_in(MemoryReading(9 * GB, 10 * GB), 4).left_bytes == 0

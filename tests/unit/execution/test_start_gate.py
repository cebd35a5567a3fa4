"""The wait for memory before Ray starts."""

import pytest

from preprocess.execution.start_gate import START_BYTES, await_memory, check_ram_budget, short_bytes
from preprocess.governor.policy import MemoryReading
from shared.errors import InterruptedRunError, ResourceLimitError

GB = 10**9
ROOM, FULL = MemoryReading(1 * GB, 4 * GB), MemoryReading(3 * GB + 500_000_000, 4 * GB)


class World:
    """Readings one after the other (the last for ever), a clock and what was said; stopped at look *stop_after*."""

    def __init__(self, *readings, stop_after=None):
        self.readings, self.time, self.said, self.stop_after, self.looks = list(readings), 0.0, [], stop_after, 0

    def read(self):
        self.looks += 1
        return self.readings.pop(0) if len(self.readings) > 1 else self.readings[0]

    def event(self, message):
        self.said.append(message)

    def check(self):
        if self.stop_after is not None and self.looks >= self.stop_after:
            raise InterruptedRunError("stopped")

    def wait(self, seconds):
        self.time += seconds

    def start(self, stall_seconds=60.0):
        await_memory(self.read, self, self, stall_seconds, now=lambda: self.time, wait=self.wait)


def test_with_room_it_starts_at_once_and_says_nothing():
    world = World(ROOM)
    world.start()
    assert (world.time, world.said) == (0.0, [])


def test_without_room_it_says_so_once_and_starts_when_there_is():
    world = World(FULL, FULL, None, FULL, ROOM)
    world.start()
    assert world.time > 0
    assert world.said == ["waiting to start Ray: memory is short by 500 MB: 3.5 GB of 4.0 GB are in use"]


@pytest.mark.parametrize("reading", [FULL, None])
def test_after_the_stall_timeout_it_ends_with_the_reason(reading):
    with pytest.raises(ResourceLimitError, match="Ray was not started"):
        World(reading).start(stall_seconds=5)


def test_a_stop_request_ends_the_wait():
    with pytest.raises(InterruptedRunError):
        World(FULL, stop_after=3).start()


def test_what_is_short_is_counted_against_the_level_at_which_memory_is_given_back():
    assert short_bytes(MemoryReading(0, 10 * GB)) == START_BYTES - 9 * GB
    assert short_bytes(None) == START_BYTES


def test_a_memory_budget_that_can_never_suffice_is_refused_with_what_would():
    check_ram_budget(None, 200_000_000)
    check_ram_budget(900_000_000, 200_000_000)
    with pytest.raises(ResourceLimitError, match=r"500 MB is too little") as refused:
        check_ram_budget(500_000_000, 200_000_000)
    assert "--ram-budget 889MB" in str(refused.value)

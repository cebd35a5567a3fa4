"""Units whose source is read in large pieces start only where memory for them is left."""

import pytest

from preprocess.governor.admission import RESERVED_SHARE, SMALL_BYTES, fits_memory, left_memory_bytes
from preprocess.governor.policy import MemoryReading, tightest

GB = 10**9
READING = MemoryReading(used_bytes=1 * GB, limit_bytes=10 * GB)


def test_what_is_left_is_up_to_throttle_less_what_is_used_and_reserved():
    assert left_memory_bytes(READING, []) == int(10 * GB * RESERVED_SHARE) - 1 * GB
    assert left_memory_bytes(READING, [2 * GB, 1 * GB]) == int(10 * GB * RESERVED_SHARE) - 4 * GB
    assert left_memory_bytes(READING, [9 * GB]) == 0


def test_the_tightest_room_counts_not_the_largest_share():
    machine, group = MemoryReading(9 * GB, 25 * GB), MemoryReading(1 * GB, 6 * GB)
    reading = tightest([group, machine], None)
    assert reading.limit_bytes == machine.limit_bytes
    assert left_memory_bytes(reading, []) == int(6 * GB * RESERVED_SHARE) - 1 * GB
    assert not fits_memory(3 * GB, [3 * GB], reading)


def test_small_units_take_no_room():
    assert left_memory_bytes(READING, [SMALL_BYTES] * 100) == left_memory_bytes(READING, [])
    assert fits_memory(SMALL_BYTES, [9 * GB], MemoryReading(10 * GB, 10 * GB))


@pytest.mark.parametrize(("need", "fits"), [(3 * GB, True), (4 * GB + 1, False)])
def test_a_large_one_starts_beside_another_only_where_both_fit(need, fits):
    assert fits_memory(need, [2 * GB], READING) is fits


def test_alone_the_largest_may_start():
    assert fits_memory(100 * GB, [], READING)
    assert fits_memory(100 * GB, [], None)


def test_without_a_reading_no_large_one_starts_beside_another():
    assert not fits_memory(1 * GB, [0], None)

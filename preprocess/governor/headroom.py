"""Memory is reserved, too, where it can be known: a unit that is read in large pieces waits for room. Pure.

Most units hold a few megabytes. But a row group of 1 GB may be one page, which has to be in memory whole, packed and
unpacked; five of them at once would end a small machine before any sensor saw them coming.
"""

from collections.abc import Iterable

from preprocess.governor.policy import MEMORY, Level, MemoryReading

SMALL_BYTES = 64_000_000
"""Units that hold less are not counted: an actor's own size varies by as much."""
SHARE = MEMORY.entries[Level.THROTTLE]
"""Reservations go up to here; what lies above is for everything that nobody foresaw."""


def left_bytes(reading: MemoryReading, open_needs: Iterable[int]) -> int:
    """What of memory is neither used nor reserved. What open units hold already counts twice: an error towards too
    little.
    """
    reserved = sum(need for need in open_needs if need > SMALL_BYTES)
    return max(0, reading.room_bytes(SHARE) - reserved)


def fits_memory(need_bytes: int, open_needs: Iterable[int], reading: MemoryReading | None) -> bool:
    """Whether a unit that holds *need_bytes* may start beside open ones that hold *open_needs*.

    Alone it always may: waiting would give nothing back. Without a reading only small ones may.
    """
    open_needs = tuple(open_needs)
    if need_bytes <= SMALL_BYTES or not open_needs:
        return True
    return reading is not None and need_bytes <= left_bytes(reading, open_needs)

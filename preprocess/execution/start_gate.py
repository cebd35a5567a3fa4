"""Before Ray starts: room in memory for it, or a wait for it, or the end with a reason."""

import math
from collections.abc import Callable
from time import monotonic, sleep

from preprocess.governor.policy import MEMORY, Level, MemoryReading
from preprocess.monitoring.views import View
from shared.errors import ResourceLimitError
from shared.system.stop_request import StopRequest
from shared.units import format_bytes, format_seconds

START_BYTES = 600_000_000
"""Ray's own processes and one actor, measured: 350 MB and 150 MB."""
LOOK_SECONDS = 0.5


def await_memory(
    read: Callable[[], MemoryReading | None],
    view: View,
    stop: StopRequest,
    stall_seconds: float,
    *,
    now: Callable[[], float] = monotonic,
    wait: Callable[[float], None] = sleep,
) -> None:
    """Returns once *read* shows room for Ray and an actor below the level at which memory is given back.

    Raises ResourceLimitError after *stall_seconds* without it, and what *stop* raises on a stop request.
    """
    began, told = now(), False
    while (short := short_bytes(reading := read())) > 0:
        stop.check()
        used = "memory cannot be read" if reading is None else _words(reading, short)
        if now() - began >= stall_seconds:
            message = f"Ray was not started: {used} (waited {format_seconds(now() - began)})"
            raise ResourceLimitError(message, "end other programs or raise --ram-budget; then the same command goes on")
        if not told:
            view.event(f"waiting to start Ray: {used}")
            told = True
        wait(LOOK_SECONDS)


def check_ram_budget(ram_budget: int | None, own_bytes: int) -> None:
    """Raises ResourceLimitError for a budget that this process, which holds *own_bytes*, Ray and one actor exceed."""
    needed = math.ceil((own_bytes + START_BYTES) / MEMORY.entries[Level.EMERGENCY])
    if ram_budget is not None and ram_budget < needed:
        raise ResourceLimitError(
            f"a memory budget of {format_bytes(ram_budget)} is too little for Ray and one actor",
            f"give --ram-budget {math.ceil(needed / 1e6)}MB or more",
        )


def short_bytes(reading: MemoryReading | None) -> int:
    """By how much memory is too short for a start; a missing reading is no room at all."""
    if reading is None:
        return START_BYTES
    return START_BYTES - reading.room_bytes(MEMORY.entries[Level.EMERGENCY])


def _words(reading: MemoryReading, short: int) -> str:
    used, limit = format_bytes(reading.used_bytes), format_bytes(reading.limit_bytes)
    return f"memory is short by {format_bytes(short)}: {used} of {limit} are in use"

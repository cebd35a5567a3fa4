"""What a piece of work costs this thread, whatever else the machine does meanwhile.

Seconds by the clock would blame the work for every other process; a forecast needs what the work itself takes.
"""

from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter, thread_time
from types import TracebackType
from typing import Self

_SCHEDSTAT = Path("/proc/thread-self/schedstat")
"""Linux: nanoseconds on a core, nanoseconds in the queue for one, time slices."""
_NANOSECONDS = 1e9


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds on a core, and seconds of waiting for a disk or a network; time in the queue for a core is neither."""

    cpu_seconds: float = 0.0
    wait_seconds: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.cpu_seconds + other.cpu_seconds, self.wait_seconds + other.wait_seconds)

    def __mul__(self, times: float) -> "Cost":
        return Cost(self.cpu_seconds * times, self.wait_seconds * times)


@dataclass(slots=True)
class CostMeter:
    """Measures the blocks that it is the context manager of, all in one thread; *total* is their sum."""

    total: Cost = Cost()
    _start: tuple[float, float, float] = field(default=(0.0, 0.0, 0.0))

    def __enter__(self) -> Self:
        self._start = _clocks()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        wall, cpu, queued = (now - then for now, then in zip(_clocks(), self._start, strict=True))
        self.total += Cost(cpu, max(0.0, wall - cpu - queued))


def _clocks() -> tuple[float, float, float]:
    """Seconds by the clock, on a core, and in the queue for one."""
    return perf_counter(), thread_time(), _queued_seconds()


def _queued_seconds() -> float:
    """Time that this thread has spent in the queue for a core; 0 where the kernel does not tell."""
    try:
        return int(_SCHEDSTAT.read_text().split()[1]) / _NANOSECONDS
    except (OSError, ValueError, IndexError):
        return 0.0

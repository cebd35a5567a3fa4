"""Seconds by stage: where an actor's time goes, and the one list of stages that it may go to."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

RESERVE = "reserve"
"""Waiting for room on the disk or in memory."""
STAGES = (RESERVE, "read", "decode", "resample", "log_mel", "tokenise", "write", "commit")
"""The stages of one row, in order; a summary shows them in this order and others after them."""
WAITING = "waiting"
"""The share of actor time that no stage accounts for."""


@dataclass(slots=True)
class StageClock:
    """Adds up the seconds that each named stage takes; *now* is a monotonic clock in seconds."""

    now: Callable[[], float] = perf_counter
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Counts the block's seconds, also when it raises, for *name*. Stages do not nest."""
        start = self.now()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + self.now() - start

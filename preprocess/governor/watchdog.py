"""The watchdog: a thread that reads the sensors, lets the policy decide, and tells everyone the verdict.

It has no say in what happens next but one: when memory reaches STOP it kills the actors itself, since the run loop may
be stuck. For that it opens nothing: sensors hold their files open, and the actors' process ids are known before.
Whoever admits work asks `is_beating` first: a watchdog that has not been heard of for 5 s admits nothing.
"""

import math
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from types import TracebackType
from typing import Self

from preprocess.governor.policy import (
    DiskReading,
    Level,
    MemoryReading,
    PolicyState,
    Signals,
    decide,
)

BEAT_SECONDS = 0.25
SILENT_SECONDS = 5.0
"""Without a beat for so long nothing is admitted."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the watchdog last saw and decided, at *beat_at* of its clock."""

    state: PolicyState
    beat_at: float
    disk: DiskReading | None = None
    memory: MemoryReading | None = None

    @property
    def level(self) -> Level:
        """The tighter of disk and memory."""
        return self.state.level


@dataclass(slots=True)
class Watchdog:
    """Beats until it is closed. *read_disk* and *read_memory* return None when a reading fails, and never raise.

    Each of *actor_pids* is killed once: a process id that has died may soon be another program's.
    """

    read_disk: Callable[[], DiskReading | None]
    read_memory: Callable[[], MemoryReading | None]
    now: Callable[[], float] = monotonic
    kill: Callable[[int, int], None] = os.kill
    no_space: bool = False
    actor_pids: frozenset[int] = frozenset()
    verdict: Verdict = field(init=False)
    _done: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _ended: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        # Nothing was read yet, so nothing may be admitted.
        self.verdict = Verdict(PolicyState(), -math.inf)

    def __enter__(self) -> Self:
        self.beat()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        if self._thread is not None:
            self._thread.join(SILENT_SECONDS)

    def is_beating(self) -> bool:
        """Whether the verdict is fresh enough to admit work on."""
        return abs(self.now() - self.verdict.beat_at) < SILENT_SECONDS

    def beat(self) -> None:
        """One look and one decision."""
        now = self.now()
        disk, memory = self.read_disk(), self.read_memory()
        state = decide(self.verdict.state, Signals(disk, memory, self.no_space), now)
        self.verdict = Verdict(state, now, disk, memory)
        # A 0 or -1 would name a whole process group or every process.
        pids = frozenset(pid for pid in self.actor_pids if pid > 1)
        # Forgotten once it is off the list, so that a new actor that happens to get its number is no exception.
        self._ended &= pids
        if state.memory.level is Level.STOP:
            for pid in pids - self._ended:
                self._end(pid)
            self._ended |= pids

    def _end(self, pid: int) -> None:
        try:
            self.kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            # It went by itself, and its number is free or another user's by now.
            return

    def _run(self) -> None:
        while not self._done.wait(BEAT_SECONDS):
            self.beat()

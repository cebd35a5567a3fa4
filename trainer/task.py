"""Work for whichever thread comes first: one that needs the result and one from a pool are equally welcome."""

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class Task(Generic[T]):
    """*work* is done once, unless it fails: then whoever asks next tries again, and is told."""

    work: Callable[[], T]
    _lock: Lock = field(default_factory=Lock)
    _results: list[T] = field(default_factory=list)
    _cancelled: bool = False

    @property
    def done(self) -> bool:
        """Whether there is a result."""
        return bool(self._results)

    def result(self) -> T:
        """What the work gives; waits only for a thread that has begun with it. Raises what the work raises."""
        with self._lock:
            self._do()
            return self._results[0]

    def help(self) -> None:
        """Does the work unless it is done, another thread has begun with it, or nobody will ask for it."""
        if not self._cancelled and self._lock.acquire(blocking=False):
            try:
                self._do()
            finally:
                self._lock.release()

    def cancel(self) -> None:
        """Nobody will ask: what has not begun is left."""
        self._cancelled = True

    def _do(self) -> None:
        if not self._results:
            self._results.append(self.work())

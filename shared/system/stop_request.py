"""SIGINT and SIGTERM as a request that whoever works looks at; the second one leaves at once."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import FrameType, TracebackType
from typing import Any, Self

from shared.errors import ExitCode, InterruptedRunError


@contextmanager
def deaf_children() -> Iterator[None]:
    """Python processes that are spawned inside the block never hear of Ctrl-C, which a terminal sends to them, too.

    One that is still importing would answer with a traceback. Whoever starts them ends them.
    """
    # What it does once, when it starts itself, would open the mask again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class StopRequest:
    """Turns SIGINT and SIGTERM into `requested`; as a context manager only while its block lasts.

    A second one ends the process at once with status 130; that is as safe as kill -9, which all that we write survives.
    Signals named as *patient* ask, too, and however often. *tell* is called at the first request, in a thread of its
    own: what the signal interrupts may be in the middle of a line.
    """

    def __init__(self, *patient: signal.Signals, tell: Callable[[], None] | None = None) -> None:
        self.requested = False
        self._patient, self._tell = patient, tell
        self._before: dict[signal.Signals, Any] = {}

    def __call__(self) -> bool:
        """Whether a stop was requested."""
        return self.requested

    def __enter__(self) -> Self:
        self._before = {number: signal.getsignal(number) for number in self._signals}
        self.install()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def install(self) -> None:
        """Takes the signals (again: Ray sets handlers of its own when it starts); only in the main thread."""
        for number in self._signals:
            signal.signal(number, self._on_signal)

    def check(self) -> None:
        """Raises InterruptedRunError when a stop was requested."""
        if self.requested:
            raise InterruptedRunError("stopped", "the same command goes on where it stopped")

    @property
    def _signals(self) -> tuple[signal.Signals, ...]:
        return signal.SIGINT, signal.SIGTERM, *self._patient

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self.requested and number not in self._patient:
            os._exit(ExitCode.INTERRUPTED)
        if self._tell is not None and not self.requested:
            threading.Thread(target=self._tell, daemon=True).start()
        self.requested = True

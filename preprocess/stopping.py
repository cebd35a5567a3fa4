"""SIGINT and SIGTERM as a request that the run loop looks at; the second one leaves at once."""

import os
import signal
from types import FrameType, TracebackType
from typing import Any, Self

from shared.errors import ExitCode, InterruptedRunError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Context manager that turns SIGINT and SIGTERM into `requested`.

    A second signal ends the process at once with status 130; that is as safe as kill -9, which the store survives.
    """

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._before = {number: signal.getsignal(number) for number in _SIGNALS}
        self.install()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def install(self) -> None:
        """Takes the signals (again: Ray sets handlers of its own when it starts)."""
        for number in _SIGNALS:
            signal.signal(number, self._on_signal)

    def check(self) -> None:
        """Raises InterruptedRunError when a stop was requested."""
        if self.requested:
            raise InterruptedRunError("stopped", "the same command goes on where it stopped")

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self.requested:
            os._exit(ExitCode.INTERRUPTED)
        self.requested = True

"""A polite end: the first SIGINT or SIGTERM asks for it, a second one ends at once; SIGUSR1 asks however often."""

import signal
from dataclasses import dataclass
from types import FrameType

ORPHANED = signal.SIGUSR1
"""What a rank is told by when torchrun is gone: several times, once for each of torchrun's threads that ends."""


@dataclass(slots=True)
class StopRequest:
    """True once somebody asked the training to stop."""

    requested: bool = False

    def __call__(self) -> bool:
        """Whether it is so."""
        return self.requested

    def install(self) -> None:
        """Listens for these signals from now on; only in the main thread."""
        for number in (signal.SIGINT, signal.SIGTERM, ORPHANED):
            signal.signal(number, self._ask)

    def _ask(self, number: int, _frame: FrameType | None) -> None:
        if self.requested and number != ORPHANED:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self.requested = True

"""Everyone who hears of a run: the person's view, the history for the report, the metrics, the log."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from preprocess.history import History
from preprocess.live import View
from preprocess.progress import Snapshot


@dataclass(slots=True)
class Audience:
    """A `View` that passes everything on to *view*, *history* and the listeners."""

    view: View
    history: History = field(default_factory=History)
    on_update: Sequence[Callable[[Snapshot], None]] = ()
    on_event: Sequence[Callable[[str], None]] = ()

    def __enter__(self) -> Self:
        self.view.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.history.finish()
        self.view.__exit__(kind, error, traceback)

    def update(self, snapshot: Snapshot) -> None:
        """*snapshot* goes to everyone."""
        self.history.see(snapshot)
        for listener in self.on_update:
            listener(snapshot)
        self.view.update(snapshot)

    def event(self, message: str) -> None:
        """*message* goes to everyone."""
        self.history.say(message)
        for listener in self.on_event:
            listener(message)
        self.view.event(message)

"""How far long work is: a bar on a terminal, and elsewhere (a log file, a container) a line every ten seconds."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from time import monotonic

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from shared.command.terminal import Screen
from shared.units import format_seconds

TELL_SECONDS = 10.0


class Pace:
    """Tells on *screen* how much of *total* is done, both in *in_words*, and how long the rest will take."""

    def __init__(self, screen: Screen, what: str, total: int, in_words: Callable[[int], str]) -> None:
        self._screen, self._what, self._total, self._in_words = screen, what, total, in_words
        self._done, self._lock = 0, Lock()
        self._started = self._told = monotonic()

    def advance(self, count: int) -> None:
        """Adds *count*; tells where nothing was told for ten seconds. From any thread."""
        with self._lock:
            self._done += count
            if (now := monotonic()) - self._told < TELL_SECONDS:
                return
            self._told = now
            self._screen.say(f"{self._what}: {self._so_far(now - self._started)}")

    def _so_far(self, elapsed: float) -> str:
        left = format_seconds((self._total - self._done) * elapsed / max(1, self._done))
        return f"{self._in_words(self._done)} of {self._in_words(self._total)}, about {left} left"


@contextmanager
def told(screen: Screen, what: str, total: int, in_words: Callable[[int], str]) -> Iterator[Callable[[int], None]]:
    """Gives what hears of progress, and shows it on *screen*; as `Pace`."""
    if not screen.is_terminal:
        yield Pace(screen, what, total, in_words).advance
        return
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[done]}"), TimeRemainingColumn()
    with Progress(*columns, console=screen, transient=True) as progress:
        task = progress.add_task(what, total=total, done="")

        def advance(count: int) -> None:
            progress.advance(task, count)
            done = int(progress.tasks[0].completed)
            progress.update(task, done=f"{in_words(done)} of {in_words(total)}")

        yield advance

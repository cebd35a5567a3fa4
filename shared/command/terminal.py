"""All that is printed goes out through here, because much of it strangers wrote: names of files, columns and splits,
transcripts, other programs' errors. None of it moves the cursor, turns text around or is taken for markup.
"""

import json
import sys
from collections.abc import Iterable
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from shared.errors import SpeechPrepError
from shared.text import one_line, printable


class Screen(Console):
    """A Rich console for strangers' text: no markup, and no control characters but its own.

    Give it `Text(one_line(...))` all the same: what it replaces itself may leave a table's columns uneven.
    """

    def __init__(
        self,
        *,
        file: TextIO | None = None,
        stderr: bool = False,
        width: int | None = None,
        force_terminal: bool | None = None,
    ) -> None:
        super().__init__(
            file=file,
            stderr=stderr,
            width=width,
            force_terminal=force_terminal,
            highlight=False,
            markup=False,
            emoji=False,
        )

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As Rich's own; what is not the console's own control code can be printed."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=self._shown(segment.text))

    def say(self, text: str) -> None:
        """*text* on one line, however wide the terminal."""
        self.print(Text(one_line(text)), soft_wrap=True)

    def _shown(self, text: str) -> str:
        return _encodable("\n".join(map(printable, text.split("\n"))), self.encoding)


def say(text: str, stream: TextIO | None = None) -> None:
    """Prints *text*, one line of it, to *stream* (stdout where None); an old encoding takes it with backslashes."""
    stream = sys.stdout if stream is None else stream
    stream.write(_encodable(printable(text), getattr(stream, "encoding", None)) + "\n")
    stream.flush()


def complain(message: str, remedy: str = "") -> None:
    """Prints *message* to stderr and, below it, what to do."""
    say(one_line(message), sys.stderr)
    if remedy:
        say(f"  -> {one_line(remedy)}", sys.stderr)


def complain_of(error: Exception) -> None:
    """Prints *error* to stderr and, below it, what to do where it says that."""
    message, remedy = (error.message, error.remedy) if isinstance(error, SpeechPrepError) else (error, "")
    complain(f"error: {message}", remedy)


def json_line(value: Any) -> str:
    """*value* as JSON on one line that can be printed: umlauts as they are, what moves a cursor as an escape."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return "".join(letter if letter.isprintable() else json.dumps(letter)[1:-1] for letter in text)


def _encodable(text: str, encoding: str | None) -> str:
    return text.encode(encoding or "utf-8", "backslashreplace").decode(encoding or "utf-8")

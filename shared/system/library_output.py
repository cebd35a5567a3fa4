"""What C libraries print to stderr by themselves, kept out of a live screen and out of lines for programs.

libmpg123 tells of each odd tag, Ray of each process that it lost. This is not for what we say ourselves: that goes
through `shared.command.terminal`.
"""

import fcntl
import os
import sys
from types import TracebackType
from typing import Self

STDERR = 2
MOST_LINES = 20
"""How many different lines are handed on; a damaged data set can make a library say one for each clip."""
MORE = "and more, which is left out here"
_MOST_BYTES = 1 << 20


class LibraryOutput:
    """Inside, what this process and its children print to stderr is kept in memory. A context manager.

    `lines` hands it on.
    """

    def __init__(self) -> None:
        self._kept = self._saved = -1
        self._read = 0
        self._rest = b""
        self._told: set[str] = set()

    def __enter__(self) -> Self:
        self._kept = os.memfd_create("library-output")
        # Whoever writes does so at the end, wherever another process is, also after `_forget`.
        fcntl.fcntl(self._kept, fcntl.F_SETFL, os.O_APPEND)
        self._saved = os.dup(STDERR)
        self._lead_to(self._kept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lead_to(self._saved)
        os.close(self._saved)
        # The last line may have no end.
        os.write(self._kept, b"\n")

    def lines(self) -> list[str]:
        """Whole lines printed since the last call, each different one once, as it is; also after the block."""
        size = os.fstat(self._kept).st_size
        *whole, self._rest = (self._rest + os.pread(self._kept, size - self._read, self._read)).split(b"\n")
        self._read = size
        if size > _MOST_BYTES:
            self._forget()
        return [line for text in whole if (line := self._new(text))]

    def _new(self, text: bytes) -> str:
        """The line that is to be told of *text*; '' where there is none."""
        line = text.decode(errors="replace").strip()
        if not line or line in self._told or len(self._told) > MOST_LINES:
            return ""
        line = line if len(self._told) < MOST_LINES else MORE
        self._told.add(line)
        return line

    def _forget(self) -> None:
        os.ftruncate(self._kept, 0)
        self._read = 0

    @staticmethod
    def _lead_to(descriptor: int) -> None:
        sys.stderr.flush()
        os.dup2(descriptor, STDERR)

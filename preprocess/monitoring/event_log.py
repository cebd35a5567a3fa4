"""The log of a run: one line per event worth knowing, as text or JSON, in a file that rotates.

Bounded by `MAX_BYTES` times two files, whatever happens; a log that cannot be written ends no run.
"""

import logging
from contextlib import suppress
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from shared.command.terminal import json_line
from shared.text import one_line

LogFormat = Literal["text", "json"]
FILE_NAME = "preprocess.log"
MAX_BYTES = 1_000_000
BACKUPS = 1


class EventLog:
    """Writes to `preprocess.log` in *folder*. A context manager. Each line bears the run's id and the time in UTC."""

    def __init__(self, folder: Path, run_id: str, log_format: LogFormat) -> None:
        self._folder, self._run_id = folder, run_id
        self._line_of = _json_line if log_format == "json" else _text_line
        self._logger = logging.getLogger(f"speech-prep.{run_id}")

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        handler = RotatingFileHandler(
            self._folder / FILE_NAME, maxBytes=MAX_BYTES, backupCount=BACKUPS, encoding="utf-8", delay=True
        )
        handler.setFormatter(logging.Formatter("%(message)s"))
        # A full disk must not fill the screen with tracebacks; the run itself says that the disk is full.
        handler.handleError = lambda record: None  # type: ignore[method-assign]  # noqa: ARG005 - logging's signature
        self._logger.addHandler(handler)
        self._logger.setLevel(logging.INFO)
        self._logger.propagate = False
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handler in list(self._logger.handlers):
            self._logger.removeHandler(handler)
            with suppress(OSError):
                # What is still to be written meets the same full disk.
                handler.close()

    def event(self, message: str, **values: object) -> None:
        """One line; *values* are figures that a program may want."""
        self._logger.info(self._line_of(datetime.now(UTC), self._run_id, message, values))


def _json_line(now: datetime, run_id: str, message: str, values: dict[str, object]) -> str:
    fields = {"time": now.isoformat(timespec="milliseconds"), "run_id": run_id, "event": message}
    return json_line(fields | values)


def _text_line(now: datetime, run_id: str, message: str, values: dict[str, object]) -> str:
    words = [f"{name}={value}" for name, value in values.items()]
    return one_line(" ".join([now.strftime("%Y-%m-%dT%H:%M:%SZ"), run_id, message, *words]))

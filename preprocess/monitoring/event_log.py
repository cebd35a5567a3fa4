"""The log of a run: one line per event worth knowing, as text or JSON, in a file that rotates or on a stream.

The file is bounded by `MAX_BYTES` times two, whatever happens; one that cannot be written ends no run.
"""

import logging
import math
from contextlib import suppress
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TextIO

from preprocess.monitoring.snapshot import Snapshot
from shared.command.terminal import json_line, say
from shared.text import one_line

LogFormat = Literal["text", "json"]
FILE_NAME = "preprocess.log"
MAX_BYTES = 1_000_000
BACKUPS = 1
PROGRESS_EVERY_SECONDS = 30.0
"""The shortest time between two lines of progress; a day of them fits into the files."""


class EventLog:
    """Writes to `preprocess.log` in *folder* and to *stream*, as far as they are given. A context manager.

    Each line bears the run's id and the time in UTC.
    """

    def __init__(
        self, folder: Path | None, run_id: str, log_format: LogFormat, *, stream: TextIO | None = None
    ) -> None:
        self._folder, self._run_id, self._stream = folder, run_id, stream
        self._progress_due = 0.0
        self._line_of = _json_line if log_format == "json" else _text_line
        self._logger = logging.getLogger(f"speech-prep.{run_id}")

    def __enter__(self) -> Self:
        if self._folder is not None:
            self._logger.addHandler(_file_in(self._folder))
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
        line = self._line_of(datetime.now(UTC), self._run_id, message, values)
        self._logger.info(line)
        if self._stream is not None:
            say(line, self._stream)

    def progress(self, snapshot: Snapshot) -> None:
        """One line of *snapshot*'s figures, where the last one is old enough."""
        if snapshot.elapsed_seconds >= self._progress_due:
            self._progress_due = snapshot.elapsed_seconds + PROGRESS_EVERY_SECONDS
            self.event("progress", **_figures(snapshot))


def _file_in(folder: Path) -> RotatingFileHandler:
    folder.mkdir(parents=True, exist_ok=True)
    handler = RotatingFileHandler(
        folder / FILE_NAME, maxBytes=MAX_BYTES, backupCount=BACKUPS, encoding="utf-8", delay=True
    )
    handler.setFormatter(logging.Formatter("%(message)s"))
    # A full disk must not fill the screen with tracebacks; the run itself says that the disk is full.
    handler.handleError = lambda record: None  # type: ignore[method-assign]  # noqa: ARG005 - logging's signature
    return handler


def _figures(snapshot: Snapshot) -> dict[str, object]:
    """What an operator asks first; rates are per second, whole numbers wherever a fraction says nothing."""
    return {
        "rows": snapshot.rows_done,
        "rows_total": snapshot.rows_total,
        "quarantined": snapshot.rows_quarantined,
        "bytes": snapshot.disk_used_bytes,
        "clips_per_second": _rounded(snapshot.rows_per_second, 1),
        "eta_seconds": _rounded(snapshot.eta_seconds),
        "level": snapshot.level,
    }


def _rounded(value: float | None, digits: int = 0) -> float | None:
    """*value*, None where it is no number: JSON has no other word for that."""
    if value is None or not math.isfinite(value):
        return None
    return round(value, digits) if digits else round(value)


def _json_line(now: datetime, run_id: str, message: str, values: dict[str, object]) -> str:
    fields = {"time": now.isoformat(timespec="milliseconds"), "run_id": run_id, "event": message}
    return json_line(fields | values)


def _text_line(now: datetime, run_id: str, message: str, values: dict[str, object]) -> str:
    words = [f"{name}={value}" for name, value in values.items()]
    return one_line(" ".join([now.strftime("%Y-%m-%dT%H:%M:%SZ"), run_id, message, *words]))

"""Takes a plan's sample in a process of its own, and again without the row that killed it.

A row may crash or hang its decoder; then that process ends and not the run, which would meet the row again at every
start. And what large pages took goes with the process.
"""

import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from preprocess.environment import actor_environment
from preprocess.forecast import Sample, SampleTask, sample_rows
from shared.errors import SourceError, SpeechPrepError

SILENT_SECONDS = 120.0
"""Nothing may take one row so long, not even a row group that comes over a slow network."""
MAX_LOST_ROWS = 10
"""A data set that kills its decoder this often among a thousand rows wants a person's look first."""


@dataclass(frozen=True, slots=True)
class _Lost:
    """The process ended while it was at row *row_id*; None before it reached any."""

    row_id: int | None


def sample_apart(task: SampleTask, silent_seconds: float = SILENT_SECONDS) -> Sample:
    """As `sample_rows`, in another process; rows that end it are left out and count as rejected.

    Raises what `sample_rows` raises, and SourceError when too many rows, or none of them, end the process.
    """
    skipped: set[int] = set()
    while True:
        found = _attempt(task.without(skipped), silent_seconds)
        if isinstance(found, Sample):
            return found
        if found.row_id is None or found.row_id in skipped or len(skipped) == MAX_LOST_ROWS:
            where = "before it read a row" if found.row_id is None else f"at row {found.row_id}"
            raise SourceError(
                f"the process that samples split {task.split!r} ended {where}, after {len(skipped)} rows that end it",
                "look at memory, and at the rows with python -m preprocess.inspect",
            )
        skipped.add(found.row_id)


def _attempt(task: SampleTask, silent_seconds: float) -> Sample | _Lost:
    # A fresh interpreter, not a fork: this process may have threads.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(theirs, task), daemon=True)
    with actor_environment():
        process.start()
    theirs.close()
    try:
        return _listen(ours, silent_seconds)
    finally:
        process.kill()
        process.join()
        ours.close()


def _listen(connection: Connection, silent_seconds: float) -> Sample | _Lost:
    """The child's result; until then it says which row it begins."""
    row_id: int | None = None
    try:
        while connection.poll(silent_seconds):
            message = connection.recv()
            if isinstance(message, Sample):
                return message
            if isinstance(message, BaseException):
                raise message
            row_id = message
    except EOFError:
        return _Lost(row_id)
    return _Lost(row_id)


def _child(connection: Any, task: SampleTask) -> None:
    send: Callable[[object], None] = connection.send
    try:
        send(sample_rows(task, progress=send))
    except (SpeechPrepError, OSError) as error:
        send(error)

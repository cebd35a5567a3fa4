"""Rows of recordings that may be parts of files: read again by whoever makes features, cut exactly where they are.

A row that is a whole file gives that file's bytes, as every other kind of clip does; a part gives a WAV of its samples.
Files are confined to the data set's folder and what `Access` allows, as all clips are (`preprocess.sources.confine`).
"""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO

import pyarrow as pa

from preprocess.audio.recordings import Part, Recording
from preprocess.sources.base import BATCH_BYTES, Access, Block, SourceRow, SplitLayout
from preprocess.sources.clips import ClipReader, split_layout
from preprocess.sources.confine import NOTHING_ELSE, read_inside, resolve_inside, spread
from shared.errors import RowRejectedError, SourceError, SpeechPrepError
from shared.schema import QuarantineReason

_SAMPLED_PARTS = 6
_BLOCK_PARTS = 1000


@dataclass(frozen=True, slots=True)
class PartReader(ClipReader):
    """A `RowReader` over files and parts of files: *table* is its rows of `ENTRY_SCHEMA` as an Arrow stream."""

    def rows(self, batch_bytes: int = BATCH_BYTES) -> Iterator[SourceRow]:  # noqa: ARG002 - a clip is a batch here
        """The rows in order; what cannot be read or cut is a row's problem.

        Raises:
            SpeechPrepError: the disk failed.
        """
        row_id = self.first_row_id
        with ExitStack() as stack:
            files = _Files(os.path.realpath(self.root), self.access, stack)
            for batch in pa.ipc.open_stream(self.table):
                for entry in batch.to_pylist():
                    yield _row(files, row_id, entry)
                    row_id += 1


@dataclass(slots=True)
class _Files:
    """Files under *real_root*; the recording last cut from stays open, since its next part is most likely wanted."""

    real_root: str
    access: Access
    stack: ExitStack
    _name: str = ""
    _recording: Recording | None = None

    def read(self, entry: dict[str, str]) -> bytes:
        """The audio of *entry*. Raises RowRejectedError, and SpeechPrepError where the disk failed."""
        name, part = entry["file"], part_of(entry)
        if part is None:
            return read_inside(self.real_root, name, access=self.access)
        if self._recording is None or self._name != name:
            self.stack.close()
            file = self.stack.enter_context(_open_inside(self.real_root, name, self.access))
            self._name, self._recording = name, Recording(file)
        try:
            return self._recording.wav(part)
        except OSError as error:
            raise SpeechPrepError(f"reading {name} failed: {error}", "check the disk, then run it again") from error


def part_of(entry: dict[str, str]) -> Part | None:
    """What of its file *entry* means; None for all of it."""
    start, stop, channel = entry["start"], entry["stop"], entry["channel"]
    if not (start or stop or channel):
        return None
    return Part(Fraction(start or 0), Fraction(stop) if stop else None, int(channel) if channel else None)


def entry_name(entry: dict[str, str]) -> str:
    """The row's path: the file's name, and the part as a media fragment (`long.wav#t=1.5,4`)."""
    start, stop = (f"{float(Fraction(entry[key])):.6f}".rstrip("0").rstrip(".") if entry[key] else ""
                   for key in ("start", "stop"))  # fmt: skip
    times = f"#t={start or '0'}{f',{stop}' if stop else ''}" if start or stop else ""
    channel = f"{'&' if times else '#'}channel={entry['channel']}" if entry["channel"] else ""
    return f"{entry['file']}{times}{channel}"


def lay_out(split: str, table: pa.Table, root: str, access: Access = NOTHING_ELSE) -> SplitLayout:
    """The layout of a split of `ENTRY_SCHEMA`; bytes are estimated from a sample, which for parts is cut.

    Raises SourceError where the split has no rows, no file of the sample is there, or no part of it can be cut.
    """
    whole = split_layout(split, table, root, access)
    entries = [table.slice(at, 1).to_pylist()[0] for at in spread(table.num_rows, _SAMPLED_PARTS * 4)]
    parts = [entry for entry in entries if not entry["problem"] and part_of(entry) is not None][:_SAMPLED_PARTS]
    if not parts:
        return whole
    rate = _bytes_per_second(split, parts, root, access)
    seconds = [_seconds(entry) for entry in table.to_pylist()]
    blocks = tuple(
        Block(len(chunk), round(rate * sum(chunk)))
        for chunk in (seconds[first : first + _BLOCK_PARTS] for first in range(0, len(seconds), _BLOCK_PARTS))
    )
    return SplitLayout(split, blocks, whole.fingerprint, len(set(table.column("file").to_pylist())))


def _bytes_per_second(split: str, parts: Sequence[dict[str, str]], root: str, access: Access) -> float:
    """Of the sampled *parts* as they will be read."""
    num_bytes, seconds, problems = 0, 0.0, []
    with ExitStack() as stack:
        files = _Files(os.path.realpath(root), access, stack)
        for entry in parts:
            row = _row(files, 0, entry)
            if row.audio is None:
                problems.append(f"{row.path}: {row.problem_message}")
            else:
                num_bytes, seconds = num_bytes + len(row.audio), seconds + _seconds(entry)
    if len(problems) == len(parts):
        message = f"no part of split {split!r} can be cut: {'; '.join(problems[:3])}"
        remedy = "times are in seconds: name other columns with --offset-column, --duration-column and --end-column "
        raise SourceError(message, remedy + "(none: whole files)")
    return num_bytes / max(seconds, 1e-3)


def _seconds(entry: dict[str, str]) -> float:
    """How long a part is; nominal where it goes to its file's end."""
    start = Fraction(entry["start"] or 0)
    return float(Fraction(entry["stop"]) - start) if entry["stop"] else 5.0


def _row(files: _Files, row_id: int, entry: dict[str, str]) -> SourceRow:
    path, text, source = entry_name(entry), entry["text"], entry["source"]
    if entry["problem"]:
        return SourceRow(row_id, None, path, text, source, QuarantineReason.UNDECODABLE, entry["problem"])
    try:
        return SourceRow(row_id, files.read(entry), path, text, source)
    except RowRejectedError as error:
        return SourceRow(row_id, None, path, text, source, error.reason, error.message)


def _open_inside(real_root: str, name: str, access: Access) -> BinaryIO:
    """The regular file *name*, open. Raises as `read_inside`, which reads all of it."""
    real = resolve_inside(real_root, name, access)
    try:
        file = os.fdopen(os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except OSError as error:
        # What that says of the row, and what of the disk, is told apart there.
        read_inside(real_root, name, max_bytes=0, access=access)
        raise RowRejectedError(QuarantineReason.NO_AUDIO, f"{name!r} cannot be opened: {error.strerror}") from error
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise RowRejectedError(QuarantineReason.NO_AUDIO, f"{name!r} is no regular file")

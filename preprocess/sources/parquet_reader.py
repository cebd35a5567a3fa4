"""Reads a range of rows out of Parquet files: only the row groups and columns needed, in small batches.

Nothing here is proportional to a row group: the column chunks are read through a buffer of fixed size, page by page, so
a row group of 1 GB costs the memory of one batch and one page. Parquet has to be read by whole pages, a compressed one
packed and unpacked at once. `datasets` writes 100 clips to a row group, pages of 14 MB; pyarrow by itself puts up to
1,024 values into one, which with clips of 140 KB makes pages of 143 MB and a reader of 320 MB.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from preprocess.sources.base import BATCH_BYTES, Columns, SourceFile, SourceRow
from preprocess.sources.columns import text_columns
from preprocess.sources.embedded import RowMaker, audio_leaves
from shared.errors import SourceError
from shared.system.read_errors import refuse_unreadable
from shared.units import format_counted

MAX_BATCH_ROWS = 1024
LARGE_GROUP_BYTES = 64_000_000
"""Row groups of this size do not stay in the page cache."""
REPEATED_BATCH_BYTES = 16 * 1024**2
"""What a batch may come to where every row of it is the same clip."""


class Files(Protocol):
    """Where a data set's Parquet files lie. Picklable; connects to nothing before `filesystem` is called."""

    @property
    def buffer_bytes(self) -> int:
        """Bytes of one read: small on a disk, large where each read is a request."""
        ...

    def filesystem(self) -> pafs.FileSystem:
        """The file system that the files' paths belong to."""
        ...

    def look(self, path: str, name: str) -> SourceFile:
        """The file at *path*, called *name*, as it is now."""
        ...

    def forget(self, path: str, start: int, num_bytes: int) -> None:
        """This part of a file is not needed for now: nothing of it has to stay in memory."""
        ...


@dataclass(frozen=True, slots=True)
class LocalDisk:
    """`Files` on this machine. Buffered reads, not mmap: pages of 135 GB of source would push the store's out."""

    buffer_bytes: int = 1024**2

    def filesystem(self) -> pafs.FileSystem:
        """The local file system, without memory mapping."""
        return pafs.LocalFileSystem(use_mmap=False)

    def look(self, path: str, name: str) -> SourceFile:
        """Its size and time."""
        return SourceFile.at(path, name)

    def forget(self, path: str, start: int, num_bytes: int) -> None:
        """Drops the part from the page cache. Read twice it would count as in use, and hold back work."""
        # The file may be gone by now, which is for the next reader to say.
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.posix_fadvise(descriptor, start, num_bytes, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)


@dataclass(frozen=True, slots=True)
class RowGroupSlice:
    """Rows *start* to *stop* of one row group of the file at *path*; *name* is what messages call the file."""

    path: str
    name: str
    row_group: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class ParquetReader:
    """A `RowReader` over row groups; it holds strings and numbers only, and opens files when `rows` is called."""

    files: Files
    maker: RowMaker
    slices: tuple[RowGroupSlice, ...]
    first_row_id: int

    def rows(self, batch_bytes: int = BATCH_BYTES) -> Iterator[SourceRow]:
        """The rows in order.

        Raises:
            SourceError: a file is gone or damaged; the message names it and the row group.
        """
        row_id = self.first_row_id
        filesystem = self.files.filesystem()
        for path, group in groupby(self.slices, key=lambda piece: piece.path):
            pieces = list(group)
            with open_parquet_file(filesystem, path, pieces[0].name, self.files.buffer_bytes) as file:
                for piece in pieces:
                    for batch in _batches(file, piece, self.maker.columns, batch_bytes):
                        yield from self.maker.rows(batch, row_id)
                        row_id += batch.num_rows
                    self._forget_large(file, piece)
        # Large pages go back to the system by themselves (`environment.py`); this is for the rest. After every batch it
        # would make the process fault the same memory in anew, which costs more than reading does.
        pa.default_memory_pool().release_unused()

    def source_files(self, most: int | None = None) -> list[SourceFile]:
        """The Parquet files, or *most* of them."""
        named = list({piece.path: piece.name for piece in self.slices}.items())
        return [self.files.look(path, name) for path, name in named[:most]]

    def _forget_large(self, file: pq.ParquetFile, piece: RowGroupSlice) -> None:
        """A row group that many units share is read from its start by each of them."""
        group = file.metadata.row_group(piece.row_group)
        if chunk_bytes(group, self.maker.columns.audio, compressed=True) >= LARGE_GROUP_BYTES:
            starts = (_first_page(group.column(index)) for index in range(group.num_columns))
            packed = sum(group.column(index).total_compressed_size for index in range(group.num_columns))
            self.files.forget(piece.path, min(starts), packed)


@contextmanager
def open_parquet_file(filesystem: pafs.FileSystem, path: str, name: str, buffer_bytes: int) -> Iterator[pq.ParquetFile]:
    """The open file at *path*; messages call it *name*.

    Raises:
        SourceError: it is gone, or it is no Parquet file.
    """
    with ExitStack() as stack:
        try:
            handle = stack.enter_context(filesystem.open_input_file(path))
            # buffer_size 0 would read whole column chunks, and pre_buffer whole row groups.
            file = pq.ParquetFile(handle, buffer_size=buffer_bytes, pre_buffer=False, page_checksum_verification=True)
        except (OSError, pa.ArrowException) as error:
            refuse_unreadable(name, error)
            raise SourceError(
                f"{name} cannot be opened as Parquet: {error}", "download or copy the file again; it may be incomplete"
            ) from error
        yield stack.enter_context(file)


def leaf_names(schema: pa.Schema, columns: Columns) -> list[str]:
    """The leaf columns to read: `audio.bytes`, `audio.path`, the transcript and, where there is one, the source."""
    leaves = [f"{columns.audio}.{leaf}" for leaf in audio_leaves(schema.field(columns.audio).type)]
    return (leaves or [columns.audio]) + text_columns(schema.names, columns)


def batch_rows(num_rows: int, audio_bytes: int, batch_bytes: int = BATCH_BYTES) -> int:
    """Rows in a batch of about *batch_bytes*, from a row group's rows and uncompressed audio bytes; at least 1.

    Clips that repeat stand only once in a row group (in its dictionary), so that a batch of small rows on average may
    be all of its bytes again and again: no more than `REPEATED_BATCH_BYTES` of that are risked.
    """
    wanted = min(MAX_BATCH_ROWS, batch_bytes * num_rows // max(1, audio_bytes))
    return max(1, min(wanted, REPEATED_BATCH_BYTES // max(1, audio_bytes)))


def _first_page(chunk: pq.ColumnChunkMetaData) -> int:
    """Where *chunk* begins in its file."""
    offset: int = chunk.dictionary_page_offset or chunk.data_page_offset
    return offset


def chunk_bytes(group: pq.RowGroupMetaData, prefix: str, *, compressed: bool) -> int:
    """Bytes of the column chunks of *group* that lie under the column *prefix*."""
    chunks = [group.column(index) for index in range(group.num_columns)]
    wanted: Sequence[pq.ColumnChunkMetaData] = [c for c in chunks if c.path_in_schema.startswith(f"{prefix}.")]
    return sum(c.total_compressed_size if compressed else c.total_uncompressed_size for c in wanted)


def _batches(
    file: pq.ParquetFile, piece: RowGroupSlice, columns: Columns, batch_bytes: int
) -> Iterator[pa.RecordBatch]:
    group = file.metadata.row_group(piece.row_group)
    size = batch_rows(group.num_rows, chunk_bytes(group, columns.audio, compressed=False), batch_bytes)
    first = 0
    try:
        batches = file.iter_batches(size, [piece.row_group], leaf_names(file.schema_arrow, columns), use_threads=False)
        for batch in batches:
            low, high = max(piece.start - first, 0), min(piece.stop - first, batch.num_rows)
            first += batch.num_rows
            if low < high:
                yield batch.slice(low, high - low)
            if first >= piece.stop:
                return
    except (OSError, pa.ArrowException) as error:
        refuse_unreadable(piece.name, error)
        raise _damaged(piece, str(error)) from error
    raise _damaged(piece, f"it ends after {format_counted(first, 'row')}")


def _damaged(piece: RowGroupSlice, why: str) -> SourceError:
    return SourceError(
        f"{piece.name}, row group {piece.row_group}, cannot be read (rows {piece.start} to {piece.stop}): {why}",
        "download or copy the file again, then run the same command",
    )

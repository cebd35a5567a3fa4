"""Clips that lie as files beside a table that names and transcribes them: audio folders and Common Voice.

A split is a table of three string columns (`_CLIP_SCHEMA`); it is loaded when the split is first looked at, and a
reader carries its own rows of it.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from preprocess.sources.base import (
    BATCH_BYTES,
    Access,
    Block,
    RowReader,
    SourceFile,
    SourceRow,
    SplitLayout,
    split_named,
)
from preprocess.sources.confine import (
    NOTHING_ELSE,
    file_inside,
    mean_size,
    read_inside,
    resolve_inside,
    sizes_inside,
    spread,
)
from shared.errors import RowRejectedError, SourceError
from shared.schema import QuarantineReason, fingerprint
from shared.units import format_counted

_CLIP_SCHEMA = pa.schema([(name, pa.string()) for name in ("file", "text", "source", "problem")])
"""A split's table, without nulls: the clip's file relative to the folder, its transcript, its source.

*problem* says why the row's line could not be read, '' where it could.
"""
_BLOCK_CLIPS = 1000
_BATCH_CLIPS = 256


@dataclass(frozen=True, slots=True)
class ClipReader:
    """A `RowReader` over clip files: *table* is its rows of `_CLIP_SCHEMA` as an Arrow stream, *root* their folder."""

    root: str
    table: bytes
    first_row_id: int
    access: Access = NOTHING_ELSE

    def rows(self, batch_bytes: int = BATCH_BYTES) -> Iterator[SourceRow]:  # noqa: ARG002 - a clip is a batch here
        """The rows in order; each file is read when its row is reached, and one that cannot be is a row's problem.

        Raises:
            SpeechPrepError: the disk failed.
        """
        row_id = self.first_row_id
        real_root = os.path.realpath(self.root)
        for batch in pa.ipc.open_stream(self.table):
            for clip in batch.to_pylist():
                yield _row(real_root, row_id, clip, self.access)
                row_id += 1

    def source_files(self, most: int | None = None) -> list[SourceFile]:
        """The files, or *most* of them, each once; one that is not there, or lies outside, is unknown."""
        names = list(dict.fromkeys(pa.ipc.open_stream(self.table).read_all().column("file").to_pylist()))
        real_root = os.path.realpath(self.root)
        return [file_inside(real_root, names[index], self.access) for index in spread(len(names), most or len(names))]


@dataclass(frozen=True, slots=True)
class ClipSource:
    """A `Source` over clip files under *root*; *loaders* give each split's table, once, when it is first needed.

    *chosen* are the splits prepared by default, where not all are. *reader_of* (root, rows as an Arrow
    stream, first row id, access) and *layout_of* (split, table, root, access) may know further columns.
    """

    uri: str
    root: str
    loaders: Mapping[str, Callable[[], pa.Table]]
    _tables: dict[str, pa.Table] = field(default_factory=dict)
    _layouts: dict[str, SplitLayout] = field(default_factory=dict)
    access: Access = NOTHING_ELSE
    chosen: Sequence[str] = ()
    notes: Sequence[str] = ()
    reader_of: Callable[[str, bytes, int, Access], RowReader] = ClipReader
    layout_of: Callable[[str, pa.Table, str, Access], SplitLayout] = field(default_factory=lambda: split_layout)

    @property
    def splits(self) -> Mapping[str, SplitLayout]:
        """Layouts by split name; a split's table is read when its layout is asked for."""
        return _Layouts(self)

    @property
    def default_splits(self) -> Sequence[str]:
        """Those that were chosen, or all."""
        return self.chosen or tuple(self.loaders)

    def reader(self, split: str, start: int, stop: int) -> RowReader:
        """A reader for rows *start* to *stop* of *split*.

        Raises:
            SourceError: there is no such split.
            IndexError: the rows are not in it.
        """
        total = split_named(self.splits, split, self.uri).num_rows
        if not 0 <= start <= stop <= total:
            raise IndexError(f"rows {start} to {stop} of a split with {format_counted(total, 'row')}")
        sink = pa.BufferOutputStream()
        # A stream holds the slice alone; pickling the table would take the whole split's buffers along.
        table = self._table(split)
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table.slice(start, stop - start), max_chunksize=_BATCH_CLIPS)
        return self.reader_of(self.root, sink.getvalue().to_pybytes(), start, self.access)

    def layout(self, split: str) -> SplitLayout:
        """The layout of *split*; its bytes are estimated from a fixed sample of the files.

        Raises:
            SourceError: the split has no rows, or none of the sampled files exists.
        """
        if split not in self._layouts:
            self._layouts[split] = self.layout_of(split, self._table(split), self.root, self.access)
        return self._layouts[split]

    def _table(self, split: str) -> pa.Table:
        if split not in self._tables:
            self._tables[split] = self.loaders[split]()
            pa.default_memory_pool().release_unused()
        return self._tables[split]


@dataclass(frozen=True, slots=True)
class _Layouts(Mapping[str, SplitLayout]):
    source: ClipSource

    def __getitem__(self, split: str) -> SplitLayout:
        if split not in self.source.loaders:
            raise KeyError(split)
        return self.source.layout(split)

    def __contains__(self, split: object) -> bool:
        return split in self.source.loaders

    def __iter__(self) -> Iterator[str]:
        return iter(self.source.loaders)

    def __len__(self) -> int:
        return len(self.source.loaders)


def clip_table(
    files: pa.ChunkedArray,
    texts: pa.ChunkedArray,
    sources: pa.ChunkedArray | str,
    problems: pa.ChunkedArray | str = "",
) -> pa.Table:
    """A table of clips (`_CLIP_SCHEMA`) from its columns, or from one value for all rows. Nulls become ''."""
    columns = (files, texts, sources, problems)
    return pa.table([_filled(column, len(files)) for column in columns], schema=_CLIP_SCHEMA)


def _filled(column: pa.ChunkedArray | str, count: int) -> pa.ChunkedArray:
    if isinstance(column, str):
        return pa.chunked_array([pa.repeat(pa.scalar(column), count)])
    return pc.fill_null(column.cast(pa.string()), "")


def _row(real_root: str, row_id: int, clip: Mapping[str, str], access: Access) -> SourceRow:
    name, text, source = clip["file"], clip["text"], clip["source"]
    if clip["problem"]:
        return SourceRow(row_id, None, name, None, source, QuarantineReason.UNDECODABLE, clip["problem"])
    try:
        return SourceRow(row_id, read_inside(real_root, name, access=access), name, text, source)
    except RowRejectedError as error:
        return SourceRow(row_id, None, name, text, source, error.reason, error.message)


def split_layout(split: str, table: pa.Table, root: str, access: Access = NOTHING_ELSE) -> SplitLayout:
    """The layout of a split of whole clips, its bytes from a fixed sample of the files.

    Raises:
        SourceError: the split has no rows, or none of the sampled files exists.
    """
    if table.num_rows == 0:
        raise SourceError(f"split {split!r} of {root} has no rows", "choose another split with --split")
    count = table.num_rows
    names = table.column("file").take(pa.array(spread(count))).to_pylist()
    real_root = os.path.realpath(root)
    sizes = sizes_inside(real_root, names, access)
    if max(sizes) < 0:
        raise _none_there(split, root, names, access)
    mean = mean_size(sizes)
    rows = [min(_BLOCK_CLIPS, count - first) for first in range(0, count, _BLOCK_CLIPS)]
    blocks = tuple(Block(num_rows, num_rows * mean) for num_rows in rows)
    return SplitLayout(split, blocks, fingerprint([split, count, _digest(table), sizes]), count)


def _none_there(split: str, root: str, names: Sequence[str], access: Access) -> SourceError:
    """Why none of the sampled clips *names* can be read, by the first of them, and which option would help."""
    message = (
        f"no clip of split {split!r} was found: none of {format_counted(len(names), 'file')}, "
        f"{names[0]!r} first, is in {root}"
    )
    try:
        resolve_inside(os.path.realpath(root), names[0], access)
    except RowRejectedError as error:
        return SourceError(message, error.message)
    return SourceError(message, "put the clips there, or name the folder that they lie in with --audio-root")


def _digest(table: pa.Table) -> str:
    digest = hashlib.blake2b(digest_size=8)
    if not pc.any(pc.not_equal(table.column("problem"), "")).as_py():
        # As before there was such a column: what a store was made of is what it was.
        table = table.drop_columns(["problem"])
    # In slices of one length, so that the digest is of the values and not of how the file was split into chunks.
    for first in range(0, table.num_rows, _BLOCK_CLIPS):
        for batch in table.slice(first, _BLOCK_CLIPS).combine_chunks().to_batches():
            digest.update(batch.serialize())
    return digest.hexdigest()

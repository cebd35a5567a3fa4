"""Clips that lie as files beside a table that names and transcribes them: audio folders and Common Voice.

A split is a table of three string columns (`_CLIP_SCHEMA`); it is loaded when the split is first looked at, and a
reader carries its own rows of it.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from preprocess.sources.base import BATCH_BYTES, Block, SourceFile, SourceRow, SplitLayout, split_named
from preprocess.sources.confine import file_inside, mean_size, read_inside, sizes_inside, spread
from shared.errors import RowRejectedError, SourceError
from shared.schema import fingerprint

_CLIP_SCHEMA = pa.schema([("file", pa.string()), ("text", pa.string()), ("source", pa.string())])
"""A split's table, without nulls: the clip's file relative to the folder, its transcript, its source."""
_BLOCK_CLIPS = 1000
_BATCH_CLIPS = 256


@dataclass(frozen=True, slots=True)
class ClipReader:
    """A `RowReader` over clip files: *table* is its rows of `_CLIP_SCHEMA` as an Arrow stream, *root* their folder."""

    root: str
    table: bytes
    first_row_id: int

    def rows(self, batch_bytes: int = BATCH_BYTES) -> Iterator[SourceRow]:  # noqa: ARG002 - a clip is a batch here
        """The rows in order; each file is read when its row is reached, and one that cannot be is a row's problem.

        Raises:
            SpeechPrepError: the disk failed.
        """
        row_id = self.first_row_id
        real_root = os.path.realpath(self.root)
        for batch in pa.ipc.open_stream(self.table):
            for clip in batch.to_pylist():
                yield _row(real_root, row_id, clip["file"], clip["text"], clip["source"])
                row_id += 1

    def source_files(self, most: int | None = None) -> list[SourceFile]:
        """The clips, or *most* of them; one that is not there, or lies outside, is unknown."""
        names = pa.ipc.open_stream(self.table).read_all().column("file").to_pylist()
        real_root = os.path.realpath(self.root)
        return [file_inside(real_root, names[index]) for index in spread(len(names), most or len(names))]


@dataclass(frozen=True, slots=True)
class ClipSource:
    """A `Source` over clip files under *root*; *loaders* give each split's table, once, when it is first needed."""

    uri: str
    root: str
    loaders: Mapping[str, Callable[[], pa.Table]]
    _tables: dict[str, pa.Table] = field(default_factory=dict)
    _layouts: dict[str, SplitLayout] = field(default_factory=dict)

    @property
    def splits(self) -> Mapping[str, SplitLayout]:
        """Layouts by split name; a split's table is read when its layout is asked for."""
        return _Layouts(self)

    def reader(self, split: str, start: int, stop: int) -> ClipReader:
        """A reader for rows *start* to *stop* of *split*.

        Raises:
            SourceError: there is no such split.
            IndexError: the rows are not in it.
        """
        total = split_named(self.splits, split, self.uri).num_rows
        if not 0 <= start <= stop <= total:
            raise IndexError(f"rows {start} to {stop} of a split with {total} rows")
        sink = pa.BufferOutputStream()
        # A stream holds the slice alone; pickling the table would take the whole split's buffers along.
        with pa.ipc.new_stream(sink, _CLIP_SCHEMA) as writer:
            writer.write_table(self._table(split).slice(start, stop - start), max_chunksize=_BATCH_CLIPS)
        return ClipReader(self.root, sink.getvalue().to_pybytes(), start)

    def layout(self, split: str) -> SplitLayout:
        """The layout of *split*; its bytes are estimated from a fixed sample of the files.

        Raises:
            SourceError: the split has no rows, or none of the sampled files exists.
        """
        if split not in self._layouts:
            self._layouts[split] = _layout(split, self._table(split), self.root)
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


def clip_table(files: pa.ChunkedArray, texts: pa.ChunkedArray, sources: pa.ChunkedArray | str) -> pa.Table:
    """A table of `_CLIP_SCHEMA` from its columns; *sources* can be one name for all rows. Nulls become ''."""
    filled = [pc.fill_null(column.cast(pa.string()), "") for column in (files, texts)]
    if isinstance(sources, str):
        filled.append(pa.chunked_array([pa.repeat(pa.scalar(sources), len(files))]))
    else:
        filled.append(pc.fill_null(sources.cast(pa.string()), ""))
    return pa.table(filled, schema=_CLIP_SCHEMA)


def _row(real_root: str, row_id: int, name: str, text: str, source: str) -> SourceRow:
    try:
        return SourceRow(row_id, read_inside(real_root, name), name, text, source)
    except RowRejectedError as error:
        return SourceRow(row_id, None, name, text, source, error.reason, error.message)


def _layout(split: str, table: pa.Table, root: str) -> SplitLayout:
    if table.num_rows == 0:
        raise SourceError(f"split {split!r} of {root} has no rows", "choose another split with --split")
    count = table.num_rows
    names = table.column("file").take(pa.array(spread(count))).to_pylist()
    sizes = sizes_inside(os.path.realpath(root), names)
    if max(sizes) < 0:
        raise SourceError(
            f"no clip of split {split!r} is there: {names[0]!r} and {len(names) - 1} others are no files in {root}",
            "name the folder that the file names belong to",
        )
    mean = mean_size(sizes)
    rows = [min(_BLOCK_CLIPS, count - first) for first in range(0, count, _BLOCK_CLIPS)]
    blocks = tuple(Block(num_rows, num_rows * mean) for num_rows in rows)
    return SplitLayout(split, blocks, fingerprint([split, count, _digest(table), sizes]), count)


def _digest(table: pa.Table) -> str:
    digest = hashlib.blake2b(digest_size=8)
    # In slices of one length, so that the digest is of the values and not of how the file was split into chunks.
    for first in range(0, table.num_rows, _BLOCK_CLIPS):
        for batch in table.slice(first, _BLOCK_CLIPS).combine_chunks().to_batches():
            digest.update(batch.serialize())
    return digest.hexdigest()

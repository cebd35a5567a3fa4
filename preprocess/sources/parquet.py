"""Parquet in the Hub's layout, on any file system: splits and blocks are read from the footers alone."""

import hashlib
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from preprocess.sources.base import Block, Columns, SplitLayout, pieces, split_named
from preprocess.sources.columns import check_embedded_columns
from preprocess.sources.embedded import RowMaker, external_clip_bytes
from preprocess.sources.parquet_files import LocalFiles
from preprocess.sources.parquet_reader import (
    Files,
    LocalDisk,
    ParquetReader,
    RowGroupSlice,
    chunk_bytes,
    leaf_names,
    open_parquet_file,
)
from shared.errors import SourceError
from shared.schema import fingerprint
from shared.system.read_errors import refuse_unreadable

_FOOTER_THREADS = 16
_FOOTER_TAIL_BYTES = 8
_SMALL_CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class DataFile:
    """One Parquet file: *path* on its file system, *name* within the data set.

    *identity* is what its keeper says of its content (an ETag); '' where nobody does, and the footer stands for it.
    """

    path: str
    name: str
    identity: str = ""


@dataclass(frozen=True, slots=True)
class _Footer:
    file: DataFile
    blocks: tuple[Block, ...]
    identity: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class ParquetSource:
    """A `Source` over Parquet files; *footers* are by split, in row order."""

    uri: str
    splits: Mapping[str, SplitLayout]
    files: Files
    maker: RowMaker
    footers: Mapping[str, Sequence[_Footer]]

    def reader(self, split: str, start: int, stop: int) -> ParquetReader:
        """A reader for rows *start* to *stop* of *split*.

        Raises:
            SourceError: there is no such split.
            IndexError: the rows are not in it.
        """
        blocks = split_named(self.splits, split, self.uri).blocks
        ends = list(accumulate(len(footer.blocks) for footer in self.footers[split]))
        slices = []
        for piece in pieces(blocks, start, stop):
            footer = self.footers[split][bisect_right(ends, piece.block)]
            number = piece.block - ends[bisect_right(ends, piece.block)] + len(footer.blocks)
            slices.append(RowGroupSlice(footer.file.path, footer.file.name, number, piece.start, piece.stop))
        return ParquetReader(self.files, self.maker, tuple(slices), start)


def open_local_parquet(uri: str, found: LocalFiles, columns: Columns) -> ParquetSource:
    """The source made of Parquet files on this machine.

    Raises:
        SourceError: as `open_parquet`.
    """
    splits = {
        split: [DataFile(str(found.root / name), name) for name in names] for split, names in found.splits.items()
    }
    maker = RowMaker(columns, found.root.resolve().name, str(found.root))
    return open_parquet(uri, splits, LocalDisk(), maker)


def open_parquet(uri: str, splits: Mapping[str, Sequence[DataFile]], files: Files, maker: RowMaker) -> ParquetSource:
    """The source made of *splits*; every footer is read (in parallel) and every file's columns are checked.

    Raises:
        SourceError: a file is damaged, has no rows or not the columns named, or a split's first row group has neither
            audio bytes nor files in their place.
    """
    filesystem = files.filesystem()
    with ThreadPoolExecutor(_FOOTER_THREADS) as pool:
        read = partial(_read_footer, filesystem, files.buffer_bytes, maker.columns)
        footers = {split: list(pool.map(read, data)) for split, data in splits.items()}
    layouts = {}
    for split, parts in footers.items():
        clip_bytes = _external_clip_bytes(filesystem, files, parts[0], maker)
        blocks = tuple(_with_clips(block, clip_bytes) for part in parts for block in part.blocks)
        layouts[split] = SplitLayout(split, blocks, fingerprint([split, [part.identity for part in parts]]), len(parts))
    return ParquetSource(uri, layouts, files, maker, footers)


def _read_footer(filesystem: pafs.FileSystem, buffer_bytes: int, columns: Columns, file: DataFile) -> _Footer:
    with open_parquet_file(filesystem, file.path, file.name, buffer_bytes) as parquet:
        metadata = parquet.metadata
        if metadata.num_rows == 0:
            raise SourceError(f"{file.name} holds no rows", "download the file again, or leave it out")
        check_embedded_columns(parquet.schema_arrow, columns, file.name)
        blocks = tuple(
            _block(group, columns.audio) for group in map(metadata.row_group, range(metadata.num_row_groups))
        )
    if file.identity:
        return _Footer(file, blocks, (file.name, file.identity))
    # The footer has every chunk's offset, size and statistics: a cheap stand-in for the content's own hash, and the
    # same wherever the file is copied to.
    return _Footer(file, blocks, (file.name, *_footer_digest(filesystem, file.path, metadata.serialized_size)))


def _footer_digest(filesystem: pafs.FileSystem, path: str, footer_bytes: int) -> tuple[int, str]:
    with filesystem.open_input_file(path) as handle:
        size = handle.size()
        handle.seek(size - _FOOTER_TAIL_BYTES - footer_bytes)
        return size, hashlib.blake2b(handle.read(footer_bytes), digest_size=8).hexdigest()


def _external_clip_bytes(filesystem: pafs.FileSystem, files: Files, first: _Footer, maker: RowMaker) -> int:
    name, audio = first.file.name, maker.columns.audio
    with open_parquet_file(filesystem, first.file.path, name, files.buffer_bytes) as parquet:
        number = next(number for number, block in enumerate(first.blocks) if block.num_rows)
        if not _may_lack_bytes(parquet.metadata.row_group(number), audio):
            return 0
        leaves = [leaf for leaf in leaf_names(parquet.schema_arrow, maker.columns) if leaf.startswith(f"{audio}.")]
        try:
            table = parquet.read_row_group(number, leaves, use_threads=False)
        except (OSError, pa.ArrowException) as error:
            refuse_unreadable(name, error)
            raise SourceError(f"{name}, row group {number}, cannot be read: {error}", "copy the file again") from error
    return external_clip_bytes(table.column(audio).combine_chunks(), maker.root, name)


def _may_lack_bytes(group: pq.RowGroupMetaData, audio: str) -> bool:
    for chunk in map(group.column, range(group.num_columns)):
        if chunk.path_in_schema == f"{audio}.bytes":
            statistics = chunk.statistics
            if statistics is not None and statistics.has_null_count:
                return bool(statistics.null_count == group.num_rows)
            # Without statistics: nulls take less than a value's 4 bytes, and so small a chunk is cheap to read and see.
            return bool(chunk.total_uncompressed_size < 4 * group.num_rows + _SMALL_CHUNK_BYTES)
    return True


def _with_clips(block: Block, clip_bytes: int) -> Block:
    return replace(block, num_bytes=block.num_bytes + block.num_rows * clip_bytes)


def _block(group: pq.RowGroupMetaData, audio: str) -> Block:
    """A row group; the footer does not say how long its pages are, and one may be all of it.

    Measured with pyarrow 26 on a page of 1.07 GB: 1.1 GB where it is not compressed, else 3.2 GB.
    """
    unpacked, packed = (chunk_bytes(group, audio, compressed=compressed) for compressed in (False, True))
    codecs = {group.column(index).compression for index in range(group.num_columns)}
    return Block(group.num_rows, unpacked, unpacked if codecs == {"UNCOMPRESSED"} else packed + 2 * unpacked)

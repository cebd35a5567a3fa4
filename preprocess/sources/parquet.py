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

from preprocess.sources.base import (
    Access,
    Block,
    Columns,
    SplitLayout,
    Splits,
    each_opened,
    pieces,
    split_named,
)
from preprocess.sources.columns import check_embedded_columns
from preprocess.sources.confine import NOTHING_ELSE
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
from shared.errors import SourceError, SpeechPrepError
from shared.schema import fingerprint
from shared.system.read_errors import refuse_unreadable

_FOOTER_THREADS = 16
_FOOTER_TAIL_BYTES = 8
_SMALL_CHUNK_BYTES = 64 * 1024
_LISTED = 3


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
    """*lacks_bytes* says that its rows seem to have no audio inside."""

    file: DataFile
    blocks: tuple[Block, ...]
    identity: tuple[Any, ...]
    lacks_bytes: bool = False


@dataclass(frozen=True, slots=True)
class ParquetSource:
    """A `Source` over Parquet files; *footers* are by split, in row order."""

    uri: str
    splits: Mapping[str, SplitLayout]
    files: Files
    maker: RowMaker
    footers: Mapping[str, Sequence[_Footer] | SpeechPrepError]
    notes: Sequence[str] = ()

    @property
    def default_splits(self) -> Sequence[str]:
        """All of them."""
        return tuple(self.splits)

    def reader(self, split: str, start: int, stop: int) -> ParquetReader:
        """A reader for rows *start* to *stop* of *split*.

        Raises:
            SourceError: there is no such split.
            IndexError: the rows are not in it.
        """
        blocks = split_named(self.splits, split, self.uri).blocks
        found = self.footers[split]
        footers = () if isinstance(found, SpeechPrepError) else found
        ends = list(accumulate(len(footer.blocks) for footer in footers))
        slices = []
        for piece in pieces(blocks, start, stop):
            footer = footers[bisect_right(ends, piece.block)]
            number = piece.block - ends[bisect_right(ends, piece.block)] + len(footer.blocks)
            slices.append(RowGroupSlice(footer.file.path, footer.file.name, number, piece.start, piece.stop))
        return ParquetReader(self.files, self.maker, tuple(slices), start)


def open_local_parquet(uri: str, found: LocalFiles, columns: Columns, access: Access = NOTHING_ELSE) -> ParquetSource:
    """The source made of Parquet files on this machine.

    Raises:
        SourceError: as `open_parquet`.
    """
    splits = {
        split: [DataFile(str(found.root / name), name) for name in names] for split, names in found.splits.items()
    }
    maker = RowMaker(columns, found.root.resolve().name, str(found.root), access)
    return replace(open_parquet(uri, splits, LocalDisk(), maker), notes=found.notes)


def open_parquet(uri: str, splits: Mapping[str, Sequence[DataFile]], files: Files, maker: RowMaker) -> ParquetSource:
    """The source made of *splits*; every footer is read (in parallel) and every file's columns are checked.

    A split that cannot be used says so when it is asked for.

    Raises:
        SourceError: of no split can be used: a file is damaged or has not the columns named, or a split has no rows, or
            neither audio bytes nor files in their place.
    """
    filesystem = files.filesystem()
    with ThreadPoolExecutor(_FOOTER_THREADS) as pool:
        read = partial(_read_footer, filesystem, files.buffer_bytes, maker.columns)
        footers = each_opened(splits, lambda split: list(pool.map(read, splits[split])))

    def layout(split: str) -> SplitLayout:
        """The layout of *split*, whose footers were read."""
        parts = footers[split]
        if isinstance(parts, SpeechPrepError):
            raise parts
        return _layout(split, parts, filesystem, files, maker)

    return ParquetSource(uri, Splits(each_opened(splits, layout)), files, maker, footers)


def _layout(
    split: str, parts: Sequence[_Footer], filesystem: pafs.FileSystem, files: Files, maker: RowMaker
) -> SplitLayout:
    with_rows = [part for part in parts if any(block.num_rows for block in part.blocks)]
    if not with_rows:
        named = ", ".join(part.file.name for part in parts[:_LISTED])
        raise SourceError(f"{named} holds no rows", "download the file again, or leave it out")
    lacking = [part for part in with_rows if part.lacks_bytes]
    clip_bytes = 0
    if len(lacking) == len(with_rows):
        clip_bytes = _external_clip_bytes(filesystem, files, lacking[0], maker)
    blocks = tuple(_with_clips(block, clip_bytes) for part in parts for block in part.blocks)
    return SplitLayout(split, blocks, fingerprint([split, [part.identity for part in parts]]), len(parts))


def _read_footer(filesystem: pafs.FileSystem, buffer_bytes: int, columns: Columns, file: DataFile) -> _Footer:
    with open_parquet_file(filesystem, file.path, file.name, buffer_bytes) as parquet:
        metadata = parquet.metadata
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        if metadata.num_rows:
            # A file without rows may say anything of its columns: of nothing, every type is as good.
            check_embedded_columns(parquet.schema_arrow, columns, file.name)
        blocks = tuple(_block(group, columns.audio) for group in groups)
        lacks_bytes = all(_may_lack_bytes(group, columns.audio) for group in groups if group.num_rows)
    if file.identity:
        return _Footer(file, blocks, (file.name, file.identity), lacks_bytes)
    # The footer has every chunk's offset, size and statistics: a cheap stand-in for the content's own hash, and the
    # same wherever the file is copied to.
    digest = _footer_digest(filesystem, file.path, metadata.serialized_size)
    return _Footer(file, blocks, (file.name, *digest), lacks_bytes)


def _footer_digest(filesystem: pafs.FileSystem, path: str, footer_bytes: int) -> tuple[int, str]:
    with filesystem.open_input_file(path) as handle:
        size = handle.size()
        handle.seek(size - _FOOTER_TAIL_BYTES - footer_bytes)
        return size, hashlib.blake2b(handle.read(footer_bytes), digest_size=8).hexdigest()


def _external_clip_bytes(filesystem: pafs.FileSystem, files: Files, first: _Footer, maker: RowMaker) -> int:
    name, audio = first.file.name, maker.columns.audio
    with open_parquet_file(filesystem, first.file.path, name, files.buffer_bytes) as parquet:
        number = next(number for number, block in enumerate(first.blocks) if block.num_rows)
        names = leaf_names(parquet.schema_arrow, maker.columns)
        leaves = [name for name in names if f"{name}.".startswith(f"{audio}.")]
        try:
            table = parquet.read_row_group(number, leaves, use_threads=False)
        except (OSError, pa.ArrowException) as error:
            refuse_unreadable(name, error)
            raise SourceError(f"{name}, row group {number}, cannot be read: {error}", "copy the file again") from error
    return external_clip_bytes(table.column(audio).combine_chunks(), maker, name)


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

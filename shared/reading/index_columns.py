"""The columns of a split's index, read and found sound: no entry leads out of a shard, or to another row's labels.

What the shards alone know, where their pages lie and each row's checksum, is compared as a shard is first read
(`shared.reading.shard_rows`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from shared.errors import StoreError
from shared.index import VERIFY
from shared.schema import INDEX_SCHEMA
from shared.system.read_errors import refuse_unreadable
from shared.units import format_counted

PREFIX_BYTES = 4
"""What stands before a payload in its page: its length."""
_LEAST_LABELS = 2
"""A transcript's start and end."""
_MOST_BYTES = 1 << 60
"""Where no file ends. Beyond it sums would overflow."""
_SOURCE = pa.dictionary(pa.int32(), pa.string())


@dataclass(frozen=True, slots=True, eq=False)
class IndexColumns:
    """An index by column, each over all rows; *label_values* are all rows' labels, which begin at *label_offsets*.

    *piece* is 0 throughout where the index is of format version 1, which has none.
    """

    row_id: NDArray[np.int64]
    piece: NDArray[np.int16]
    shard: NDArray[np.int32]
    offset: NDArray[np.int64]
    num_frames: NDArray[np.int32]
    floor: NDArray[np.float32]
    num_labels: NDArray[np.int32]
    duration: NDArray[np.float32]
    source: pa.DictionaryArray
    label_offsets: NDArray[np.int64]
    label_values: NDArray[np.int32]


def read_index(path: Path, num_units: int, frame_bytes: int) -> IndexColumns:
    """The index at *path* of a split of *num_units* shards whose frames have *frame_bytes* each.

    Raises StoreError, naming the first row that is wrong, for an index that no store was ever written with.
    """
    try:
        with pq.ParquetFile(path, read_dictionary=["source"], page_checksum_verification=True) as file:
            columns = _read(file)
    except (OSError, KeyError, ValueError, MemoryError, pa.ArrowException) as error:
        # An index that lies of its labels asks for more memory than there is.
        if not isinstance(error, MemoryError):
            refuse_unreadable(path, error)
        raise StoreError(f"{path} cannot be read: {error}", VERIFY) from error
    for wrong, problem in _problems(columns, num_units, frame_bytes):
        for row in np.flatnonzero(wrong)[:1].tolist():
            message = f"{path}: row {row}, with row id {columns.row_id[row]}, {problem(row)}"
            raise StoreError(message, VERIFY)
    return columns


def _read(file: pq.ParquetFile) -> IndexColumns:
    """One column after the other: what Parquet needs for reading is given back before the next."""
    num_labels = _column(file, "num_labels").to_numpy()
    label_offsets = np.concatenate([[0], np.cumsum(num_labels, dtype=np.int64)])
    named = "piece" in file.schema_arrow.names
    return IndexColumns(
        row_id=_column(file, "row_id").to_numpy(),
        piece=_column(file, "piece").to_numpy() if named else np.zeros(len(num_labels), np.int16),
        shard=_column(file, "shard").to_numpy(),
        offset=_column(file, "offset").to_numpy(),
        num_frames=_column(file, "num_frames").to_numpy(),
        floor=_column(file, "floor").to_numpy(),
        num_labels=num_labels,
        duration=_column(file, "duration").to_numpy(),
        source=_column(file, "source").unify_dictionaries().combine_chunks(),
        label_offsets=label_offsets,
        label_values=_read_labels(file, num_labels),
    )


def _column(file: pq.ParquetFile, name: str) -> pa.ChunkedArray:
    """The column with *name*, as long as the index says that it is. Raises ValueError where it is of another kind."""
    found = file.read(columns=[name])[name]
    wanted = {"piece": pa.int16(), "source": _SOURCE}.get(name) or INDEX_SCHEMA.field(name).type
    if found.type != wanted or found.null_count or len(found) != file.metadata.num_rows:
        message = f"its column {name} is of {len(found)} {found.type}, {found.null_count} of them null"
        raise ValueError(f"{message}; {file.metadata.num_rows} of {wanted} were expected")
    return found


def _read_labels(file: pq.ParquetFile, num_labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """All labels of an index, row group by row group; read at once, lists take four times their own size."""
    if (num_labels < _LEAST_LABELS).any():
        row = int(np.argmax(num_labels < _LEAST_LABELS))
        raise ValueError(
            f"row {row} has {format_counted(int(num_labels[row]), 'label')}, a transcript at least {_LEAST_LABELS}"
        )
    values = np.empty(int(num_labels.sum(dtype=np.int64)), np.int32)
    row = position = 0
    for number in range(file.num_row_groups):
        for chunk in file.read_row_group(number, columns=["labels"])["labels"].chunks:
            _require_lengths(chunk, num_labels[row : row + len(chunk)], row)
            part = chunk.flatten()
            values[position : position + len(part)] = part
            row += len(chunk)
            position += len(part)
    if row != len(num_labels):
        raise ValueError(f"its column labels is of {format_counted(row, 'row')}, not {len(num_labels)}")
    values.flags.writeable = False
    return values


def _require_lengths(lists: pa.ListArray, num_labels: NDArray[np.int32], first: int) -> None:
    """Raises ValueError where *lists* are not of *num_labels* each; *first* is the number of the first one's row."""
    is_list = pa.types.is_list(lists.type) and lists.type.value_type == pa.int32()
    if not is_list or lists.null_count or lists.flatten().null_count:
        raise ValueError(f"its column labels is of {lists.type}, or some are null")
    lengths = lists.value_lengths().to_numpy()
    if len(lengths) > len(num_labels):
        raise ValueError("its column labels has more rows than the others")
    for row in np.flatnonzero(lengths != num_labels)[:1].tolist():
        raise ValueError(
            f"row {first + row} has {format_counted(int(lengths[row]), 'label')}, its num_labels says {num_labels[row]}"
        )


_Problem = tuple[NDArray[np.bool_], Callable[[int], str]]


def _problems(columns: IndexColumns, num_units: int, frame_bytes: int) -> Iterator[_Problem]:
    """For every rule: by row whether it is broken, and how that is said. Each relies on those before it."""
    ids, pieces, shards = columns.row_id, columns.piece, columns.shard
    offsets, frames = columns.offset, columns.num_frames
    yield (shards < 0) | (shards >= num_units), lambda row: f"lies in shard {shards[row]}, of {num_units}"
    yield frames < 1, lambda row: f"has {format_counted(int(frames[row]), 'frame')}"
    yield (
        (offsets < PREFIX_BYTES) | (offsets > _MOST_BYTES),
        lambda row: f"begins at byte {offsets[row]}, which no shard has",
    )
    yield _after(shards[1:] < shards[:-1]), lambda row: f"lies in shard {shards[row]}, after one of {shards[row - 1]}"
    ends = offsets + frames.astype(np.int64) * frame_bytes + PREFIX_BYTES
    yield (
        _after((shards[1:] == shards[:-1]) & (offsets[1:] < ends[:-1])),
        lambda row: f"begins at byte {offsets[row]}, within the row before it",
    )
    yield (ids < 0) | (pieces < 0), lambda row: f"is piece {pieces[row]} of it"
    again = (ids[1:] == ids[:-1]) & (pieces[1:] <= pieces[:-1])
    yield _after((ids[1:] < ids[:-1]) | again), lambda row: f"comes after row id {ids[row - 1]}"
    yield ~np.isfinite(columns.floor), lambda row: f"has a floor of {columns.floor[row]}"
    yield ~np.isfinite(columns.duration), lambda row: f"has a duration of {columns.duration[row]}"
    yield columns.duration < 0, lambda row: f"has a duration of {columns.duration[row]}"


def _after(wrong: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """By row, from whether each but the first is *wrong* after the one before it."""
    return np.concatenate([np.zeros(1, np.bool_), wrong])

"""A shard's rows against the index: the checksums of its payloads, once all else is what the index says.

All but the payloads is read, a hundredth of the shard.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from shared.errors import StoreError
from shared.index import VERIFY
from shared.reading.index_columns import IndexColumns
from shared.schema import FeatureSpec
from shared.shard import payload_offsets
from shared.system.read_errors import refuse_unreadable
from shared.units import format_counted

RESTORE = f"{VERIFY}; restore the shard from a copy, or `python -m preprocess.run --repair` makes it again"
"""What to do about a shard that is not as it was written."""
_COLUMNS = ["row_id", "num_frames", "floor", "labels", "duration", "source", "crc32", "piece"]


def read_checksums(path: Path, index: IndexColumns, rows: slice, spec: FeatureSpec) -> NDArray[np.uint32]:
    """The crc32 of each payload of the shard at *path*, whose rows are those *rows* of *index*.

    Raises StoreError where the shard cannot be read, or any of its rows is not what the index says.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            table = file.read(columns=[name for name in _COLUMNS if name != "piece" or name in file.schema_arrow.names])
            _require_rows(path, table, index, rows)
            sizes = index.num_frames[rows].astype(np.int64) * spec.payload_bytes(1)
            offsets = payload_offsets(file.metadata, sizes, str(path))
            _require_same(path, "offset", offsets, index.offset[rows], rows.start)
            return np.asarray(table["crc32"].to_numpy(), np.uint32)
    except (OSError, KeyError, ValueError, TypeError, pa.ArrowException) as error:
        refuse_unreadable(path, error)
        raise StoreError(f"{path} cannot be read: {error}", RESTORE) from error


def _require_rows(path: Path, table: pa.Table, index: IndexColumns, rows: slice) -> None:
    """Raises StoreError where *table*, all columns of the shard at *path*, is not *rows* of *index*."""
    wanted = rows.stop - rows.start
    if len(table) != wanted:
        raise StoreError(
            f"{path} is not the shard that was indexed: {format_counted(len(table), 'row')}, the index has {wanted}",
            RESTORE,
        )
    for name, own, indexed in _pairs(table, index, rows):
        _require_same(path, name, own, indexed, rows.start)


def _pairs(table: pa.Table, index: IndexColumns, rows: slice) -> Iterator[tuple[str, NDArray[Any], NDArray[Any]]]:
    """By column, what the shard has and what the index says; each relies on those before it being the same."""
    for name in ("row_id", "num_frames", "floor", "duration"):
        yield name, table[name].to_numpy(), getattr(index, name)[rows]
    pieces = table["piece"].to_numpy() if "piece" in table.column_names else np.zeros(len(table), np.int16)
    yield "piece", pieces, index.piece[rows]
    sources = index.source[rows].cast(pa.string())
    yield "source", table["source"].to_numpy(), sources.to_numpy(zero_copy_only=False)
    lists = table["labels"].combine_chunks()
    yield "num_labels", lists.value_lengths().to_numpy(), index.num_labels[rows]
    starts = index.label_offsets[rows.start : rows.stop + 1]
    other = lists.flatten().to_numpy() != index.label_values[starts[0] : starts[-1]]
    # As many of a row's labels are others as before its end, less those before its start.
    found = np.concatenate([[0], np.cumsum(other)])[starts - starts[0]]
    yield "other labels", np.diff(found), np.zeros(len(table), np.int64)


def _require_same(path: Path, name: str, own: NDArray[Any], indexed: NDArray[Any], first: int) -> None:
    """Raises StoreError for the first row that differs; *first* is the number in the index of the first one."""
    for row in np.flatnonzero(own != indexed)[:1].tolist():
        found = f"{name} {own[row]} in row {row}, the index has {indexed[row]} in row {first + row}"
        raise StoreError(f"{path} is not the shard that was indexed: {found}", RESTORE)

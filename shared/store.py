"""Open a finished store and read its rows without decoding or copying.

split = open_split(Path("store"), "train")
split.log_mel(0)      # a read-only view of the file: [num_frames, num_mel_bins]
split.labels(0)       # int32 token ids
"""

import mmap
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from shared.errors import StoreError
from shared.index import read_complete
from shared.layout import StoreLayout, StoreRecord, read_record
from shared.schema import FeatureSpec


class StoreSplit:
    """One finished split, memory-mapped; picklable, cheap to open (only the index is read).

    *num_frames* int32[rows], *floor* float32[rows], *duration* float32[rows] (seconds), *row_id* int64[rows] and
    *num_labels* int32[rows] are arrays over all rows; payloads and labels are views.
    """

    def __init__(self, root: Path, split: str, record: StoreRecord) -> None:
        layout = StoreLayout(root)
        self.spec: FeatureSpec = record.features
        self.record = record
        self.name = split
        self._root, self._num_units = root, record.splits[split].num_units
        try:
            self._read_index(layout.index_of(split))
        except (OSError, KeyError, ValueError, pa.ArrowException) as error:
            raise StoreError(f"{layout.index_of(split)} cannot be read: {error}", "verify the store") from error
        self._map = lru_cache(maxsize=None)(self._open_map)

    def _read_index(self, path: Path) -> None:
        """One column after the other: what Parquet needs for reading is given back before the next."""
        with pq.ParquetFile(path, memory_map=True, read_dictionary=["source"]) as file:

            def column(name: str) -> pa.ChunkedArray:
                return file.read(columns=[name])[name]

            self.row_id = column("row_id").to_numpy()
            self.num_frames = column("num_frames").to_numpy()
            self.num_labels = column("num_labels").to_numpy()
            self.floor = column("floor").to_numpy()
            self.duration = column("duration").to_numpy()
            self.source = column("source").unify_dictionaries().combine_chunks()
            self._shard = column("shard").to_numpy()
            self._offset = column("offset").to_numpy()
            self._label_offsets = np.concatenate([[0], np.cumsum(self.num_labels, dtype=np.int64)])
            self._label_values = _read_labels(file, int(self._label_offsets[-1]))

    def __len__(self) -> int:
        return len(self.row_id)

    def __reduce__(self) -> tuple[Any, ...]:
        return open_split, (self._root, self.name)

    def log_mel(self, row: int) -> NDArray[Any]:
        """The features of *row*: [num_frames, num_mel_bins] of the store's dtype, a read-only view of the file.

        Rows are counted from 0, and back from -1. Raises IndexError beyond them, StoreError for a missing or cut shard.
        """
        row = range(len(self))[row]
        size = int(self.num_frames[row]) * self.spec.payload_bytes(1)
        payload = self._payload(int(self._shard[row]), int(self._offset[row]), size)
        return payload.view(self.spec.dtype).reshape(-1, self.spec.num_mel_bins)

    def payloads(self, rows: NDArray[np.int64]) -> list[NDArray[np.uint8]]:
        """The bytes of the features of *rows*, uint8[num_frames * bytes of a frame]: read-only views of the files.

        Rows are counted from 0. Raises as `log_mel` does.
        """
        sizes = self.num_frames.take(rows) * self.spec.payload_bytes(1)
        # Python's own numbers: an element of an array costs more than the slice that it is for.
        places = self._shard.take(rows).tolist(), self._offset.take(rows).tolist(), sizes.tolist()
        return list(map(self._payload, *places))

    def labels(self, row: int) -> NDArray[np.int32]:
        """Token ids of *row*, special tokens included: int32[num_labels]. Rows are counted as in `log_mel`."""
        row = range(len(self))[row]
        values: NDArray[np.int32] = self._label_values[self._label_offsets[row] : self._label_offsets[row + 1]]
        return values

    def padded_labels(self, rows: NDArray[np.int64]) -> NDArray[np.int32]:
        """Token ids of *rows*, int32[rows, most labels]: a shorter row's last one is repeated. Counted from 0."""
        last = self.num_labels.take(rows) - 1
        places = np.minimum(np.arange(last.max() + 1), last[:, np.newaxis])
        padded: NDArray[np.int32] = self._label_values.take(self._label_offsets.take(rows)[:, np.newaxis] + places)
        return padded

    def shard_path(self, unit: int) -> Path:
        """The file that holds shard *unit*."""
        return StoreLayout(self._root).shard(self.name, unit, self._num_units)

    def _payload(self, shard: int, offset: int, size: int) -> NDArray[np.uint8]:
        payload = self._map(shard)[offset : offset + size]
        if len(payload) != size:
            message = f"{self.shard_path(shard)} is cut off: {size:,} bytes wanted at {offset:,}"
            raise StoreError(message, "verify the store")
        return payload

    def _open_map(self, unit: int) -> NDArray[np.uint8]:
        path = self.shard_path(unit)
        try:
            with path.open("rb") as file:
                return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
        except (OSError, ValueError) as error:
            raise StoreError(f"{path} cannot be mapped: {error}", "verify the store") from error


def _read_labels(file: pq.ParquetFile, count: int) -> NDArray[np.int32]:
    """All *count* labels of an index, row group by row group; read at once, lists take four times their own size."""
    values = np.empty(count, np.int32)
    position = 0
    for number in range(file.num_row_groups):
        for chunk in file.read_row_group(number, columns=["labels"])["labels"].chunks:
            part = chunk.flatten()
            values[position : position + len(part)] = part
            position += len(part)
    if position != count:
        raise ValueError(f"it has {position} labels, its rows say {count}")
    values.flags.writeable = False
    return values


def open_split(root: Path, split: str) -> StoreSplit:
    """Opens *split* of the finished store at *root*.

    Raises StoreError when there is no store, no such split, or the split is not complete; the message tells how far it
    is.
    """
    layout = StoreLayout(root)
    record = read_record(layout)
    if split not in record.splits:
        names = ", ".join(record.splits) or "none"
        raise StoreError(f"{root} has no split {split!r}; it has: {names}", "check the name of the split")
    if split not in read_complete(layout):
        units = record.splits[split].num_units
        done = len(layout.committed(split, units))
        message = f"split {split!r} of {root} is not complete: {done} of {units} shards are committed"
        raise StoreError(message, "finish it with the same `python -m preprocess.run` command")
    return StoreSplit(root, split, record)

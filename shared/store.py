"""Open a finished store and read its rows without decoding or copying.

split = open_split(Path("store"), "train")
split.log_mel(0)      # a read-only view of the file: [num_frames, num_mel_bins]
split.labels(0)       # int32 token ids
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from shared.errors import StoreError, UsageError
from shared.index import VERIFY, check_index, read_complete
from shared.layout import StoreLayout, StoreRecord, read_record
from shared.schema import FeatureSpec


class StoreSplit:
    """One finished split, memory-mapped; picklable, cheap to open (only the index is read).

    *num_frames* int32[rows], *floor* float32[rows], *duration* float32[rows] (seconds), *row_id* int64[rows], *piece*
    int16[rows] (0 in a store that has none) and *num_labels* int32[rows] are arrays over all rows. The labels of all
    rows, *label_values* int32[labels], lie one after the other: a row's begin at *label_offsets* int64[rows + 1].
    Payloads and labels are views.
    """

    def __init__(self, root: Path, split: str, record: StoreRecord, totals: Mapping[str, Any]) -> None:
        layout = StoreLayout(root)
        self.spec: FeatureSpec = record.features
        self.record = record
        self.name = split
        self._root, self._num_units, self._totals = root, record.splits[split].num_units, totals
        try:
            self._read_index(layout.index_of(split))
        except (OSError, KeyError, ValueError, pa.ArrowException) as error:
            raise StoreError(f"{layout.index_of(split)} cannot be read: {error}", VERIFY) from error
        # By shard, as they are opened; and where they lie in memory and how long they are, 0 until that is asked for.
        self._maps: dict[int, NDArray[np.uint8]] = {}
        self._mapped = np.zeros((2, self._num_units), np.int64)

    def _read_index(self, path: Path) -> None:
        """One column after the other: what Parquet needs for reading is given back before the next."""
        with pq.ParquetFile(path, memory_map=True, read_dictionary=["source"]) as file:

            def column(name: str) -> pa.ChunkedArray:
                return file.read(columns=[name])[name]

            self.row_id = column("row_id").to_numpy()
            # Before format version 2 every row was a whole clip.
            has_pieces = "piece" in file.schema_arrow.names
            self.piece = column("piece").to_numpy() if has_pieces else np.zeros(len(self.row_id), np.int16)
            self.num_frames = column("num_frames").to_numpy()
            self.num_labels = column("num_labels").to_numpy()
            self.floor = column("floor").to_numpy()
            self.duration = column("duration").to_numpy()
            self.source = column("source").unify_dictionaries().combine_chunks()
            self._shard = column("shard").to_numpy()
            self._offset = column("offset").to_numpy()
            self.label_offsets = np.concatenate([[0], np.cumsum(self.num_labels, dtype=np.int64)])
            self.label_values = _read_labels(file, int(self.label_offsets[-1]))

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

    def payloads(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where the features of *rows* lie in memory and how many bytes they are, int64[rows] each, for copying many.

        Addresses hold as long as the split is open. Rows are counted from 0. Raises StoreError as `log_mel` does.
        """
        shards, offsets = self._shard.take(rows), self._offset.take(rows)
        sizes = self.num_frames.take(rows).astype(np.int64) * self.spec.payload_bytes(1)
        starts, lengths = self._mapped[:, shards]
        if not starts.all():
            for shard in np.unique(shards[starts == 0]).tolist():
                kept = self._map(shard)
                self._mapped[:, shard] = kept.ctypes.data, len(kept)
            starts, lengths = self._mapped[:, shards]
        for row in np.flatnonzero(offsets + sizes > lengths)[:1].tolist():
            raise self._cut_off(int(shards[row]), int(offsets[row]), int(sizes[row]))
        return starts + offsets, sizes

    def labels(self, row: int) -> NDArray[np.int32]:
        """Token ids of *row*, special tokens included: int32[num_labels]. Rows are counted as in `log_mel`."""
        row = range(len(self))[row]
        values: NDArray[np.int32] = self.label_values[self.label_offsets[row] : self.label_offsets[row + 1]]
        return values

    def shard_path(self, unit: int) -> Path:
        """The file that holds shard *unit*."""
        return StoreLayout(self._root).shard(self.name, unit, self._num_units)

    def check_shards(self) -> None:
        """Raises StoreError where a shard is missing or cut off, or all have other bytes than `COMPLETE` states.

        Only the sizes of the files are looked at.
        """
        ends = np.zeros(self._num_units, np.int64)
        np.maximum.at(ends, self._shard, self._offset + self.num_frames.astype(np.int64) * self.spec.payload_bytes(1))
        sizes = [self._shard_bytes(unit) for unit in range(self._num_units)]
        for unit in np.flatnonzero(ends > sizes)[:1].tolist():
            message = (
                f"{self.shard_path(unit)} is cut off: it has {sizes[unit]:,} bytes, its rows end at {ends[unit]:,}"
            )
            raise StoreError(message, VERIFY)
        stated = self._totals.get("num_bytes", sum(sizes))
        if sum(sizes) != stated:
            complete = StoreLayout(self._root).complete
            message = f"the shards of {self.name!r} have {sum(sizes):,} bytes, {complete} states {stated:,}"
            raise StoreError(message, VERIFY)

    def _shard_bytes(self, unit: int) -> int:
        path = self.shard_path(unit)
        try:
            return path.stat().st_size
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror}", VERIFY) from error

    def _payload(self, shard: int, offset: int, size: int) -> NDArray[np.uint8]:
        payload = self._map(shard)[offset : offset + size]
        if len(payload) != size:
            raise self._cut_off(shard, offset, size)
        return payload

    def _cut_off(self, shard: int, offset: int, size: int) -> StoreError:
        message = f"{self.shard_path(shard)} is cut off: {size:,} bytes wanted at {offset:,}"
        return StoreError(message, "verify the store")

    def _map(self, shard: int) -> NDArray[np.uint8]:
        if shard not in self._maps:
            # Two threads may open one shard at once: both go on with the map that was kept.
            self._maps.setdefault(shard, self._open_map(shard))
        return self._maps[shard]

    def _open_map(self, unit: int) -> NDArray[np.uint8]:
        path = self.shard_path(unit)
        try:
            # Unlike Python's own map it keeps no file open: a store may have more shards than a process may have files.
            with pa.memory_map(str(path)) as file:
                return np.frombuffer(file.read_buffer(), np.uint8)
        except OSError as error:
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

    Raises UsageError when the store has no such split; StoreError when there is no store, or the split is not complete
    (the message tells how far it is), and when its index is not what `COMPLETE` states.
    """
    layout = StoreLayout(root)
    record = read_record(layout)
    if split not in record.splits:
        names = ", ".join(record.splits) or "none"
        raise UsageError(f"{root} has no split {split!r}; it has: {names}", "check the name of the split")
    totals = read_complete(layout).get(split)
    if totals is None:
        units = record.splits[split].num_units
        done = len(layout.committed(split, units))
        message = f"split {split!r} of {root} is not complete: {done} of {units} shards are committed"
        raise StoreError(message, "finish it with the same `python -m preprocess.run` command")
    check_index(layout, split, totals)
    return StoreSplit(root, split, record, totals)

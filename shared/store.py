"""Open a finished store and read its rows without decoding or copying.

split = open_split(Path("store"), "train")
split.log_mel(0)      # a read-only view of the file: [num_frames, num_mel_bins]
split.labels(0)       # int32 token ids
"""

import zlib
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from shared.errors import StoreError, UsageError
from shared.index import VERIFY, check_index, read_complete
from shared.layout import StoreLayout, StoreRecord, read_record
from shared.reading.index_columns import read_index
from shared.reading.mapped_shards import MappedShards
from shared.reading.shard_rows import RESTORE
from shared.schema import FeatureSpec
from shared.system.read_errors import refuse_unreadable
from shared.units import format_counted

Buffer = bytes | memoryview


class StoreSplit:
    """One finished split, memory-mapped; picklable, cheap to open (only the index is read).

    *num_frames* int32[rows], *floor* float32[rows], *duration* float32[rows] (seconds), *row_id* int64[rows], *piece*
    int16[rows] (0 in a store that has none) and *num_labels* int32[rows] are arrays over all rows. The labels of all
    rows, *label_values* int32[labels], lie one after the other: a row's begin at *label_offsets* int64[rows + 1].
    Payloads and labels are views.

    With *check_rows* a shard is compared with the index as its first row is asked for, and copies of payloads with
    their checksums: in `payload`, and in `check_copies` by whoever copies them by `payloads`.
    """

    def __init__(
        self, root: Path, split: str, record: StoreRecord, totals: Mapping[str, Any], *, check_rows: bool = True
    ) -> None:
        self.spec: FeatureSpec = record.features
        self.record = record
        self.name = split
        self.check_rows = check_rows
        self._root, self._num_units, self._totals = root, record.splits[split].num_units, totals
        index = read_index(StoreLayout(root).index_of(split), self._num_units, self.spec.payload_bytes(1))
        self.row_id, self.piece, self.source = index.row_id, index.piece, index.source
        self.num_frames, self.floor, self.duration = index.num_frames, index.floor, index.duration
        self.num_labels, self.label_offsets = index.num_labels, index.label_offsets
        self.label_values = index.label_values
        self._shard, self._offset = index.shard, index.offset
        self._shards = MappedShards(index, self.spec, self._num_units, self.shard_path, check=check_rows)

    def __len__(self) -> int:
        return len(self.row_id)

    @property
    def root(self) -> Path:
        """The folder of the store."""
        return self._root

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(open_split, check_rows=self.check_rows), (self._root, self.name)

    @property
    def content_digest(self) -> str | None:
        """The digest of all row ids, lengths and payload checksums, as `COMPLETE` states it; None where it does not."""
        return self._totals.get("content_digest")

    def log_mel(self, row: int) -> NDArray[Any]:
        """The features of *row*: [num_frames, num_mel_bins] of the store's dtype, a read-only view of the file.

        Rows are counted from 0, and back from -1. No checksum is compared. Raises IndexError beyond them, StoreError
        for a shard that is missing, cut off, or not what the index says.
        """
        row = range(len(self))[row]
        size = int(self.num_frames[row]) * self.spec.payload_bytes(1)
        payload = self._shards.payload(int(self._shard[row]), int(self._offset[row]), size)
        return payload.view(self.spec.dtype).reshape(-1, self.spec.num_mel_bins)

    def payload(self, row: int) -> bytes:
        """A copy of the bytes of `log_mel`. Raises StoreError as that does, and where they fail their checksum."""
        row = range(len(self))[row]
        copied = self.log_mel(row).tobytes()
        self.check_copies(np.array([row]), [copied])
        return copied

    def payloads(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where the features of *rows* lie in memory and how many bytes they are, int64[rows] each, for copying many.

        Addresses hold as long as the split is open, and are to be read at once: see `shared.reading.mapped_shards` for
        what a shard that is cut off meanwhile does. Rows are counted from 0. Raises StoreError as `log_mel` does.
        """
        shards, offsets = self._shard.take(rows), self._offset.take(rows)
        sizes = self.num_frames.take(rows).astype(np.int64) * self.spec.payload_bytes(1)
        return self._shards.addresses(shards, offsets, sizes), sizes

    def check_copies(self, rows: NDArray[np.int64], copies: Iterable[Buffer]) -> None:
        """Raises StoreError for the first of *rows*, whose payloads were copied into *copies*, that is not as written.

        Rows are counted from 0, and some of their shard were asked for before. Without *check_rows* all pass.
        """
        if not self.check_rows:
            return
        for row, wanted, copy in zip(rows.tolist(), self._shards.crc32.take(rows).tolist(), copies, strict=True):
            if zlib.crc32(memoryview(copy)) != wanted:
                raise self._changed(row)

    def _changed(self, row: int) -> StoreError:
        """What to say of *row*, whose checksum is another than the one that was written with it."""
        unit = int(self._shard[row])
        path = self.shard_path(unit)
        clip = self._clip_path(path, row - int(np.searchsorted(self._shard, unit)))
        message = f"row {self.row_id[row]} of {self.name!r}{clip} fails its checksum: {path} has changed"
        return StoreError(f"{message} from byte {self._offset[row]:,} on", RESTORE)

    def _clip_path(self, shard: Path, place: int) -> str:
        """In words, which clip row *place* of *shard* was made from; '' where that cannot be told."""
        try:
            return f" ({pq.read_table(shard, columns=['path'])['path'][place].as_py()!r})"
        except (OSError, ValueError, KeyError, IndexError, pa.ArrowException):
            return ""

    def labels(self, row: int) -> NDArray[np.int32]:
        """Token ids of *row*, special tokens included: int32[num_labels]. Rows are counted as in `log_mel`."""
        row = range(len(self))[row]
        values: NDArray[np.int32] = self.label_values[self.label_offsets[row] : self.label_offsets[row + 1]]
        return values

    def shard_of(self, row: int) -> int:
        """The shard that *row* lies in. Rows are counted as in `log_mel`."""
        return int(self._shard[range(len(self))[row]])

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
            message = f"the shards of {self.name!r} have {sum(sizes):,} bytes, {complete} states {stated}"
            raise StoreError(message, VERIFY)

    def _shard_bytes(self, unit: int) -> int:
        path = self.shard_path(unit)
        try:
            return path.stat().st_size
        except OSError as error:
            refuse_unreadable(path, error)
            raise StoreError(f"{path} cannot be read: {error.strerror}", VERIFY) from error


def open_split(root: Path, split: str, *, check_rows: bool = True) -> StoreSplit:
    """Opens *split* of the finished store at *root*; *check_rows* is `StoreSplit`'s.

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
        message = f"split {split!r} of {root} is not complete: {done} of {format_counted(units, 'shard')} committed"
        raise StoreError(message, "finish it with the same `python -m preprocess.run` command")
    check_index(layout, split, totals)
    return StoreSplit(root, split, record, totals, check_rows=check_rows)

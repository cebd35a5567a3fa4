"""The rows that a training sees, numbered from 0 on: those of one split, or of several stores less the ones left out.

Which rows there are and how they are numbered decides the order of clips, so it depends on no order of options: stores
are taken by their uuids. Nothing of a store is copied but what its index holds.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shared.errors import UsageError
from shared.schema import FeatureSpec
from shared.store import Buffer, StoreSplit

_DIGEST_BYTES = 16


@dataclass(slots=True, eq=False)
class JoinedRows:
    """The rows of *splits*, one after the other; where a row is from, *split_of* and *row_of* tell by its number.

    *excluded* identifies the rows that were left out, None where there are none. The arrays over all rows are as
    `StoreSplit` has them; but *label_offsets* tell only where each row's labels begin.
    """

    splits: Sequence[StoreSplit]
    split_of: NDArray[np.int16]
    row_of: NDArray[np.int64]
    excluded: str | None
    spec: FeatureSpec
    name: str
    row_id: NDArray[np.int64]
    piece: NDArray[np.int16]
    num_frames: NDArray[np.int32]
    floor: NDArray[np.float32]
    duration: NDArray[np.float32]
    num_labels: NDArray[np.int32]
    label_offsets: NDArray[np.int64]
    label_values: NDArray[np.int32]
    source: Any

    @classmethod
    def of(cls, splits: Sequence[StoreSplit], left_out: Sequence[NDArray[np.bool_]] | None = None) -> Self:
        """All rows of *splits* but those that *left_out* says, bool[rows] for each split.

        Raises UsageError for a store that is named twice, or whose features are of another kind.
        """
        out = left_out or [np.zeros(len(split), np.bool_) for split in splits]
        order = sorted(range(len(splits)), key=lambda number: splits[number].record.uuid)
        splits, out = [splits[number] for number in order], [out[number] for number in order]
        _require_alike(splits)
        kept = [np.flatnonzero(~mask) for mask in out]
        labels = _joined([split.label_values for split in splits])
        labels.flags.writeable = False
        return cls(
            splits=splits,
            split_of=np.repeat(np.arange(len(splits), dtype=np.int16), list(map(len, kept))),
            row_of=_joined(kept),
            excluded=_digest(splits, out),
            spec=splits[0].spec,
            name=splits[0].name,
            **{name: _column(splits, name, kept) for name in _COLUMNS},
            label_offsets=_label_offsets(splits, kept),
            label_values=labels,
            source=pa.chunked_array([split.source.take(rows) for split, rows in zip(splits, kept, strict=True)]),
        )

    def __len__(self) -> int:
        return len(self.row_of)

    @property
    def store(self) -> str | list[str]:
        """The store's uuid, or those of several."""
        uuids = [split.record.uuid for split in self.splits]
        return uuids if uuids[1:] else uuids[0]

    @property
    def content_digest(self) -> str | list[str | None] | None:
        """`StoreSplit.content_digest`, or those of several."""
        digests = [split.content_digest for split in self.splits]
        return digests if digests[1:] else digests[0]

    def root_of(self, row: int) -> Path:
        """The folder of the store that *row* is from."""
        return self.splits[int(self.split_of[row])].root

    def labels(self, row: int) -> NDArray[np.int32]:
        """As `StoreSplit.labels`."""
        return self.splits[int(self.split_of[row])].labels(int(self.row_of[row]))

    def payloads(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """As `StoreSplit.payloads`."""
        addresses, sizes = np.empty((2, len(rows)), np.int64)
        for split, places, own in self._by_split(rows):
            addresses[places], sizes[places] = split.payloads(own)
        return addresses, sizes

    def check_copies(self, rows: NDArray[np.int64], copies: Iterable[Buffer]) -> None:
        """As `StoreSplit.check_copies`."""
        if not any(split.check_rows for split in self.splits):
            return
        copied = list(copies)
        for split, places, own in self._by_split(rows):
            split.check_copies(own, [copied[place] for place in places.tolist()])

    def _by_split(self, rows: NDArray[np.int64]) -> Iterator[tuple[StoreSplit, NDArray[np.int64], NDArray[np.int64]]]:
        """Of every split that *rows* are of: their places among *rows*, and their own numbers there."""
        splits, own = self.split_of.take(rows), self.row_of.take(rows)
        for number in np.unique(splits).tolist():
            places = np.flatnonzero(splits == number)
            yield self.splits[number], places, own[places]


Rows = StoreSplit | JoinedRows
"""What micro-batches are made from."""

_COLUMNS = ("row_id", "piece", "num_frames", "floor", "duration", "num_labels")


def _column(splits: Sequence[StoreSplit], name: str, kept: Sequence[NDArray[np.intp]]) -> NDArray[Any]:
    return _joined([_chosen(getattr(split, name), rows) for split, rows in zip(splits, kept, strict=True)])


def numbered(names: pa.ChunkedArray) -> NDArray[np.int32]:
    """Of every row the number of its name, the same for rows of one name."""
    coded = names.cast(pa.string()).dictionary_encode().unify_dictionaries()
    found: NDArray[np.int32] = np.concatenate([chunk.indices.to_numpy() for chunk in coded.chunks]).astype(np.int32)
    return found


def _label_offsets(splits: Sequence[StoreSplit], kept: Sequence[NDArray[np.intp]]) -> NDArray[np.int64]:
    """Where each kept row's labels begin among those of all splits, one after the other."""
    bases = np.cumsum([0, *(len(split.label_values) for split in splits[:-1])])
    begins = [_chosen(split.label_offsets[:-1], rows) for split, rows in zip(splits, kept, strict=True)]
    return _joined([base + begin if base else begin for base, begin in zip(bases.tolist(), begins, strict=True)])


def _chosen(values: NDArray[Any], rows: NDArray[np.intp]) -> NDArray[Any]:
    """*values* of *rows*, which are in order; of a million rows that are all kept no second copy is made."""
    return values if len(rows) == len(values) else values[rows]


def _joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate(parts) if parts[1:] else parts[0]


def _digest(splits: Sequence[StoreSplit], out: Sequence[NDArray[np.bool_]]) -> str | None:
    """Identifies the rows that are left *out*, whatever file named them in whatever order; None for none."""
    if not any(mask.any() for mask in out):
        return None
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for split, mask in zip(splits, out, strict=True):
        digest.update(f"{split.record.uuid} {np.count_nonzero(mask)} ".encode())
        digest.update(split.row_id[mask].astype("<i8").tobytes())
        digest.update(split.piece[mask].astype("<i2").tobytes())
    return digest.hexdigest()


def _require_alike(splits: Sequence[StoreSplit]) -> None:
    first = splits[0]
    for before, split in pairwise(splits):
        if split.record.uuid == before.record.uuid:
            message = f"{before.root} and {split.root} are the same store, or copies of it ({split.record.uuid})"
            raise UsageError(message, "name each --store once")
    for split in splits[1:]:
        if split.spec != first.spec:
            message = f"{first.root} has {_words(first.spec)}, {split.root} {_words(split.spec)}"
            raise UsageError(message, "prepare both with the same --model and --feature-dtype")


def _words(spec: FeatureSpec) -> str:
    return f"{spec.num_mel_bins} mel bins of {spec.dtype}"

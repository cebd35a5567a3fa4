"""Rows that equal each other, within a split and across splits: by their features' checksum, frames, floor and labels.

Only small columns of the shards are read. A row takes some 40 bytes of memory, whatever it holds; that two of a million
different rows have the same 64-bit key happens once in thirty million stores.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from shared.errors import StoreError
from shared.index import VERIFY
from shared.layout import StoreLayout, StoreRecord
from shared.system.read_errors import refuse_unreadable
from shared.units import format_counted

EXAMPLES = 3
_COLUMNS = ["row_id", "piece", "num_frames", "floor", "labels", "crc32"]
_HELD_OUT = frozenset({"test", "testing", "validation", "valid", "val", "dev", "eval", "evaluation"})


@dataclass(frozen=True, slots=True)
class RowKeys:
    """Rows of a split, *row_id* int64[rows] and *piece* int16[rows], with *key* uint64[rows]: equal for equal rows."""

    row_id: NDArray[np.int64]
    piece: NDArray[np.int16]
    key: NDArray[np.uint64]

    def where(self, chosen: NDArray[Any]) -> "RowKeys":
        """Those that are *chosen*: a mask, or their numbers."""
        return RowKeys(self.row_id[chosen], self.piece[chosen], self.key[chosen])


@dataclass(frozen=True, slots=True)
class Repeats:
    """*rows* rows of *split* equal a row of *other*, or an earlier one where that is the same split.

    *examples* are some of them with the first row that they equal, by their row ids, *pieces* the pieces of both.
    """

    split: str
    other: str
    rows: int
    examples: Sequence[tuple[int, int]]
    pieces: Sequence[tuple[int, int]]

    @property
    def leak(self) -> bool:
        """Whether what is trained on is evaluated on as well."""
        return is_held_out(self.other) and not is_held_out(self.split)

    @property
    def in_words(self) -> str:
        """A few words, with an example."""
        where = "equal an earlier one" if self.split == self.other else f"equal one of {self.other}"
        return f"{format_counted(self.rows, 'row')} of {self.split} {where}: {self.examples_in_words[0]}"

    @property
    def examples_in_words(self) -> list[str]:
        """Each of the examples, with the pieces that are not the first of their row."""
        pairs = zip(self.examples, self.pieces, strict=True)
        return [f"{_in_words(rows[0], pieces[0])} is {_in_words(rows[1], pieces[1])}" for rows, pieces in pairs]


def _in_words(row: int, piece: int) -> str:
    return f"{row} (piece {piece})" if piece else str(row)


def is_held_out(split: str) -> bool:
    """Whether *split* is one to evaluate on, by its name: test, validation, dev.clean ..."""
    return re.split(r"[._]", split.lower())[0] in _HELD_OUT


def find_repeats(layout: StoreLayout, record: StoreRecord) -> tuple[Repeats, ...]:
    """All repetitions in the committed shards of the store: within each split, then across each two.

    Raises StoreError for a shard that cannot be read.
    """
    committed = {name: tuple(sorted(layout.committed(name, split.num_units))) for name, split in record.splits.items()}
    shards = tuple(
        (name, tuple(layout.shard(name, unit, record.splits[name].num_units) for unit in units))
        for name, units in committed.items()
    )
    return _find(shards)


@lru_cache(maxsize=1)
def _find(shards: tuple[tuple[str, tuple[Path, ...]], ...]) -> tuple[Repeats, ...]:
    # A run tells it in its summary and in its report, and shards never change.
    return repeats({name: read_keys(paths) for name, paths in shards})


def read_keys(shards: Sequence[Path]) -> RowKeys:
    """The keys of all rows of *shards*. Raises StoreError for one that cannot be read."""
    parts = [keys for path in shards for keys in _shard_keys(path)]
    ids = np.concatenate([np.empty(0, np.int64), *(part.row_id for part in parts)])
    pieces = np.concatenate([np.empty(0, np.int16), *(part.piece for part in parts)])
    return RowKeys(ids, pieces, np.concatenate([np.empty(0, np.uint64), *(part.key for part in parts)]))


def _shard_keys(path: Path) -> Iterator[RowKeys]:
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            names = [name for name in _COLUMNS if name in file.schema_arrow.names]
            for batch in file.iter_batches(columns=names):
                ids = batch["row_id"].to_numpy().astype(np.int64)
                pieces = batch["piece"].to_numpy() if "piece" in names else np.zeros(len(ids), np.int16)
                yield RowKeys(ids, pieces, keys_of(batch))
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        refuse_unreadable(path, error)
        raise StoreError(f"{path} cannot be read: {error}", VERIFY) from error


def keys_of(rows: pa.RecordBatch) -> NDArray[np.uint64]:
    """uint64[rows]: a key of each of *rows*, which have the columns num_frames, floor, labels and crc32 of a shard."""
    labels, offsets = rows["labels"].flatten().to_numpy(), rows["labels"].offsets.to_numpy().astype(np.int64)
    offsets = offsets - offsets[0]
    lengths = np.diff(offsets)
    places = np.arange(len(labels)) - np.repeat(offsets[:-1], lengths)
    # A sum over a row's labels, each mixed with its place; sums over all rows before cancel out, overflow included.
    mixed = _mixed(labels.astype(np.uint64) | places.astype(np.uint64) << np.uint64(32))
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(mixed, dtype=np.uint64)])
    key = sums[offsets[1:]] - sums[offsets[:-1]] + lengths.astype(np.uint64)
    floors = rows["floor"].to_numpy().view(np.uint32)
    frames, checksums = rows["num_frames"].to_numpy(), rows["crc32"].to_numpy()
    key = _mixed(key ^ (checksums.astype(np.uint64) << np.uint64(32) | floors.astype(np.uint64)))
    return _mixed(key + frames.astype(np.uint64))


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser: every bit of a value decides over every bit of the result."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def repeats(splits: Mapping[str, RowKeys]) -> tuple[Repeats, ...]:
    """All repetitions among the rows of *splits*. Pure."""
    repeated = _repeated(splits)
    within = (_within(name, keys) for name, keys in repeated.items())
    # Of two, the one that is trained on comes first.
    pairs = (sorted(pair, key=is_held_out) for pair in combinations(repeated, 2))
    across = (_across(one, repeated[one], other, repeated[other]) for one, other in pairs)
    return tuple(found for found in (*within, *across) if found.rows)


def _repeated(splits: Mapping[str, RowKeys]) -> dict[str, RowKeys]:
    """Of each split the rows whose key occurs again anywhere: few, so that what follows may be simple."""
    every = np.sort(np.concatenate([np.empty(0, np.uint64), *(keys.key for keys in splits.values())]))
    again = np.unique(every[1:][every[1:] == every[:-1]])
    if not len(again):
        return {}
    chosen = {name: np.isin(keys.key, again) for name, keys in splits.items()}
    return {name: splits[name].where(mask) for name, mask in chosen.items() if mask.any()}


def _within(name: str, keys: RowKeys) -> Repeats:
    _, first, group = np.unique(keys.key, return_index=True, return_inverse=True)
    later = np.flatnonzero(first[group] != np.arange(len(group)))
    shown = later[:EXAMPLES]
    return _told(name, name, len(later), keys.where(shown), keys.where(first[group[shown]]))


def _across(name: str, keys: RowKeys, other: str, others: RowKeys) -> Repeats:
    known, first = np.unique(others.key, return_index=True)
    same = np.flatnonzero(np.isin(keys.key, known))
    places = first[np.searchsorted(known, keys.key[same[:EXAMPLES]])]
    return _told(name, other, len(same), keys.where(same[:EXAMPLES]), others.where(places))


def _told(name: str, other: str, count: int, rows: RowKeys, equal: RowKeys) -> Repeats:
    """*count* repetitions, of which *rows* are examples with those that they *equal*."""
    examples, pieces = (
        list(zip(one.tolist(), another.tolist(), strict=True))
        for one, another in ((rows.row_id, equal.row_id), (rows.piece, equal.piece))
    )
    return Repeats(name, other, count, examples, pieces)

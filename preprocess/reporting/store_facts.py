"""What a report says of a store, finished or not: splits, lengths, sources, quarantine, and a few rows with pictures.

Reads only, and never more than a batch of two columns or one row group at a time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from preprocess.features.long_clips import LongClips
from preprocess.inspection.store import (
    QuarantineFacts,
    StoreFacts,
    StoreRowFacts,
    StoreSplitFacts,
    histogram,
    reading,
    row_at,
    shards_of,
    store_facts,
    tenths_of,
)
from preprocess.planning.completion import cancelled_rows
from preprocess.sources.splits import ordered_splits
from shared.index import read_complete
from shared.layout import StoreLayout, read_record
from shared.reading.duplicates import Repeats

MAX_SOURCES = 10_000
"""Names that are told apart; a data set with more of them calls something else its source."""
_OTHER_SOURCES = "(others)"
_BATCH_ROWS = 65_536
_MOST_BINS = 30


@dataclass(slots=True)
class LengthScan:
    """Adds up rows by length and by source; its size does not grow with the rows.

    *sources* maps a name to [rows, seconds]; names beyond `MAX_SOURCES` count as `_OTHER_SOURCES`.
    """

    rows: int = 0
    audio_seconds: float = 0.0
    sources: dict[str, tuple[int, float]] = field(default_factory=dict)
    _tenths: NDArray[np.int64] = field(default_factory=lambda: tenths_of(np.empty(0)))

    def add(self, batch: pa.RecordBatch) -> None:
        """Counts a *batch* with the columns `duration` and `source`."""
        durations = batch.column("duration").to_numpy().astype(np.float64)
        self.rows += len(durations)
        self.audio_seconds += float(durations.sum())
        self._tenths += tenths_of(durations)
        grouped = pa.Table.from_batches([batch]).group_by("source")
        for row in grouped.aggregate([("duration", "count"), ("duration", "sum")]).to_pylist():
            self._count(row["source"], row["duration_count"], row["duration_sum"])

    def _count(self, name: str, rows: int, seconds: float) -> None:
        if name not in self.sources and len(self.sources) >= MAX_SOURCES:
            name = _OTHER_SOURCES
        known_rows, known_seconds = self.sources.get(name, (0, 0.0))
        self.sources[name] = known_rows + rows, known_seconds + seconds

    def histogram(self) -> list[tuple[float, float, int]]:
        """At most 30 bins of a round width as (from, to, rows), in seconds from 0 to the longest clip."""
        return histogram(self._tenths, _MOST_BINS)


@dataclass(frozen=True, slots=True)
class ReportFacts:
    """A store at the end of a run. *num_bytes* counts its shards and indexes, *sources* are (name, rows, seconds).

    *cancelled* are (split, row ids) of rows whose channels cancelled each other, where there are any. *long* counts
    the clips over the model's window.
    """

    source: str
    features: str
    splits: Sequence[StoreSplitFacts]
    num_bytes: int
    audio_seconds: float
    histogram: Sequence[tuple[float, float, int]]
    sources: Sequence[tuple[str, int, float]]
    quarantine: Sequence[QuarantineFacts]
    repeats: Sequence[Repeats] = ()
    cancelled: Sequence[tuple[str, Sequence[int]]] = ()
    long: LongClips | None = None

    @property
    def complete(self) -> bool:
        """True when no split of the store has anything left to do."""
        return bool(self.splits) and all(split.complete for split in self.splits)

    @property
    def rows(self) -> int:
        """Rows written."""
        return sum(split.rows for split in self.splits)

    @property
    def rows_planned(self) -> int:
        """Rows that went in or will."""
        return sum(split.rows_planned for split in self.splits)

    @property
    def quarantined(self) -> int:
        """Rows that could not be used."""
        return sum(split.quarantined for split in self.splits)

    @property
    def shards(self) -> tuple[int, int]:
        """Shards committed, and shards planned."""
        return sum(split.committed for split in self.splits), sum(split.shards for split in self.splits)


def report_facts(layout: StoreLayout) -> ReportFacts:
    """The facts of the store at *layout*. Raises StoreError when there is no store, or it is damaged."""
    facts, _ = store_facts(layout.root, None, None)
    record, complete = read_record(layout), read_complete(layout)
    scan = LengthScan()
    for name, planned in record.splits.items():
        files = [layout.index_of(name)] if name in complete else shards_of(layout, name, planned)
        for batch in _batches(files):
            scan.add(batch)
    cancelled = [(name, cancelled_rows(layout, name, planned)) for name, planned in record.splits.items()]
    indexes = sum(layout.index_of(name).stat().st_size for name in record.splits if name in complete)
    return ReportFacts(
        source=facts.source,
        features=_features(facts),
        splits=facts.splits,
        num_bytes=sum(split.num_bytes for split in facts.splits) + indexes,
        audio_seconds=scan.audio_seconds,
        histogram=scan.histogram(),
        sources=sorted(((name, *counts) for name, counts in scan.sources.items()), key=lambda row: (-row[2], row[0])),
        quarantine=facts.quarantine,
        repeats=facts.repeats,
        cancelled=[(name, rows) for name, rows in cancelled if rows],
        long=facts.long,
    )


def _features(facts: StoreFacts) -> str:
    return f"{facts.features['num_mel_bins']} mel bins of {facts.features['dtype']}, language {facts.language}"


def _batches(files: Sequence[Path]) -> Iterator[pa.RecordBatch]:
    for path in files:
        with reading(path), pq.ParquetFile(path, pre_buffer=False) as file:
            yield from file.iter_batches(_BATCH_ROWS, columns=["duration", "source"])


def pictured_rows(layout: StoreLayout) -> list[tuple[StoreRowFacts, NDArray[np.float32]]]:
    """Up to three rows with their log-mel `[num_frames, num_mel_bins]`: from the first, a middle and the last shard.

    Raises StoreError when there is no store, or a shard is damaged.
    """
    record = read_record(layout)
    names = ordered_splits(list(record.splits))
    shards = [(name, path) for name in names for path in shards_of(layout, name, record.splits[name])]
    if not shards:
        return []
    chosen = [(*shards[0], 0.0), (*shards[len(shards) // 2], 0.5), (*shards[-1], 1.0)]
    places = dict.fromkeys((name, path, _place(path, share)) for name, path, share in chosen)
    return [row_at(path, name, place, record.features) for name, path, place in places if place >= 0]


def _place(path: Path, share: float) -> int:
    """The row that lies *share* of the way through the shard at *path*, -1 where it has none."""
    with reading(path):
        rows = int(pq.read_metadata(path).num_rows)
    return int(share * (rows - 1)) if rows else -1

"""What a store holds: its record, how far it is, lengths, quarantined rows, and one row. Reads only."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from preprocess.features.long_clips import LongClips, all_long_clips
from preprocess.sources.splits import ordered_splits
from shared.errors import StoreError, UsageError
from shared.index import VERIFY, read_complete
from shared.layout import SplitRecord, StoreLayout, StoreRecord, read_record, shard_name
from shared.membership import shard_counts
from shared.reading.duplicates import Repeats, find_repeats
from shared.rows import dequantise
from shared.schema import FeatureSpec
from shared.system.read_errors import refuse_unreadable

_EXAMPLES = 2
_MEASURED_SHARDS = 50
"""Shards whose lengths stand for all in a split that is not complete."""
_BINS = 10
_TENTHS = 10
_LONGEST_SECONDS = 3_600
_SAME_EDGE = 1e-4
"""float32 puts 0.3 s just below or above its bin's edge; this much puts it above."""


@dataclass(frozen=True, slots=True)
class StoreSplitFacts:
    """One split so far: *committed* of *shards*; *rows* of the source were written, *rows_planned* go in in the end.

    *audio_seconds* is None while it is not complete.
    """

    name: str
    complete: bool
    shards: int
    committed: int
    rows: int
    rows_planned: int
    quarantined: int
    num_bytes: int
    audio_seconds: float | None


@dataclass(frozen=True, slots=True)
class QuarantineFacts:
    """Rows quarantined for *reason*: how many, and a few of them as (row id, path, message)."""

    reason: str
    rows: int
    examples: Sequence[tuple[int, str, str]]


@dataclass(frozen=True, slots=True)
class StoreRowFacts:
    """One row of the store, or why it was *quarantined*."""

    split: str
    row_id: int
    path: str
    shard: str = ""
    source: str = ""
    transkription: str = ""
    labels: Sequence[int] = ()
    num_frames: int = 0
    floor: float = 0.0
    duration: float = 0.0
    quarantined: str = ""


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """A store. *histogram* counts the rows of *split* by length: (from, to) seconds and rows.

    *repeats* are rows of all splits that equal each other, *long* their clips over the model's window.
    """

    store: str
    source: str
    uuid: str
    format_version: int
    features: Mapping[str, Any]
    tokenizer: str
    language: str
    splits: Sequence[StoreSplitFacts]
    split: str
    histogram: Sequence[tuple[float, float, int]]
    quarantine: Sequence[QuarantineFacts]
    row: StoreRowFacts | None
    repeats: Sequence[Repeats] = ()
    long: LongClips | None = None


def store_facts(root: Path, split: str | None, row_id: int | None) -> tuple[StoreFacts, NDArray[np.float32] | None]:
    """The facts of the store at *root*, and the log-mel `[num_frames, num_mel_bins]` of row *row_id* of *split*.

    Without *split* and *row_id* the first of each. The log-mel is None for a quarantined row and where nothing is
    committed. Raises StoreError for a damaged store, UsageError where there is no such split or row.
    """
    layout = StoreLayout(root)
    record = read_record(layout)
    name = _chosen_split(record, split, root)
    row, log_mel = _read_row(layout, record, name, row_id) if name else (None, None)
    facts = StoreFacts(
        store=str(root),
        source=record.source,
        uuid=record.uuid,
        format_version=record.format_version,
        features=record.features.as_dict(),
        tokenizer=record.tokenizer,
        language=record.language,
        splits=[_split_facts(layout, name, record.splits[name]) for name in ordered_splits(list(record.splits))],
        split=name,
        histogram=histogram(tenths_of(_durations(layout, name, record.splits[name])), _BINS) if name else [],
        quarantine=_quarantine(layout, record),
        row=row,
        repeats=find_repeats(layout, record),
        long=all_long_clips(layout, record.splits.items()),
    )
    return facts, log_mel


def tenths_of(durations: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    """Rows by their length in whole tenths of a second, from 0 to an hour, where what is longer counts too."""
    places = np.clip(durations.astype(np.float64) * _TENTHS + _SAME_EDGE, 0, _LONGEST_SECONDS * _TENTHS)
    return np.bincount(places.astype(np.int64), minlength=_LONGEST_SECONDS * _TENTHS + 1)


def histogram(tenths: NDArray[np.int64], most_bins: int) -> list[tuple[float, float, int]]:
    """`tenths_of` rows in at most *most_bins* bins of a round width: (from, to, rows) in seconds, from 0 on."""
    used = np.flatnonzero(tenths)
    if not len(used):
        return []
    # The last edge belongs to the last bin: clips of exactly 30 s do not make a 31st.
    longest = max(1, int(used[-1]))
    width = next(width for width in _widths() if -(-longest // width) <= most_bins)
    places = np.minimum(used // width, -(-longest // width) - 1)
    counts = np.bincount(places, tenths[used]).astype(np.int64)
    step = width / _TENTHS
    return [(step * number, step * (number + 1), int(count)) for number, count in enumerate(counts)]


def _widths() -> Iterator[int]:
    power = 1
    while True:
        yield from (power, 2 * power, 5 * power)
        power *= 10


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """What reads the file at *path* ends in a StoreError where it is damaged or gone."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        refuse_unreadable(path, error)
        raise StoreError(f"{path} cannot be read: {error}", VERIFY) from error


def _chosen_split(record: StoreRecord, split: str | None, root: Path) -> str:
    names = ordered_splits(list(record.splits))
    if split is not None and split not in names:
        raise UsageError(f"{root} has no split {split!r}", f"name one of them: {', '.join(names) or 'none yet'}")
    return split or next(iter(names), "")


def _split_facts(layout: StoreLayout, name: str, planned: SplitRecord) -> StoreSplitFacts:
    complete = read_complete(layout).get(name)
    committed = len(layout.committed(name, planned.num_units))
    if complete is not None:
        quarantined, num_bytes = complete["quarantined"], complete["num_bytes"]
        rows = planned.num_rows - quarantined
        seconds = complete["audio_seconds"]
    else:
        counts = [shard_counts(pq.read_metadata(path), path.name) for path in shards_of(layout, name, planned)]
        rows, quarantined = sum(count[1] for count in counts), sum(count[2] for count in counts)
        num_bytes, seconds = sum(path.stat().st_size for path in shards_of(layout, name, planned)), None
    return StoreSplitFacts(
        name,
        complete is not None,
        planned.num_units,
        committed,
        rows,
        planned.num_rows,
        quarantined,
        num_bytes,
        seconds,
    )


def shards_of(layout: StoreLayout, name: str, planned: SplitRecord) -> list[Path]:
    """The committed shards of split *name*, in order."""
    units = sorted(layout.committed(name, planned.num_units))
    return [layout.shard(name, unit, planned.num_units) for unit in units]


def _durations(layout: StoreLayout, name: str, planned: SplitRecord) -> NDArray[np.float32]:
    if name in read_complete(layout):
        files = [layout.index_of(name)]
    else:
        shards = shards_of(layout, name, planned)
        files = shards[:: max(1, len(shards) // _MEASURED_SHARDS)]
    columns = [_read(path, ["duration"])["duration"].to_numpy() for path in files]
    return np.concatenate(columns) if columns else np.empty(0, np.float32)


def _read(path: Path, columns: list[str]) -> pa.Table:
    with reading(path):
        return pq.read_table(path, columns=columns)


def _quarantine(layout: StoreLayout, record: StoreRecord) -> list[QuarantineFacts]:
    """By reason, the commonest first."""
    rows: dict[str, list[tuple[int, str, str]]] = {}
    counts: dict[str, int] = {}
    for name in record.splits:
        for path in sorted(layout.quarantine.glob(f"{name}-*-of-*.parquet")):
            for row in _read(path, ["row_id", "path", "reason", "message"]).to_pylist():
                counts[row["reason"]] = counts.get(row["reason"], 0) + 1
                examples = rows.setdefault(row["reason"], [])
                if len(examples) < _EXAMPLES:
                    examples.append((row["row_id"], row["path"], row["message"]))
    return [
        QuarantineFacts(reason, counts[reason], rows[reason]) for reason in sorted(counts, key=lambda r: -counts[r])
    ]


def _read_row(
    layout: StoreLayout, record: StoreRecord, name: str, row_id: int | None
) -> tuple[StoreRowFacts | None, NDArray[np.float32] | None]:
    planned = record.splits[name]
    for path in shards_of(layout, name, planned):
        ids = _read(path, ["row_id"])["row_id"].to_numpy() if _may_hold(path, row_id) else np.empty(0)
        places = np.flatnonzero(ids == row_id) if row_id is not None else np.arange(len(ids))
        if len(places):
            return row_at(path, name, int(places[0]), record.features)
    if row_id is None:
        return None, None
    return _quarantined_row(layout, name, planned, row_id), None


def _may_hold(path: Path, row_id: int | None) -> bool:
    """Whether the row ids of the shard at *path*, as its footer states them, span *row_id*."""
    if row_id is None:
        return True
    metadata = pq.read_metadata(path)
    groups = (metadata.row_group(number).column(0).statistics for number in range(metadata.num_row_groups))
    return any(group is None or group.min <= row_id <= group.max for group in groups)


def row_at(path: Path, split: str, place: int, spec: FeatureSpec) -> tuple[StoreRowFacts, NDArray[np.float32]]:
    """Row *place* (from 0) of the shard at *path* with its log-mel [num_frames, num_mel_bins].

    One row group is read. Raises StoreError where the file cannot be read.
    """
    with reading(path), pq.ParquetFile(path, pre_buffer=False) as file:
        group, first = 0, 0
        while first + (rows := file.metadata.row_group(group).num_rows) <= place:
            group, first = group + 1, first + rows
        row = file.read_row_group(group).slice(place - first, 1).to_pylist()[0]
    facts = StoreRowFacts(
        split=split,
        row_id=row["row_id"],
        path=row["path"],
        shard=path.name,
        source=row["source"],
        transkription=row["transkription"],
        labels=row["labels"],
        num_frames=row["num_frames"],
        floor=row["floor"],
        duration=row["duration"],
    )
    return facts, dequantise(row["log_mel"], spec, row["num_frames"], row["floor"])


def _quarantined_row(layout: StoreLayout, name: str, planned: SplitRecord, row_id: int) -> StoreRowFacts:
    for unit in range(planned.num_units):
        path = layout.quarantine / shard_name(name, unit, planned.num_units)
        if path.is_file():
            table = _read(path, ["row_id", "path", "reason", "message"])
            for row in table.filter(pc.equal(table["row_id"], row_id)).to_pylist():
                return StoreRowFacts(name, row_id, row["path"], quarantined=f"{row['reason']}: {row['message']}")
    message = f"row {row_id} of split {name!r} is not in the store"
    raise UsageError(message, "row ids count the source's rows from 0; the row may not be committed yet")

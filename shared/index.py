"""Index a split's committed shards, and mark a store complete.

The index holds all that a sampler and a loss need, so that opening a split reads one file and no shard.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shared.durable import DurableFile, json_bytes, write_durably
from shared.errors import StoreError
from shared.layout import SplitRecord, StoreLayout, StoreRecord, shard_name
from shared.schema import INDEX_SCHEMA, FeatureSpec
from shared.shard import payload_offsets

_INDEX_SOURCE = ["row_id", "num_frames", "floor", "labels", "duration", "source", "crc32"]
ROWS_IN, ROWS_OUT, ROWS_QUARANTINED, PLAN_DIGEST = b"rows_in", b"rows_out", b"rows_quarantined", b"plan_digest"


@dataclass(frozen=True, slots=True)
class SplitTotals:
    """What a finished split holds; *content_digest* covers row ids, lengths and payload checksums in order."""

    rows: int
    quarantined: int
    shards: int
    num_bytes: int
    audio_seconds: float
    content_digest: str


def shard_counts(metadata: pq.FileMetaData, name: str) -> tuple[int, int, int]:
    """Rows in, out and quarantined, as the shard itself states them. Raises StoreError when they do not add up."""
    try:
        values = metadata.metadata or {}
        rows_in, rows_out, quarantined = (int(values[key]) for key in (ROWS_IN, ROWS_OUT, ROWS_QUARANTINED))
    except (KeyError, ValueError) as error:
        raise StoreError(f"{name} does not state its row counts: {error!r}", "verify the store") from error
    if rows_in != rows_out + quarantined or rows_out != metadata.num_rows:
        message = f"{name}: {rows_in} rows in, {rows_out} out ({metadata.num_rows} found), {quarantined} quarantined"
        raise StoreError(message, "verify the store")
    return rows_in, rows_out, quarantined


def index_shard(path: Path, unit: int, spec: FeatureSpec) -> tuple[pa.Table, pq.FileMetaData, bytes]:
    """Index rows of one shard (columns of INDEX_SCHEMA), its metadata, and a digest of its rows."""
    try:
        file = pq.ParquetFile(path)
        table, metadata = file.read(columns=_INDEX_SOURCE), file.metadata
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"{path} cannot be read: {error}", "verify the store") from error
    sizes = table["num_frames"].to_numpy().astype(np.int64) * spec.payload_bytes(1)
    digest = hashlib.blake2b(digest_size=16)
    for name in ("row_id", "num_frames", "crc32"):
        digest.update(np.ascontiguousarray(table[name].to_numpy()).data)
    columns = {name: table[name] for name in _INDEX_SOURCE}
    columns["shard"] = pa.array(np.full(len(table), unit, np.int32))
    columns["offset"] = pa.array(payload_offsets(metadata, sizes, path.name))
    columns["num_labels"] = pc.list_value_length(table["labels"]).cast(pa.int32())
    rows = pa.Table.from_arrays([columns[field.name] for field in INDEX_SCHEMA], schema=INDEX_SCHEMA)
    return rows, metadata, digest.digest()


def write_index(layout: StoreLayout, split: str, record: SplitRecord, spec: FeatureSpec) -> SplitTotals:
    """Writes the index of a split whose shards are all committed, durably; returns the split's totals.

    Raises StoreError when a shard is missing, damaged, of another plan, or the rows do not add up to the plan's.
    """
    layout.index.mkdir(exist_ok=True)
    rows = quarantined = num_bytes = 0
    seconds = 0.0
    digest = hashlib.blake2b(digest_size=16)
    with DurableFile(layout.partial / f"index-{split}.parquet") as durable:
        with pq.ParquetWriter(durable.file, INDEX_SCHEMA, compression="zstd", write_page_checksum=True) as writer:
            for unit, path in _shards(layout, split, record):
                table, metadata, shard_digest = index_shard(path, unit, spec)
                _, rows_out, rows_quarantined = _checked_counts(metadata, path, record)
                if len(table):
                    writer.write_table(table)
                digest.update(shard_digest)
                rows, quarantined = rows + rows_out, quarantined + rows_quarantined
                num_bytes += path.stat().st_size
                seconds += float(np.sum(table["duration"].to_numpy(), dtype=np.float64))
        if rows + quarantined != record.num_rows:
            message = f"split {split!r}: {rows} rows and {quarantined} quarantined, planned were {record.num_rows}"
            raise StoreError(message, "verify the store")
        durable.seal()
        durable.publish(layout.index_of(split), replace=True)
    return SplitTotals(rows, quarantined, record.num_units, num_bytes, round(seconds, 3), digest.hexdigest())


def _shards(layout: StoreLayout, split: str, record: SplitRecord) -> Iterator[tuple[int, Path]]:
    missing = set(range(record.num_units)) - layout.committed(split, record.num_units)
    if missing:
        name = shard_name(split, min(missing), record.num_units)
        raise StoreError(f"{len(missing)} shards of {split!r} are missing, first {name}", "run the same command again")
    for unit in range(record.num_units):
        yield unit, layout.shard(split, unit, record.num_units)


def _checked_counts(metadata: pq.FileMetaData, path: Path, record: SplitRecord) -> tuple[int, int, int]:
    counts = shard_counts(metadata, path.name)
    if (metadata.metadata or {}).get(PLAN_DIGEST) != record.digest.encode():
        raise StoreError(f"{path} belongs to another plan", "verify the store")
    return counts


def write_complete(layout: StoreLayout, record: StoreRecord, totals: Mapping[str, SplitTotals]) -> None:
    """Marks the splits in *totals* complete, durably; splits marked before stay. The last write of a run."""
    splits: dict[str, Any] = read_complete(layout)
    splits |= {name: {"plan_digest": record.splits[name].digest, **asdict(total)} for name, total in totals.items()}
    value = {"format_version": record.format_version, "uuid": record.uuid, "splits": splits}
    write_durably(layout.complete, json_bytes(value), layout.partial / "COMPLETE")


def read_complete(layout: StoreLayout) -> dict[str, Any]:
    """Totals by split as `COMPLETE` states them, {} before any split is complete. Raises StoreError if damaged."""
    try:
        splits: dict[str, Any] = json.loads(layout.complete.read_text())["splits"]
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"{layout.complete} is damaged: {error!r}"
        raise StoreError(message, "remove it and run the same command again: it is made anew") from error
    return splits

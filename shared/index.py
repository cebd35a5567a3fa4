"""Index a split's committed shards, and mark a store complete.

The index holds all that a sampler and a loss need, so that opening a split reads one file and no shard. Its file also
keeps a digest of each shard's bytes between the payloads; with the payloads' own checksums these cover every byte.
"""

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shared.errors import StoreError
from shared.layout import SplitRecord, StoreLayout, StoreRecord, shard_name
from shared.membership import REPAIR, Membership, Place, shard_counts
from shared.schema import FORMAT_VERSION, FeatureSpec, index_schema
from shared.shard import payload_offsets, payload_pages
from shared.system.durable import DurableFile, json_bytes, write_durably
from shared.system.foreign_files import read_json
from shared.system.read_errors import refuse_unreadable
from shared.units import format_counted

_ADDED = {"shard", "offset", "num_labels"}
"""Columns of the index that no shard has."""
SHARD_DIGESTS = b"shard_digests"
"""Entry of the index file's metadata: `IndexedShard.frame_digest` of every shard, separated by blanks."""
_DIGEST_BYTES = 16
VERIFY = "python -m preprocess.verify --store STORE names what is wrong"
"""What to do about a store that is not as it was finished."""


@dataclass(frozen=True, slots=True)
class SplitTotals:
    """What a finished split holds: *rows* with features, a split recording's pieces each, and rows *quarantined*.

    *content_digest* covers row ids, lengths and payload checksums in order, *index_digest* the index file.
    """

    rows: int
    quarantined: int
    shards: int
    num_bytes: int
    audio_seconds: float
    content_digest: str
    index_digest: str


@dataclass(frozen=True, slots=True)
class IndexedShard:
    """One shard as the index sees it: *rows* with the columns of `index_schema`, and its *metadata*.

    *content_digest* covers its row ids, lengths and payload checksums, *frame_digest* all bytes between the payloads'
    pages and the shard's quarantine file.
    """

    rows: pa.Table
    metadata: pq.FileMetaData
    content_digest: bytes
    frame_digest: str


@dataclass(slots=True)
class SplitScan:
    """Adds up the shards of a split, in order."""

    rows: int = 0
    source_rows: int = 0
    quarantined: int = 0
    num_bytes: int = 0
    seconds: float = 0.0
    frame_digests: list[str] = field(default_factory=list)
    _content: Any = field(default_factory=lambda: hashlib.blake2b(digest_size=_DIGEST_BYTES))

    def add(self, shard: IndexedShard, path: Path) -> None:
        """Counts *shard*, which lies at *path*. Raises StoreError when its counts do not add up."""
        _, rows, quarantined = shard_counts(shard.metadata, path.name)
        self.rows += shard.metadata.num_rows
        self.source_rows += rows
        self.quarantined += quarantined
        self.num_bytes += path.stat().st_size
        self.seconds += float(np.sum(shard.rows["duration"].to_numpy(), dtype=np.float64))
        self.frame_digests.append(shard.frame_digest)
        self._content.update(shard.content_digest)

    def totals(self, index: Path) -> SplitTotals:
        """The split's totals, with the digest of its *index* file."""
        digests = self._content.hexdigest(), index_digest(index)
        return SplitTotals(
            self.rows, self.quarantined, len(self.frame_digests), self.num_bytes, round(self.seconds, 3), *digests
        )


def index_shard(place: Place, spec: FeatureSpec) -> IndexedShard:
    """The shard at *place* for the index; reads everything but its payloads. Raises StoreError when it is damaged."""
    path, schema = place.shard, index_schema(place.version)
    names = [*(name for name in schema.names if name not in _ADDED), "crc32"]
    try:
        file = pq.ParquetFile(path)
        table, metadata = file.read(columns=names), file.metadata
        sizes = table["num_frames"].to_numpy().astype(np.int64) * spec.payload_bytes(1)
        columns = {name: table[name] for name in names}
        columns["shard"] = pa.array(np.full(len(table), place.unit, np.int32))
        columns["offset"] = pa.array(payload_offsets(metadata, sizes, path.name))
        columns["num_labels"] = pc.list_value_length(table["labels"]).cast(pa.int32())
        rows = pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)
        frame = _frame_digest(path, payload_pages(metadata, sizes), place.quarantined)
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        refuse_unreadable(path, error)
        raise StoreError(f"{path} cannot be read: {error}", REPAIR) from error
    return IndexedShard(rows, metadata, _content_digest(table), frame)


def _content_digest(table: pa.Table) -> bytes:
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for name in ("row_id", "piece", "num_frames", "crc32"):
        if name in table.column_names:
            digest.update(np.ascontiguousarray(table[name].to_numpy()).data)
    return digest.digest()


def _frame_digest(path: Path, pages: Iterable[tuple[int, int]], quarantine: Path) -> str:
    """Digest of the shard at *path* without its payload *pages* (start, stop), and of its quarantine file."""
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    with path.open("rb") as file:
        for start, stop in pages:
            digest.update(file.read(start - file.tell()))
            file.seek(stop)
        digest.update(file.read())
    if quarantine.exists():
        digest.update(quarantine.read_bytes())
    return digest.hexdigest()


def index_digest(path: Path) -> str:
    """What `SplitTotals` keeps of the index file at *path*."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=_DIGEST_BYTES)).hexdigest()


def write_index(
    layout: StoreLayout, split: str, record: SplitRecord, spec: FeatureSpec, version: int = FORMAT_VERSION
) -> SplitTotals:
    """Writes the index of a split whose shards are all committed, durably; returns the split's totals.

    Raises StoreError when a shard is missing, damaged or not the one that its name says, and where shards and
    quarantine have not exactly the rows of the plan.
    """
    layout.index.mkdir(exist_ok=True)
    scan, membership, schema = SplitScan(), Membership(), index_schema(version)
    with DurableFile(layout.partial / f"index-{split}.parquet") as durable:
        with pq.ParquetWriter(durable.file, schema, compression="zstd", write_page_checksum=True) as writer:
            for place in _places(layout, split, record, version):
                shard = index_shard(place, spec)
                for problem in membership.problems(place, shard.metadata, shard.rows):
                    raise StoreError(problem, REPAIR)
                scan.add(shard, place.shard)
                if len(shard.rows):
                    writer.write_table(shard.rows)
            writer.add_key_value_metadata({SHARD_DIGESTS.decode(): " ".join(scan.frame_digests)})
        if scan.source_rows + scan.quarantined != record.num_rows:
            found = f"{format_counted(scan.source_rows, 'row')} and {scan.quarantined} quarantined"
            raise StoreError(f"split {split!r}: {found}, planned were {record.num_rows}", REPAIR)
        durable.seal()
        durable.publish(layout.index_of(split), replace=True)
    return scan.totals(layout.index_of(split))


def _places(layout: StoreLayout, split: str, record: SplitRecord, version: int) -> Iterator[Place]:
    missing = set(range(record.num_units)) - layout.committed(split, record.num_units)
    if missing:
        name = shard_name(split, min(missing), record.num_units)
        raise StoreError(
            f"{format_counted(len(missing), 'shard')} of {split!r} missing, first {name}", "run the same command again"
        )
    for unit in range(record.num_units):
        yield Place(layout, split, unit, record, version)


def check_index(layout: StoreLayout, split: str, totals: Mapping[str, Any]) -> None:
    """Raises StoreError where the index of *split* is not the one that *totals*, its entry in `COMPLETE`, were made of.

    Its rows are compared, and its bytes where *totals* have their digest.
    """
    path = layout.index_of(split)
    stated = totals.get("rows"), totals.get("index_digest")
    try:
        rows = pq.read_metadata(path).num_rows
        digest = index_digest(path) if stated[1] else None
    except (OSError, ValueError, pa.ArrowException) as error:
        refuse_unreadable(path, error)
        raise StoreError(f"{path} cannot be read: {error}", VERIFY) from error
    if rows != stated[0]:
        raise StoreError(f"{path} has {format_counted(rows, 'row')}, {layout.complete} states {stated[0]}", VERIFY)
    if digest != stated[1]:
        raise StoreError(f"{path} is not the index that {layout.complete} was written for", VERIFY)


def write_complete(layout: StoreLayout, record: StoreRecord, totals: Mapping[str, SplitTotals]) -> None:
    """Marks the splits in *totals* complete, durably; splits marked before stay. The last write of a run."""
    splits: dict[str, Any] = read_complete(layout)
    splits |= {name: {"plan_digest": record.splits[name].digest, **asdict(total)} for name, total in totals.items()}
    value = {"format_version": record.format_version, "uuid": record.uuid, "splits": splits}
    write_durably(layout.complete, json_bytes(value), layout.partial / "COMPLETE")


def read_complete(layout: StoreLayout, uuid: str | None = None, version: int = FORMAT_VERSION) -> dict[str, Any]:
    """Totals by split as `COMPLETE` states them, {} before any split is complete.

    Raises StoreError if it is damaged, or belongs to another store than that with *uuid*, which has format *version*.
    """
    try:
        value = read_json(layout.complete)
        splits = {str(name): _stated(totals) for name, totals in dict(value["splits"]).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        refuse_unreadable(layout.complete, error)
        raise StoreError(f"{layout.complete} is damaged: {error!r}", REPAIR) from error
    if uuid is not None and (value.get("uuid"), value.get("format_version")) != (uuid, version):
        raise StoreError(f"{layout.complete} belongs to another store", REPAIR)
    return splits


def _stated(totals: Any) -> dict[str, Any]:
    """*totals* of one split. Raises ValueError, KeyError or TypeError where they are not what a run wrote there."""
    for name in ("rows", "quarantined", "shards", "num_bytes"):
        if type(totals[name]) is not int or totals[name] < 0:
            raise ValueError(f"{name} is {totals[name]!r}")
    seconds = totals["audio_seconds"]
    if type(seconds) not in (int, float) or not 0 <= seconds < math.inf:
        raise ValueError(f"audio_seconds is {seconds!r}")
    return dict(totals)

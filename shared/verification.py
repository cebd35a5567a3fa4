"""Check every checksum, count and offset of a store.

Reads only, and finds all problems instead of stopping at the first.
"""

import hashlib
import mmap
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from shared.errors import StoreError
from shared.index import PLAN_DIGEST, index_shard, read_complete, shard_counts
from shared.layout import SplitRecord, StoreLayout, StoreRecord, read_record, shard_name
from shared.schema import INDEX_SCHEMA, FeatureSpec, shard_schema


@dataclass(frozen=True, slots=True)
class ShardCheck:
    """What was found in one shard: its *problems* ('' none), rows and bytes read."""

    name: str
    problems: tuple[str, ...]
    rows: int = 0
    num_bytes: int = 0


def verify_store(root: Path, threads: int = 2) -> Iterator[ShardCheck]:
    """Checks the store at *root* shard by shard, then split by split; yields as it goes.

    Raises StoreError when `store.json` itself cannot be read.
    """
    layout = StoreLayout(root)
    record = read_record(layout)
    for split, planned in record.splits.items():
        with ThreadPoolExecutor(threads) as pool:
            units = range(planned.num_units)
            yield from pool.map(
                lambda unit, s=split, p=planned: verify_shard(layout, s, unit, p, record.features), units
            )
        yield ShardCheck(f"split {split}", tuple(_split_problems(layout, split, record)))
    yield ShardCheck("store", tuple(_stray_problems(layout, record)))


def verify_shard(layout: StoreLayout, split: str, unit: int, planned: SplitRecord, spec: FeatureSpec) -> ShardCheck:
    """Checks one shard: Parquet page checksums, schema, counts, offsets, payload checksums, index and quarantine."""
    path = layout.shard(split, unit, planned.num_units)
    if not path.is_file():
        return ShardCheck(path.name, (f"{path} is missing: run the same command again",))
    try:
        rows = pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False)
        problems = [*_shard_problems(rows, path, unit, planned, spec)]
        problems += _quarantine_problems(layout.quarantined(split, unit, planned.num_units), rows.metadata, path)
    except (OSError, pa.ArrowException, StoreError, ValueError) as error:
        return ShardCheck(path.name, (f"{path} is damaged: {error}",))
    return ShardCheck(path.name, tuple(problems), rows.metadata.num_rows, path.stat().st_size)


def _shard_problems(
    rows: pq.ParquetFile, path: Path, unit: int, planned: SplitRecord, spec: FeatureSpec
) -> Iterator[str]:
    if not rows.schema_arrow.equals(shard_schema(spec), check_metadata=True):
        yield f"{path}: its columns are not those of this store"
        return
    if (rows.metadata.metadata or {}).get(PLAN_DIGEST) != planned.digest.encode():
        yield f"{path} belongs to another plan"
    shard_counts(rows.metadata, path.name)
    for number in range(rows.metadata.num_row_groups):
        # Reading a row group checks its pages; one at a time keeps memory at one row group.
        rows.read_row_group(number)
    index, _, _ = index_shard(path, unit, spec)
    ids = index["row_id"].to_numpy()
    if len(ids) and not np.all(np.diff(ids) > 0):
        yield f"{path}: row ids are not strictly increasing"
    yield from _payload_problems(rows, path, index, spec)


def _payload_problems(rows: pq.ParquetFile, path: Path, index: pa.Table, spec: FeatureSpec) -> Iterator[str]:
    if not len(index):
        return
    crcs = rows.read(columns=["crc32"])["crc32"].to_pylist()
    offsets, frames = index["offset"].to_pylist(), index["num_frames"].to_pylist()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        view = memoryview(mapped)
        for row_id, offset, count, crc in zip(index["row_id"].to_pylist(), offsets, frames, crcs, strict=True):
            if zlib.crc32(view[offset : offset + spec.payload_bytes(count)]) != crc:
                yield f"{path}: row {row_id} at byte {offset} fails its checksum"
        view.release()


def _quarantine_problems(path: Path, shard: pq.FileMetaData, shard_path: Path) -> Iterator[str]:
    _, _, quarantined = shard_counts(shard, shard_path.name)
    if not path.exists():
        if quarantined:
            yield f"{path} is missing: {quarantined} rows were quarantined"
        return
    ids = pq.read_table(path, columns=["row_id"], page_checksum_verification=True)["row_id"].to_pylist()
    if len(set(ids)) != quarantined:
        yield f"{path} has {len(set(ids))} rows, its shard says {quarantined}"
    both = set(ids) & set(pq.read_table(shard_path, columns=["row_id"])["row_id"].to_pylist())
    if both:
        yield f"{path}: rows {sorted(both)[:5]} are both written and quarantined"


def _split_problems(layout: StoreLayout, split: str, record: StoreRecord) -> Iterator[str]:
    planned = record.splits[split]
    complete = read_complete(layout).get(split)
    if complete is None:
        done = len(layout.committed(split, planned.num_units))
        yield f"split {split!r} is not complete: {done} of {planned.num_units} shards; run the same command again"
        return
    rows = groups = 0
    digest = hashlib.blake2b(digest_size=16)
    try:
        stored = pq.ParquetFile(layout.index_of(split), page_checksum_verification=True)
        for unit in range(planned.num_units):
            index, _, shard_digest = index_shard(layout.shard(split, unit, planned.num_units), unit, record.features)
            digest.update(shard_digest)
            if len(index) and not stored.read_row_group(groups).equals(index):
                yield f"{layout.index_of(split)}: its entries for shard {unit} are not the shard's"
            rows, groups = rows + len(index), groups + bool(len(index))
    except (OSError, pa.ArrowException, StoreError) as error:
        yield f"{layout.index_of(split)} or a shard is damaged: {error}"
        return
    if stored.metadata.num_rows != rows or complete["rows"] != rows:
        yield f"split {split!r}: {rows} rows, index {stored.metadata.num_rows}, COMPLETE {complete['rows']}"
    if complete["content_digest"] != digest.hexdigest():
        yield f"{layout.complete}: the rows of split {split!r} are not those that it was written for"
    if complete["plan_digest"] != planned.digest or stored.schema_arrow != INDEX_SCHEMA:
        yield f"{layout.complete} and {layout.index_of(split)} do not belong to this plan"


def _stray_problems(layout: StoreLayout, record: StoreRecord) -> Iterator[str]:
    expected = {
        shard_name(split, unit, planned.num_units)
        for split, planned in record.splits.items()
        for unit in range(planned.num_units)
    }
    for folder in (layout.data, layout.quarantine):
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.name not in expected:
                yield f"{path} belongs to no plan of this store"
    if layout.partial.is_dir():
        for path in sorted(layout.partial.iterdir()):
            yield f"{path} is unfinished; the next run or `python -m preprocess.clean` removes it"

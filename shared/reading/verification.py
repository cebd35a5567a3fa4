"""Check every checksum, count and offset of a store.

Reads only, and finds all problems instead of stopping at the first.
"""

import mmap
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from shared.errors import StoreError, first_line
from shared.index import SHARD_DIGESTS, IndexedShard, SplitScan, check_index, index_shard, read_complete
from shared.layout import SplitRecord, StoreLayout, StoreRecord, read_record, shard_name
from shared.membership import Membership, Place, is_damage, read_keys, shard_counts
from shared.schema import FeatureSpec, digest_of, index_schema, shard_schema
from shared.units import format_counted

_DAMAGE = (OSError, ValueError, KeyError, pa.ArrowException, StoreError)
"""What reading a damaged file ends in."""


@dataclass(frozen=True, slots=True)
class ShardCheck:
    """What was found in one part of a store: its *problems*, and for a shard the rows and bytes read.

    *repairable* problems go when a run makes the bad shards, or the index, again. A file that the system does not let
    us read is not known to be bad.
    """

    name: str
    problems: tuple[str, ...]
    rows: int = 0
    num_bytes: int = 0
    repairable: bool = False


def verify_store(root: Path, threads: int = 2) -> Iterator[ShardCheck]:
    """Checks the store at *root* shard by shard, then split by split; yields as it goes.

    Raises StoreError when `store.json` itself cannot be read.
    """
    layout = StoreLayout(root)
    record = read_record(layout)
    try:
        complete = read_complete(layout, record.uuid, record.format_version)
    except StoreError as error:
        yield ShardCheck(layout.complete.name, (f"{error.message}: {error.remedy}",))
        complete = {}
    for split, planned in record.splits.items():
        with ThreadPoolExecutor(threads) as pool:
            units = range(planned.num_units)
            yield from pool.map(lambda unit, name=split: verify_shard(layout, name, unit, record), units)
        found = tuple(_split_problems(layout, split, record, complete.get(split)))
        yield ShardCheck(f"split {split}", found, repairable=bool(found))
    yield ShardCheck("store", tuple(_stray_problems(layout, record, complete)))


def verify_shard(layout: StoreLayout, split: str, unit: int, record: StoreRecord) -> ShardCheck:
    """As `check_shard`, for *unit* of *split* as *record* has it."""
    return check_shard(Place(layout, split, unit, record.splits[split], record.format_version), record.features)


def check_shard(place: Place, spec: FeatureSpec, digests: Sequence[str] = ()) -> ShardCheck:
    """Checks one shard: Parquet page checksums, schema, counts, offsets, payload checksums, row ids and quarantine.

    With *digests*, those of `indexed_digests`, also that no byte outside its payloads changed since it was indexed.
    """
    path = place.shard
    if not path.is_file():
        return ShardCheck(path.name, (f"{path} is missing: run the same command again",), repairable=True)
    try:
        with pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False) as rows:
            problems = [*_shard_problems(rows, place, spec, digests)]
            num_rows = rows.metadata.num_rows
    except _DAMAGE as error:
        damaged = is_damage(error)
        problem = f"{path} {'is damaged' if damaged else 'cannot be read'}: {first_line(error)}"
        return ShardCheck(path.name, (problem,), repairable=damaged)
    return ShardCheck(path.name, tuple(problems), num_rows, path.stat().st_size, repairable=bool(problems))


def indexed_digests(layout: StoreLayout, split: str, totals: Mapping[str, Any] | None) -> list[str]:
    """What the index of *split* keeps of each shard's bytes between the payloads, by unit.

    Empty where the split is not complete, or its index is not the one that *totals*, its entry in `COMPLETE`, states.
    """
    if totals is None:
        return []
    try:
        check_index(layout, split, totals)
        metadata = pq.read_metadata(layout.index_of(split)).metadata or {}
    except _DAMAGE:
        return []
    digests: str = metadata.get(SHARD_DIGESTS, b"").decode()
    return digests.split()


def _shard_problems(rows: pq.ParquetFile, place: Place, spec: FeatureSpec, digests: Sequence[str]) -> Iterator[str]:
    if not rows.schema_arrow.equals(shard_schema(spec, place.version), check_metadata=True):
        yield f"{place.shard}: its columns are not those of this store"
        return
    for number in range(rows.metadata.num_row_groups):
        # Reading a row group checks its pages; one at a time keeps memory at one row group.
        rows.read_row_group(number)
    indexed = index_shard(place, spec)
    yield from _payload_problems(rows, place.shard, indexed.rows, spec)
    if place.planned.row_bounds:
        yield from Membership().problems(place, rows.metadata, indexed.rows)
    if digests and digests[place.unit : place.unit + 1] != [indexed.frame_digest]:
        yield _changed(place.shard)


def _changed(path: Path) -> str:
    return f"{path} or its quarantine file is not what was indexed: bytes outside its payloads changed"


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


def _split_problems(
    layout: StoreLayout, split: str, record: StoreRecord, complete: Mapping[str, Any] | None
) -> Iterator[str]:
    """Index and COMPLETE against the shards as they are; *complete* is what COMPLETE states of the split."""
    planned = record.splits[split]
    yield from _cuts_problems(layout, planned)
    if not planned.row_bounds:
        yield from _order_problems(layout, split, record)
    if complete is None:
        done = sum(layout.shard(split, unit, planned.num_units).is_file() for unit in range(planned.num_units))
        yield (
            f"split {split!r} is not complete: {done} of {format_counted(planned.num_units, 'shard')}; run "
            "the same command again"
        )
        return
    path, scan = layout.index_of(split), SplitScan()
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as stored:
            yield from _index_problems(stored, path, scan, _indexed(layout, split, record), record.format_version)
        found = asdict(scan.totals(path))
    except _DAMAGE as error:
        yield f"{path} or a shard is damaged: {first_line(error)}"
        return
    for name, value in (found | {"plan_digest": planned.digest}).items():
        if complete.get(name) != value:
            yield f"split {split!r}: {name} is {value}, {layout.complete} states {complete.get(name)}"


def _cuts_problems(layout: StoreLayout, planned: SplitRecord) -> Iterator[str]:
    """Whether the cuts that the split was planned with are the ones that are there."""
    digest, path = planned.settings.get("cuts"), layout.cuts_of(planned.source_split)
    if digest is None:
        return
    if not path.is_file():
        yield f"{path} is missing: restore it from a copy"
    elif digest_of(path.read_bytes()) != digest:
        yield f"{path} is not the cut plan that the store was made with: restore it from a copy"


def _order_problems(layout: StoreLayout, split: str, record: StoreRecord) -> Iterator[str]:
    """Rows across the shards of a split whose record has no row bounds; what cannot be read was named before."""
    planned, membership, rows = record.splits[split], Membership(), 0
    for unit in range(planned.num_units):
        place = Place(layout, split, unit, planned, record.format_version)
        try:
            with pq.ParquetFile(place.shard, pre_buffer=False) as file:
                rows += shard_counts(file.metadata, place.shard.name)[0]
                yield from membership.problems(place, file.metadata, read_keys(file))
        except _DAMAGE:
            membership.skipped = True
    if rows != planned.num_rows and not membership.skipped:
        yield f"split {split!r}: {format_counted(rows, 'row')} in, planned were {planned.num_rows}"


def _indexed(layout: StoreLayout, split: str, record: StoreRecord) -> Iterator[tuple[Path, IndexedShard]]:
    for unit in range(record.splits[split].num_units):
        place = Place(layout, split, unit, record.splits[split], record.format_version)
        yield place.shard, index_shard(place, record.features)


def _index_problems(
    stored: pq.ParquetFile, path: Path, scan: SplitScan, shards: Iterable[tuple[Path, IndexedShard]], version: int
) -> Iterator[str]:
    """Compares the index *stored* at *path* with the *shards*, which *scan* adds up."""
    if stored.schema_arrow != index_schema(version):
        yield f"{path}: its columns are not those of an index"
        return
    digests = (stored.metadata.metadata or {}).get(SHARD_DIGESTS, b"").decode().split()
    groups = 0
    for unit, (shard_path, shard) in enumerate(shards):
        scan.add(shard, shard_path)
        if digests[unit : unit + 1] != [shard.frame_digest]:
            yield _changed(shard_path)
        if len(shard.rows):
            if groups >= stored.num_row_groups or not stored.read_row_group(groups).equals(shard.rows):
                yield f"{path}: its entries for shard {unit} are not the shard's"
            groups += 1
    if groups < stored.num_row_groups:
        yield f"{path}: it has entries of {format_counted(stored.num_row_groups - groups, 'shard')} too many"


def _stray_problems(layout: StoreLayout, record: StoreRecord, complete: Mapping[str, Any]) -> Iterator[str]:
    shards = {
        shard_name(split, unit, planned.num_units)
        for split, planned in record.splits.items()
        for unit in range(planned.num_units)
    }
    indexes = {layout.index_of(split).name for split in record.splits}
    origins = {Path(name).with_suffix(".json").name for name in shards}
    folders = (layout.data, shards), (layout.quarantine, shards), (layout.provenance, origins), (layout.index, indexes)
    for folder, expected in folders:
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.name not in expected:
                yield f"{path} belongs to no plan of this store"
    for split in sorted(complete.keys() - record.splits.keys()):
        yield f"{layout.complete} names a split {split!r} that {layout.record} does not know"
    if layout.partial.is_dir():
        try:
            left = sorted(layout.partial.iterdir())
        except PermissionError:
            yield f"{layout.partial} is another user's, whose run works on the store or left it so"
            return
        for path in left:
            yield f"{path} is unfinished; the next run or `python -m preprocess.clean` removes it"

"""A store against its source: which units were made from other rows than the source has now. Reads the source."""

from collections.abc import Iterator
from pathlib import Path

from preprocess.features.provenance import Provenance
from preprocess.planning.origins import ReadTask, checksums_apart, ranges
from preprocess.sources.base import Access, Columns, Source
from preprocess.sources.confine import NOTHING_ELSE
from preprocess.sources.open import open_source
from shared.layout import SplitRecord, StoreLayout, StoreRecord, shard_name
from shared.reading.verification import ShardCheck
from shared.selection import Selection


def check_source(
    layout: StoreLayout, record: StoreRecord, uri: str, access: Access = NOTHING_ELSE
) -> Iterator[ShardCheck]:
    """For every committed unit of the store at *layout* whether the source at *uri* still has what it was made from.

    Raises SourceError where *uri* is not a data set with the columns that the store was made of.
    """
    for split, planned in record.splits.items():
        source = open_source(uri, Columns.of(planned.settings), access)
        found = source.splits.get(planned.source_split)
        if found is None:
            yield ShardCheck(split, (f"{source.uri} has no split {planned.source_split!r}",))
            continue
        if found.fingerprint != planned.source_fingerprint:
            yield ShardCheck(split, (f"split {split!r}: {source.uri} is not the source of the plan any more",))
        yield from _check_split(layout, source, split, planned)


def _check_split(layout: StoreLayout, source: Source, split: str, planned: SplitRecord) -> Iterator[ShardCheck]:
    origins: dict[int, Provenance] = {}
    committed = sorted(layout.committed(split, planned.num_units))
    for unit in committed:
        origin = Provenance.read(layout.provenance_of(split, unit, planned.num_units))
        if origin is not None and planned.row_bounds:
            origins[unit] = origin
    if untold := [unit for unit in committed if unit not in origins]:
        yield ShardCheck(split, (f"shards {ranges(untold)} of {split} have no record of what they were made from",))
    tasks = {}
    for unit in origins:
        try:
            tasks[unit] = _task(source, split, unit, planned)
        except IndexError as error:
            yield ShardCheck(split, (f"{layout.shard(split, unit, planned.num_units)}: {source.uri} has no {error}",))
    for unit, now in zip(tasks, checksums_apart(list(tasks.values())) if tasks else (), strict=True):
        path, known = layout.shard(split, unit, planned.num_units), origins[unit].checksum
        yield ShardCheck(path.name, tuple(_problems(path, source.uri, known, now)))


def _task(source: Source, split: str, unit: int, planned: SplitRecord) -> ReadTask:
    start, stop = planned.row_bounds[unit : unit + 2]
    reader = source.reader(planned.source_split, start, stop)
    name = shard_name(split, unit, planned.num_units)
    return ReadTask(name, reader, Selection.of(planned.settings), start, stop)


def _problems(path: Path, uri: str, known: str, now: str | Exception) -> Iterator[str]:
    if isinstance(now, Exception):
        yield f"{path}: what it was made from cannot be read: {now}"
    elif now != known:
        yield f"{path} was made from other rows than {uri} has now (checksum {known}, now {now})"

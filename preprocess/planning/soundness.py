"""Whether what a store has is what its plan says, before a run goes on with it or calls it done.

Always: every committed shard stands where its name says and has the rows of its unit; a finished split's index is the
one of `COMPLETE`. Payloads are read where a file is newer than `COMPLETE`, and in a repair; `verify` reads all.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preprocess.features.provenance import Provenance
from preprocess.planning.origins import checksums_apart, read_task
from preprocess.planning.planned_job import PlannedJob
from preprocess.units import SplitPlan, Unit
from preprocess.workspace.set_aside import set_aside
from shared.errors import StoreError, UnreadableError
from shared.index import check_index, read_complete
from shared.membership import READABLE, REPAIR, Place, check_unit
from shared.reading.verification import ShardCheck, check_shard, indexed_digests
from shared.units import format_counted

THREADS = 4
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class BadUnit:
    """A unit whose shard or quarantine file is not what it should be, and why."""

    unit: Unit
    place: Place
    problems: Sequence[str]


def check_committed(job: PlannedJob) -> None:
    """Raises StoreError, with what mends it, where something of the planned splits is there and not what it should be.

    What is not there yet is no problem.
    """
    problems: list[str] = []
    complete = _read_own_complete(job)
    for plan in job.plans:
        totals = complete.get(plan.name)
        places = [place for _, place in _committed(job, plan)]
        with ThreadPoolExecutor(THREADS) as pool:
            problems += [problem for found in pool.map(check_unit, places) for problem in found]
        if totals is not None and totals.get("plan_digest") == plan.record.digest:
            problems += _index_problems(job, plan, totals)
    if not problems and complete:
        problems = [problem for bad in find_bad(job, complete, only_touched=True) for problem in bad.problems]
    if problems:
        more = f" (and {len(problems) - _SHOWN} more)" if len(problems) > _SHOWN else ""
        raise StoreError("; ".join(problems[:_SHOWN]) + more, REPAIR)


def find_bad(job: PlannedJob, complete: Mapping[str, Any], *, only_touched: bool = False) -> Iterator[BadUnit]:
    """Reads every byte of the committed shards of *job*, or of those *only_touched* since `COMPLETE` was written.

    *complete* is what that states by split. Raises StoreError for a file that the system does not let us read: it is
    not known to be bad.
    """
    for plan in job.plans:
        digests = indexed_digests(job.layout, plan.name, complete.get(plan.name))
        wanted = [(unit, place) for unit, place in _committed(job, plan) if not only_touched or _touched(place)]

        def check(entry: tuple[Unit, Place], digests: Sequence[str] = digests) -> ShardCheck:
            return check_shard(entry[1], job.record.features, digests)

        with ThreadPoolExecutor(THREADS) as pool:
            for (unit, place), found in zip(wanted, pool.map(check, wanted), strict=True):
                if found.problems and not found.repairable:
                    raise StoreError("; ".join(found.problems), READABLE)
                if found.problems:
                    yield BadUnit(unit, place, found.problems)


def repair(job: PlannedJob, tell: Callable[[str], None]) -> int:
    """Sets the bad shards of *job* aside, with their quarantine files, so that they are made again; how many.

    A bad `COMPLETE` goes the same way; then nothing vouches for bytes between payloads but Parquet's own checksums.
    *job* was planned from the source, so its plan is the store's. *tell* hears what was moved, why and where to.
    """
    tell("repair: every shard is read")
    # All are found before the first is moved: an unreadable one ends the repair with nothing changed.
    complete, problem = _own_complete_or_problem(job)
    found = list(find_bad(job, complete))
    _check_sources(job, found)
    if problem:
        tell(f"bad: {problem}; it is made again for the splits of this command")
        tell(f"set aside: {set_aside(job.layout, job.layout.complete)}")
    for bad in found:
        tell(f"bad: {'; '.join(bad.problems)}")
        for path in (bad.place.shard, bad.place.quarantined):
            if path.exists():
                tell(f"set aside: {set_aside(job.layout, path)}")
    tell(f"repair: {format_counted(len(found), 'shard')} to make again" if found else "repair: no shard is bad")
    return len(found)


def _read_own_complete(job: PlannedJob) -> dict[str, Any]:
    """Raises StoreError also where `COMPLETE` is another store's."""
    return read_complete(job.layout, job.record.uuid, job.record.format_version)


def _own_complete_or_problem(job: PlannedJob) -> tuple[dict[str, Any], str]:
    """What `COMPLETE` states, or nothing and what is wrong with it. Raises UnreadableError: then nobody knows."""
    try:
        return _read_own_complete(job), ""
    except UnreadableError:
        raise
    except StoreError as error:
        return {}, error.message


def _index_problems(job: PlannedJob, plan: SplitPlan, totals: Mapping[str, Any]) -> list[str]:
    try:
        check_index(job.layout, plan.name, totals)
    except StoreError as error:
        return [error.message]
    return []


def _check_sources(job: PlannedJob, found: Sequence[BadUnit]) -> None:
    """Raises StoreError where what a bad unit was made from is known, and is not what the source has now."""
    known = [(bad, Provenance.read(_origin_of(job, bad.place))) for bad in found]
    told = [(bad, origin.checksum) for bad, origin in known if origin is not None]
    tasks = [read_task(job, bad.unit) for bad, _ in told]
    for (bad, checksum), now in zip(told, checksums_apart(tasks) if tasks else (), strict=True):
        if isinstance(now, Exception):
            raise now
        if now != checksum:
            message = f"{bad.place.shard} is bad, and was made from other source rows than {job.source.uri} has now"
            raise StoreError(message, "restore the source, then repeat the command; nothing was changed")


def _origin_of(job: PlannedJob, place: Place) -> Path:
    return job.layout.provenance_of(place.split, place.unit, place.planned.num_units)


def _committed(job: PlannedJob, plan: SplitPlan) -> list[tuple[Unit, Place]]:
    # A plan knows every unit's rows, also where the store's own record (version 1) does not.
    version, numbers = job.record.format_version, job.layout.committed(plan.name, plan.record.num_units)
    return [
        (unit, Place(job.layout, plan.name, unit.number, plan.record, version))
        for unit in plan.units
        if unit.number in numbers
    ]


def _touched(place: Place) -> bool:
    """Whether shard or quarantine file were written, or put there, after the store was finished."""
    try:
        finished = place.layout.complete.stat().st_ctime_ns
    except FileNotFoundError:
        return False
    files = (path.stat() for path in (place.shard, place.quarantined) if path.exists())
    return any(status.st_ctime_ns >= finished for status in files)

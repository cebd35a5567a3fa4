"""What of a planned job is still to do, and the tasks that workers get for it."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from itertools import accumulate

from preprocess.job import PlannedJob
from preprocess.sources.base import BATCH_BYTES
from preprocess.tally import Tally
from preprocess.units import SplitPlan, Unit
from preprocess.worker import UnitTask


def make_task(
    job: PlannedJob,
    unit: Unit,
    crashed_rows: frozenset[int] = frozenset(),
    max_bytes: int | None = None,
    batch_bytes: int = BATCH_BYTES,
) -> UnitTask:
    """What a worker needs for *unit* (or a part of it); it may write *max_bytes*."""
    plan = next(plan for plan in job.plans if plan.name == unit.split)
    reader = job.source.reader(plan.source_split, unit.start, unit.stop)
    record, selection = plan.record, plan.selection
    return UnitTask(unit, record.num_units, record.digest, reader, selection, crashed_rows, max_bytes, batch_bytes)


def held_bytes(job: PlannedJob) -> dict[Unit, int]:
    """For every unit the most that reading it may hold in memory beyond a batch of rows: that of its largest block."""
    held = {}
    for plan in job.plans:
        blocks = job.source.splits[plan.source_split].blocks
        ends = list(accumulate(block.num_rows for block in blocks))
        for unit in plan.units:
            touched = blocks[bisect_right(ends, unit.start) : bisect_left(ends, unit.stop) + 1]
            held[unit] = max((block.held_bytes for block in touched), default=0)
    return held


def open_units(job: PlannedJob) -> list[Unit]:
    """Units of *job* whose shards are not committed, in plan order."""
    return [unit for plan in job.plans for unit in _open(job, plan)]


def _open(job: PlannedJob, plan: SplitPlan) -> Iterable[Unit]:
    committed = job.layout.committed(plan.name, plan.record.num_units)
    return (unit for unit in plan.units if unit.number not in committed)


def new_tally(job: PlannedJob, todo: Iterable[Unit], started: float) -> Tally:
    """A tally that knows what earlier runs committed."""
    todo = list(todo)
    rows, units = sum(plan.num_rows for plan in job.plans), sum(len(plan.units) for plan in job.plans)
    resumed = rows - sum(unit.num_rows for unit in todo)
    return Tally(rows, units, resumed, units - len(todo), job.forecast_bytes, started)

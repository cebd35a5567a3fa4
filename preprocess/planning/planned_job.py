"""A planned job: what is to be made and what of it is open. It plans nothing (`planning.job` does)."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from preprocess.features.pieces import CutsOf
from preprocess.features.pipeline import PipelineSettings
from preprocess.features.worker import UnitTask
from preprocess.planning.forecast import SplitForecast
from preprocess.sources.base import BATCH_BYTES, Source
from preprocess.units import SplitPlan, Unit
from shared.layout import StoreLayout, StoreRecord


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """What a run will do: *record* is the store's record with all splits admitted; forecasts are by split."""

    source: Source
    pipeline: PipelineSettings
    plans: tuple[SplitPlan, ...]
    forecasts: Mapping[str, SplitForecast | None]
    record: StoreRecord
    layout: StoreLayout

    @property
    def forecast_bytes(self) -> int:
        """Bytes that the planned splits will have in the store."""
        return sum(self.record.splits[plan.name].forecast_bytes for plan in self.plans)

    def open_units(self) -> list[Unit]:
        """Units whose shards are not committed, in plan order."""
        return [unit for plan in self.plans for unit in self.open_in(plan)]

    def open_in(self, plan: SplitPlan) -> list[Unit]:
        """Those of one split."""
        committed = self.layout.committed(plan.name, plan.record.num_units)
        return [unit for unit in plan.units if unit.number not in committed]

    def held_bytes(self) -> dict[Unit, int]:
        """For every unit the most that reading it may hold in memory beyond a batch of rows: its largest block's."""
        held = {}
        for plan in self.plans:
            blocks = self.source.splits[plan.source_split].blocks
            ends = list(accumulate(block.num_rows for block in blocks))
            for unit in plan.units:
                touched = blocks[bisect_right(ends, unit.start) : bisect_left(ends, unit.stop) + 1]
                held[unit] = max((block.held_bytes for block in touched), default=0)
        return held

    def task_for(
        self,
        unit: Unit,
        crashed_rows: frozenset[int] = frozenset(),
        max_bytes: int | None = None,
        batch_bytes: int = BATCH_BYTES,
    ) -> UnitTask:
        """What a worker needs for *unit* (or a part of it); it may write *max_bytes*."""
        plan = next(plan for plan in self.plans if plan.name == unit.split)
        reader = self.source.reader(plan.source_split, unit.start, unit.stop)
        record, selection = plan.record, plan.selection
        return UnitTask(
            unit,
            record.num_units,
            record.digest,
            reader,
            selection,
            crashed_rows,
            max_bytes,
            batch_bytes,
            self.record.format_version,
            tuple(path for name in self.held_out(plan) for path in self._shards_of(name)),
            self.cuts_of(plan),
        )

    def cuts_of(self, plan: SplitPlan) -> CutsOf | None:
        """Where the recordings of *plan* are cut; None where none are split."""
        digest = plan.record.settings.get("cuts")
        return None if digest is None else CutsOf(self.layout.cuts_of(plan.source_split), str(digest))

    def held_out(self, plan: SplitPlan) -> tuple[str, ...]:
        """The splits whose rows *plan* may not have as well."""
        return tuple(plan.record.settings.get("drop_test_leaks", ()))

    def has_to_wait(self, unit: Unit) -> bool:
        """Whether *unit* is made without the rows of splits that are not all committed yet."""
        plan = next(plan for plan in self.plans if plan.name == unit.split)
        return any(map(self.misses_shards, self.held_out(plan)))

    def misses_shards(self, name: str) -> bool:
        """Whether the split *name* of the store is not all committed yet."""
        count = self.record.splits[name].num_units
        return len(self.layout.committed(name, count)) < count

    def _shards_of(self, name: str) -> list[Path]:
        count = self.record.splits[name].num_units
        return [self.layout.shard(name, unit, count) for unit in range(count)]

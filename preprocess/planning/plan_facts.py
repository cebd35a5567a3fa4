"""The figures of a plan: values and arithmetic, no rendering."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from preprocess.features.long_clips import LongClips, long_clips
from preprocess.governor.budgets import Budgets
from preprocess.planning.estimate import Estimate
from preprocess.planning.planned_job import PlannedJob
from preprocess.units import SplitPlan
from shared.index import read_complete
from shared.schema import FeatureDtype, FeatureSpec


@dataclass(frozen=True, slots=True)
class SplitFigures:
    """One planned split.

    *error_bytes* and *audio_error_seconds* are half the 95 % interval; *quarantine_reasons* counts *sampled_rows*.
    *shards_committed* is what the store has already. What only a sample tells is None for a split that the store has
    whole. *long* counts the clips over the model's window.
    """

    name: str
    rows: int
    shards: int
    rows_per_shard: int
    shards_committed: int
    store_bytes: int
    error_bytes: int | None = None
    payload_bytes: int | None = None
    audio_seconds: float | None = None
    audio_error_seconds: float | None = None
    quarantine_share: float | None = None
    quarantine_reasons: Mapping[str, int] = field(default_factory=dict)
    sampled_rows: int = 0
    long: LongClips | None = None


@dataclass(frozen=True, slots=True)
class PlanFigures:
    """What a plan says: what the job comes to (*estimate*), what it may use of the disk at *mount* (*budgets*), and
    whether that *fits*. *command* starts the run.
    """

    source: str
    store: str
    features: FeatureSpec
    splits: Sequence[SplitFigures]
    estimate: Estimate
    budgets: Budgets
    fits: bool
    mount: str
    command: Sequence[str]

    @property
    def audio_seconds(self) -> float | None:
        """Of all splits, None where one was not sampled."""
        known = [split.audio_seconds for split in self.splits if split.audio_seconds is not None]
        return sum(known) if len(known) == len(self.splits) else None

    @property
    def sampled_rows(self) -> int:
        """Rows that were read and processed for this plan."""
        return sum(split.sampled_rows for split in self.splits)

    def store_bytes_as(self, dtype: FeatureDtype) -> int | None:
        """The store with *dtype* features, None where that is not its own and a split was not sampled."""
        if dtype == self.features.dtype:
            return self.estimate.store_bytes
        payloads = [split.payload_bytes for split in self.splits if split.payload_bytes is not None]
        if len(payloads) < len(self.splits):
            return None
        other = sum(payloads) * FeatureSpec(1, dtype).itemsize // self.features.itemsize
        return self.estimate.store_bytes + other - sum(payloads)


def plan_figures(
    job: PlannedJob, found: Estimate, budgets: Budgets, command: Sequence[str], *, fits: bool
) -> PlanFigures:
    """The figures of *job*; only the store's folder is looked at."""
    return PlanFigures(
        source=job.source.uri,
        store=str(job.layout.root),
        features=job.record.features,
        splits=[_split_figures(job, plan) for plan in job.plans],
        estimate=found,
        budgets=budgets,
        fits=fits,
        mount=str(_mount_of(job.layout.root)),
        command=command,
    )


def _mount_of(folder: Path) -> Path:
    """The mount point that *folder*, which need not exist yet, lies or will lie on."""
    while not (folder.exists() and folder.is_mount()) and folder != folder.parent:
        folder = folder.parent
    return folder


def _with_totals(split: SplitFigures, totals: Mapping[str, Any]) -> SplitFigures:
    """*split* with what `COMPLETE` says of it, where it is complete: no forecast but the outcome."""
    if not totals:
        return split
    return replace(
        split,
        store_bytes=totals["num_bytes"],
        error_bytes=0,
        audio_seconds=totals["audio_seconds"],
        audio_error_seconds=0.0,
        quarantine_share=totals["quarantined"] / max(1, split.rows),
    )


def _split_figures(job: PlannedJob, plan: SplitPlan) -> SplitFigures:
    record, forecast = plan.record, job.forecasts[plan.name]
    known = SplitFigures(
        name=plan.name,
        rows=plan.num_rows,
        shards=len(plan.units),
        rows_per_shard=round(plan.num_rows / max(1, len(plan.units))),
        shards_committed=len(plan.units) - len(job.open_in(plan)),
        store_bytes=record.forecast_bytes,
    )
    if forecast is None:
        totals = read_complete(job.layout).get(plan.name, {})
        found = long_clips(job.layout, plan.name, plan.record) if totals else None
        return replace(_with_totals(known, totals), long=found)
    return replace(
        known,
        error_bytes=forecast.error_bytes,
        payload_bytes=forecast.payload_bytes,
        audio_seconds=forecast.audio_seconds,
        audio_error_seconds=forecast.audio_seconds * forecast.error_share,
        quarantine_share=forecast.rejected_share,
        quarantine_reasons=forecast.reasons,
        sampled_rows=forecast.sampled_rows,
        long=forecast.long,
    )

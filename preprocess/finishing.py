"""The end of a run: indexes, COMPLETE, and the figures of the finished store."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pyarrow.parquet as pq

from preprocess.job import PlannedJob
from preprocess.outcome import SplitSummary
from shared.index import SplitTotals, read_complete, write_complete, write_index
from shared.layout import StoreLayout


def is_finished(job: PlannedJob) -> bool:
    """True when `COMPLETE` stands for every planned split."""
    complete = read_complete(job.layout)
    return all(complete.get(plan.name, {}).get("plan_digest") == plan.record.digest for plan in job.plans)


def finish(job: PlannedJob) -> dict[str, SplitTotals]:
    """Indexes every planned split and marks the store complete. All shards must be committed; raises StoreError."""
    totals = {plan.name: write_index(job.layout, plan.name, plan.record, job.record.features) for plan in job.plans}
    write_complete(job.layout, job.record, totals)
    return totals


def split_summaries(job: PlannedJob) -> list[SplitSummary]:
    """What the planned splits of a finished store hold."""
    complete: Mapping[str, Any] = read_complete(job.layout)
    return [
        SplitSummary(
            plan.name,
            complete[plan.name]["rows"],
            complete[plan.name]["audio_seconds"],
            quarantine_reasons(job.layout, plan.name),
        )
        for plan in job.plans
    ]


def quarantine_reasons(layout: StoreLayout, split: str) -> Counter[str]:
    """Quarantined rows of *split* by reason."""
    reasons: Counter[str] = Counter()
    for path in layout.quarantine.glob(f"{split}-*-of-*.parquet"):
        reasons.update(pq.read_table(path, columns=["reason"])["reason"].to_pylist())
    return reasons


def store_bytes(job: PlannedJob) -> int:
    """Bytes of the planned splits' shards and indexes."""
    complete = read_complete(job.layout)
    return sum(complete[plan.name]["num_bytes"] + job.layout.index_of(plan.name).stat().st_size for plan in job.plans)

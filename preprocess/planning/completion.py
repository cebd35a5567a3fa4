"""A job against `COMPLETE`: whether it is finished, finishing it, and the bytes and rejected rows of what is there."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pyarrow.parquet as pq

from preprocess.features.provenance import Provenance
from preprocess.planning.planned_job import PlannedJob
from shared.errors import StoreError
from shared.index import SplitTotals, read_complete, write_complete, write_index
from shared.layout import SplitRecord, StoreLayout


def is_finished(job: PlannedJob) -> bool:
    """True when `COMPLETE` stands for every planned split."""
    complete = read_complete(job.layout)
    return all(complete.get(plan.name, {}).get("plan_digest") == plan.record.digest for plan in job.plans)


def finish(job: PlannedJob) -> dict[str, SplitTotals]:
    """Indexes every planned split and marks the store complete. All shards must be committed; raises StoreError."""
    features, version = job.record.features, job.record.format_version
    totals = {plan.name: write_index(job.layout, plan.name, plan.record, features, version) for plan in job.plans}
    write_complete(job.layout, job.record, totals)
    return totals


def changed_splits(job: PlannedJob, before: Mapping[str, Any], after: Mapping[str, SplitTotals]) -> list[str]:
    """Splits that `COMPLETE` stated *before* of the same plan, with another content than *after* this run."""
    return [
        plan.name
        for plan in job.plans
        if before.get(plan.name, {}).get("plan_digest") == plan.record.digest
        and before[plan.name].get("content_digest") != after[plan.name].content_digest
    ]


def quarantine_reasons(layout: StoreLayout, split: str) -> Counter[str]:
    """Quarantined rows of *split* by reason."""
    reasons: Counter[str] = Counter()
    for path in layout.quarantine.glob(f"{split}-*-of-*.parquet"):
        reasons.update(pq.read_table(path, columns=["reason"])["reason"].to_pylist())
    return reasons


def cancelled_rows(layout: StoreLayout, split: str, planned: SplitRecord) -> list[int]:
    """Ids of rows of *split* whose channels cancelled each other, by what is kept of each shard's making.

    Shards of which nothing is kept, or nothing that can be read, count as having none.
    """
    found: list[int] = []
    for unit in range(planned.num_units):
        try:
            origin = Provenance.read(layout.provenance_of(split, unit, planned.num_units))
        except StoreError:
            continue
        found += origin.cancelled if origin else ()
    return found


def store_bytes(job: PlannedJob) -> int:
    """Bytes of the planned splits' shards and indexes."""
    complete = read_complete(job.layout)
    return sum(complete[plan.name]["num_bytes"] + job.layout.index_of(plan.name).stat().st_size for plan in job.plans)

"""From sampled rows to the figures a person asks for: bytes, scratch, time, and whether it fits."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from preprocess.governor.budgets import Budgets, make_budgets
from preprocess.governor.cores import usable_cores
from preprocess.planning.cost import Cost
from preprocess.planning.planned_job import PlannedJob
from preprocess.settings import SourceSettings
from preprocess.workspace.disk_usage import allocated_bytes
from shared.errors import ResourceLimitError
from shared.schema import FeatureDtype
from shared.units import format_bytes

RAY_SECONDS = 4.0
"""Ray's start and end, and the index."""
ACTOR_CPU_SECONDS = 1.6
"""One actor's start: a Python process with Ray and our imports."""
ACTOR_OVERHEAD = 1.2
"""What a row costs an actor, relative to the sample: checksums, progress, and cores that share caches and pipelines."""
UNIT_COST = Cost(cpu_seconds=0.02, wait_seconds=0.05)
"""One commit, but for its bytes: opening the source, closing and checking the file, four fsyncs."""
DISK_BYTES_PER_SECOND = 500_000_000
"""How fast fsync is taken to put a shard on the disk, which cannot be measured without writing: a SATA SSD."""
SCRATCH_BYTES = 12_000_000
"""Ray's folder: 0.4 MB when five actors have started, then six logs that grow, of 1 MB and one backup each."""
INDEX_SHARE = 0.005
"""The index, at most, as a share of the shards."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a job comes to: bytes of its finished splits (± *error_bytes*), those not yet committed, scratch at most.

    *audio_seconds* and *seconds* (what is left to do) are None where a split was not sampled because the store knows it
    already. *actors* is how many will have work, *largest_bytes* a mean shard of the split with the largest.
    *set_aside_bytes* are what repairs put aside, which the budget has to hold as well.
    """

    store_bytes: int
    error_bytes: int
    missing_bytes: int
    scratch_bytes: int
    audio_seconds: float | None
    seconds: float | None
    free_bytes: int
    actors: int
    cores: int
    largest_bytes: int = 0
    set_aside_bytes: int = 0
    dtype: FeatureDtype = "float16"

    @property
    def needed_bytes(self) -> int:
        """Room that must be free before the first byte is written."""
        slack = self.error_bytes + self.largest_bytes + standing_bytes(self.store_bytes)
        return self.missing_bytes + slack if self.missing_bytes else 0


def standing_bytes(store_bytes: int) -> int:
    """What takes room beside the shards of a store of *store_bytes* for the whole run: Ray's folder, and the index."""
    return SCRATCH_BYTES + round(INDEX_SHARE * store_bytes)


def estimate(job: PlannedJob, settings: SourceSettings) -> Estimate:
    """The estimate for what *job* has still to do on this machine."""
    left = {plan.name: len(job.open_in(plan)) for plan in job.plans}
    cores = usable_cores()
    wanted = max(1, cores - 1) if settings.actors == "auto" else settings.actors
    forecasts = [forecast for forecast in job.forecasts.values() if forecast is not None]
    missing = max(0, job.forecast_bytes - _committed_bytes(job)) if any(left.values()) else 0
    actors = min(wanted, sum(left.values()))
    cost = _cost_left(job, left)
    largest = max((plan.record.forecast_bytes / max(1, len(plan.units)) for plan in job.plans), default=0)
    return Estimate(
        store_bytes=job.forecast_bytes,
        error_bytes=sum(forecast.error_bytes for forecast in forecasts),
        missing_bytes=missing,
        scratch_bytes=round(largest * actors) + standing_bytes(job.forecast_bytes) if actors else 0,
        audio_seconds=sum(f.audio_seconds for f in forecasts) if len(forecasts) == len(job.plans) else None,
        seconds=None if cost is None else run_seconds(cost, sum(left.values()), missing, actors, cores),
        free_bytes=free_bytes(job.layout.root),
        actors=actors,
        cores=cores,
        largest_bytes=round(largest),
        set_aside_bytes=allocated_bytes(job.layout.set_aside),
        dtype=job.pipeline.spec.dtype,
    )


def run_seconds(cost: Cost, num_units: int, num_bytes: int, actors: int, cores: int) -> float:
    """Time until *num_units* units are committed that cost *cost* in the sample and *num_bytes* on the disk. Pure.

    Either the cores are busy all the time or every actor is, working or waiting (the two asymptotic bounds of Lazowska
    et al., Quantitative System Performance, ch. 5); at the end actors wait for the last one, half a unit on average.
    """
    if not num_units:
        return 0.0
    commits = UNIT_COST * num_units + Cost(wait_seconds=num_bytes / DISK_BYTES_PER_SECOND)
    total = Cost(cost.cpu_seconds * ACTOR_OVERHEAD, cost.wait_seconds) + commits
    busy, elapsed = min(actors, cores), total.cpu_seconds + total.wait_seconds
    working = max(total.cpu_seconds / busy, elapsed / actors)
    return RAY_SECONDS + ACTOR_CPU_SECONDS * actors / busy + working + elapsed / num_units / 2


def check_room(found: Estimate, budgets: Budgets, root: Path) -> None:
    """Raises ResourceLimitError, with the figures, when what is missing fits neither the budget nor the mount."""
    on_mount = max(0, found.free_bytes - budgets.reserve_bytes)
    if found.needed_bytes > on_mount:
        reserve = format_bytes(budgets.reserve_bytes)
        short = format_bytes(found.needed_bytes - on_mount)
        raise ResourceLimitError(
            f"{root}: {format_bytes(found.needed_bytes)} are needed, {format_bytes(found.free_bytes)} are free and "
            f"{reserve} of them stay reserved",
            f"free {short}, name a larger disk with --store{_halved(found, on_mount)}; --force starts it",
        )
    total = found.store_bytes + found.set_aside_bytes + found.needed_bytes - found.missing_bytes
    if found.missing_bytes and total > budgets.disk_bytes:
        raise ResourceLimitError(
            f"{root}: the store and its scratch will take {format_bytes(total)}, the disk budget is "
            f"{format_bytes(budgets.disk_bytes)}",
            f"give --disk-budget {total}{_halved(found, budgets.disk_bytes)}; --force starts it all the same",
        )


def _halved(found: Estimate, room_bytes: int) -> str:
    """The smaller features as a way out, where half would fit."""
    fits = found.dtype == "float16" and found.needed_bytes / 2 <= room_bytes
    return ", or halve it with --feature-dtype uint8" if fits else ""


def budgets_of(settings: SourceSettings, root: Path, ram_budget: int | None = None) -> Budgets:
    """The budgets that *settings* and the machine give a run on the store at *root*, which need not exist yet."""
    folder = _existing(root)
    mount = shutil.disk_usage(folder)
    used = allocated_bytes(root) if root.is_dir() else 0
    return make_budgets(
        settings.disk_budget,
        settings.disk_reserve,
        ram_budget,
        used_bytes=used,
        free_bytes=mount.free,
        mount_bytes=mount.total,
    )


def free_bytes(folder: Path) -> int:
    """Bytes that may be written on the mount of *folder*, which need not exist yet."""
    return shutil.disk_usage(_existing(folder)).free


def _existing(folder: Path) -> Path:
    """The nearest folder upwards that exists."""
    while not folder.exists():
        folder = folder.parent
    return folder


def _cost_left(job: PlannedJob, left: dict[str, int]) -> Cost | None:
    """What the open units cost; None where one of their splits was not sampled."""
    cost = Cost()
    for plan in job.plans:
        forecast = job.forecasts[plan.name]
        if left[plan.name] and forecast is None:
            return None
        if forecast is not None:
            cost += forecast.cost * (left[plan.name] / max(1, len(plan.units)))
    return cost


def _committed_bytes(job: PlannedJob) -> int:
    total = 0
    for plan in job.plans:
        count = plan.record.num_units
        for unit in job.layout.committed(plan.name, count):
            total += job.layout.shard(plan.name, unit, count).stat().st_size
    return total

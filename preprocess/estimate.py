"""From sampled rows to the figures a person asks for: bytes, scratch, time, and whether it fits."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from preprocess.job import PlannedJob
from preprocess.settings import SourceSettings
from preprocess.usage import usable_cores
from shared.errors import ResourceLimitError
from shared.units import format_bytes

START_SECONDS = 6.0
"""Ray, the actors' imports, the index."""
SCRATCH_BYTES = 64_000_000
"""Ray's folder and logs, the index while it is written."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a job comes to: bytes of its finished splits (± *error_bytes*), those not yet committed, scratch at most.

    *audio_seconds* and *seconds* are None where no sample was taken because the store knows the splits already.
    """

    store_bytes: int
    error_bytes: int
    missing_bytes: int
    scratch_bytes: int
    audio_seconds: float | None
    seconds: float | None
    free_bytes: int

    @property
    def needed_bytes(self) -> int:
        """Room that must be free before the first byte is written."""
        return self.missing_bytes + self.error_bytes + SCRATCH_BYTES if self.missing_bytes else 0


def estimate(job: PlannedJob, settings: SourceSettings) -> Estimate:
    """The estimate for what *job* has still to do on this machine."""
    committed = _committed_bytes(job)
    forecasts = [forecast for forecast in job.forecasts.values() if forecast is not None]
    known = len(forecasts) == len(job.plans)
    lanes = min(settings.actors, usable_cores())
    largest = max((plan.record.forecast_bytes / max(1, len(plan.units)) for plan in job.plans), default=0)
    units = sum(len(plan.units) for plan in job.plans)
    return Estimate(
        store_bytes=job.forecast_bytes,
        error_bytes=sum(forecast.error_bytes for forecast in forecasts),
        missing_bytes=max(0, job.forecast_bytes - committed),
        scratch_bytes=round(largest * min(settings.actors, units)) + SCRATCH_BYTES,
        audio_seconds=sum(forecast.audio_seconds for forecast in forecasts) if known else None,
        seconds=START_SECONDS + sum(forecast.core_seconds for forecast in forecasts) / lanes if known else None,
        free_bytes=free_bytes(job.layout.root),
    )


def check_room(found: Estimate, root: Path) -> None:
    """Raises ResourceLimitError, with the figures, when what is missing cannot fit on the store's mount."""
    if found.needed_bytes > found.free_bytes:
        short = found.needed_bytes - found.free_bytes
        raise ResourceLimitError(
            f"{root}: {format_bytes(found.needed_bytes)} are needed and {format_bytes(found.free_bytes)} are free",
            f"free {format_bytes(short)}, name a larger disk with --store, or halve it with --feature-dtype uint8",
        )


def free_bytes(folder: Path) -> int:
    """Bytes that may be written on the mount of *folder*, which need not exist yet."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _committed_bytes(job: PlannedJob) -> int:
    total = 0
    for plan in job.plans:
        count = plan.record.num_units
        for unit in job.layout.committed(plan.name, count):
            total += job.layout.shard(plan.name, unit, count).stat().st_size
    return total

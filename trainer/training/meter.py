"""What a run measures of itself between two records."""

from dataclasses import dataclass, field

import torch
from pynvml import NVMLError

from trainer.data.loader import Loader
from trainer.data.micro_batches import padding_waste
from trainer.data.step_planner import StepPlan
from trainer.distributed.ranks import Ranks
from trainer.model.device import device_name
from trainer.model.flops import peak_flops, training_flops
from trainer.model.shape import ModelShape
from trainer.telemetry.records import StepRecord
from trainer.training.step import StepResult


@dataclass(slots=True)
class _Interval:
    """What was added up since the last record; *losses* are this rank's, still on the device."""

    steps: int = 0
    skipped: int = 0
    clips: int = 0
    targets: int = 0
    audio_seconds: float = 0.0
    seconds: float = 0.0
    flops: float = 0.0
    waste: float = 0.0
    norm: float = 0.0
    rate: float = 0.0
    losses: list[torch.Tensor] = field(default_factory=list)


@dataclass(slots=True)
class Meter:
    """Adds up steps, on every rank."""

    ranks: Ranks
    loader: Loader
    shape: ModelShape
    freeze_encoder: bool
    _interval: _Interval = field(default_factory=_Interval)
    _waited_seconds: float = 0.0

    def add(self, plan: StepPlan, result: StepResult, rate: float, seconds: float) -> None:
        """One step was done in *seconds*."""
        interval = self._interval
        interval.steps += 1
        interval.skipped += result.skipped
        interval.clips += plan.num_clips
        interval.targets += plan.num_targets
        interval.audio_seconds += plan.audio_seconds
        interval.seconds += seconds
        interval.waste += padding_waste(batch for batches in plan.ranks for batch in batches)
        interval.flops += sum(
            training_flops(self.shape, clip.frames, clip.tokens, freeze_encoder=self.freeze_encoder)
            for batches in plan.ranks
            for batch in batches
            for clip in batch.clips
        )
        interval.norm, interval.rate = result.norm, rate
        interval.losses.append(result.loss_sum)

    def record(self, step: int, loss_scale: float) -> StepRecord:
        """What was measured since the last record, up to *step*; every rank calls it."""
        interval, self._interval = self._interval, _Interval()
        waited = self.loader.waited_seconds - self._waited_seconds
        self._waited_seconds = self.loader.waited_seconds
        loss = self.ranks.sum(torch.stack(interval.losses).double().sum()).item()
        return StepRecord(
            step=step,
            loss=loss / interval.targets,
            learning_rate=interval.rate,
            grad_norm=interval.norm,
            loss_scale=loss_scale,
            seconds_per_step=interval.seconds / interval.steps,
            samples_per_second=interval.clips / interval.seconds,
            audio_seconds_per_second=interval.audio_seconds / interval.seconds,
            data_wait_share=min(1.0, waited / interval.seconds),
            padding_waste=interval.waste / interval.steps,
            skipped_steps=interval.skipped,
            mfu=self._mfu(interval),
            # Without a GPU torch says 0.
            vram_bytes=torch.cuda.max_memory_allocated() or None,
            gpu_utilisation=_utilisation(self.ranks.device),
        )

    def _mfu(self, interval: _Interval) -> float | None:
        peak = peak_flops(device_name(self.ranks.device))
        return interval.flops / interval.seconds / (peak * self.ranks.world_size) if peak else None


def _utilisation(device: torch.device) -> float | None:
    """Share of the last sample period, a second at most, in which a kernel ran; None where no driver tells.

    torch counts GPUs as CUDA does. Where unlike ones are mixed, that is NVML's order with CUDA_DEVICE_ORDER=PCI_BUS_ID.
    """
    try:
        return torch.cuda.utilization(device) / 100
    except (NVMLError, RuntimeError, ImportError, ValueError):
        # No driver, or a part of a card (MIG), which has no such counter: that is no reason to end a run. Of a CPU
        # torch says that it is the wrong value.
        return None

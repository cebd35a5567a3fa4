"""What every optimiser step consists of: its clips, shared out over ranks and micro-batches. Pure but for a cache."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trainer.sampler import Budget, Clip, MicroBatch, epoch_steps, num_steps, share_out, with_full_contexts


@dataclass(frozen=True, slots=True)
class Lengths:
    """Of every row: *frames* and *labels* int32[rows], *seconds* float32[rows]."""

    frames: NDArray[np.int32]
    labels: NDArray[np.int32]
    seconds: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class StepPlan:
    """Optimiser step *step* in *epoch*: every rank's micro-batches, and what all of them together hold.

    *num_targets* are tokens that the loss counts, *audio_seconds* without padding.
    """

    step: int
    epoch: int
    ranks: tuple[tuple[MicroBatch, ...], ...]
    num_targets: int
    audio_seconds: float

    @property
    def num_clips(self) -> int:
        """Clips of all ranks."""
        return sum(len(batch.clips) for batches in self.ranks for batch in batches)


@dataclass(slots=True)
class StepPlanner:
    """Plans any step at once, in any order: nothing has to be replayed to go on at it."""

    lengths: Lengths
    global_batch_size: int
    seed: int
    full_context_share: float
    world_size: int
    budget: Budget
    _epoch: int = -1
    _steps: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 0), np.int64))

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps in which every row is seen at most once."""
        return num_steps(len(self.lengths.frames), self.global_batch_size)

    def plan(self, step: int) -> StepPlan:
        """Step *step* of the run, counted from 0."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            lengths = self.lengths.frames
            self._steps = epoch_steps(lengths, self.global_batch_size, seed=self.seed, epoch=epoch)
            self._epoch = epoch
        rows = self._steps[place]
        clips = [self._clip(int(row)) for row in rows]
        clips = with_full_contexts(clips, self.full_context_share, seed=self.seed, epoch=epoch, step=place)
        return StepPlan(
            step=step,
            epoch=epoch,
            ranks=share_out(clips, world_size=self.world_size, budget=self.budget),
            num_targets=sum(clip.tokens for clip in clips),
            audio_seconds=float(self.lengths.seconds[rows].sum(dtype=np.float64)),
        )

    def _clip(self, row: int) -> Clip:
        # The start token is an input and no target.
        return Clip(row, int(self.lengths.frames[row]), int(self.lengths.labels[row]) - 1)

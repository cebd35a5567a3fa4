"""What every optimiser step consists of: its clips, shared out over ranks and micro-batches. Pure but for a cache."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from shared.schema import WINDOW_FRAMES
from trainer.data.clips import Clips, Padding
from trainer.data.micro_batches import Budget, MicroBatch
from trainer.data.sampler import epoch_steps, num_steps, share_out_steps, with_full_contexts

_PLANNED_CLIPS = 4_096
"""Clips whose steps are planned at once: for so many, numpy's calls cost less than its sums."""


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
    """Plans any step, in any order: nothing has to be replayed to go on at it."""

    lengths: Lengths
    global_batch_size: int
    seed: int
    full_context_share: float
    world_size: int
    budget: Budget
    window: int = WINDOW_FRAMES
    _epoch: int = field(default=-1, init=False)
    _steps: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 0), np.int64), init=False)
    _planned: tuple[object, ...] = field(default=(), init=False)
    _plans: list[StepPlan] = field(default_factory=list, init=False)

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps in which every row is seen at most once."""
        return num_steps(len(self.lengths.frames), self.global_batch_size)

    def plan(self, step: int) -> StepPlan:
        """Step *step* of the run, counted from 0."""
        epoch, place = divmod(step, self.steps_per_epoch)
        stretch, offset = divmod(place, self._together)
        wanted = epoch, stretch, self.world_size, self.budget
        if wanted != self._planned:
            self._plans = self._plan(step - offset, epoch, place - offset)
            self._planned = wanted
        return self._plans[offset]

    @property
    def _together(self) -> int:
        """Steps that are planned at once."""
        return max(1, _PLANNED_CLIPS // self.global_batch_size)

    def _plan(self, step: int, epoch: int, place: int) -> list[StepPlan]:
        """The plans from *step* on, which has *place* in *epoch*."""
        if epoch != self._epoch:
            lengths = self.lengths.frames
            self._steps = epoch_steps(lengths, self.global_batch_size, seed=self.seed, epoch=epoch)
            self._epoch = epoch
        clips = self._clips(epoch, place, self._steps[place : place + self._together])
        tokens = clips.tokens.sum(axis=1).tolist()
        seconds = self.lengths.seconds[clips.rows].sum(axis=1, dtype=np.float64).tolist()
        shared = share_out_steps(clips, world_size=self.world_size, budget=self.budget)
        plans = enumerate(zip(shared, tokens, seconds, strict=True), step)
        return [StepPlan(number, epoch, *found) for number, found in plans]

    def _clips(self, epoch: int, place: int, rows: NDArray[np.int64]) -> Clips:
        # The start token is an input and no target.
        lengths = self.lengths.frames[rows].astype(np.int64), self.lengths.labels[rows].astype(np.int64) - 1
        padding = np.full(rows.shape, Padding.OWN, np.int64)
        clips = Clips(rows, *lengths, padding)
        return with_full_contexts(
            clips, self.full_context_share, seed=self.seed, epoch=epoch, step=place, window=self.window
        )

"""What every optimiser step consists of: its clips, shared out over ranks and micro-batches. Pure but for a cache."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from shared.schema import WINDOW_FRAMES
from trainer.data.clips import Clips, Padding
from trainer.data.micro_batches import Budget, MicroBatch
from trainer.data.packing import Packing, require_work, telling_times
from trainer.data.sampler import (
    FULL_CONTEXTS,
    TIMES,
    chances,
    epoch_items,
    epoch_steps,
    num_steps,
    padded_to_window,
    share_out_steps,
)

_Draws = tuple[NDArray[np.float64], NDArray[np.float64]]

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
        """Clips of all ranks, each counted where its text is learned."""
        return sum(len(clip.heard) for batches in self.ranks for batch in batches for clip in batch.clips)


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
    packing: Packing | None = None
    _epoch: int = field(default=-1, init=False)
    _steps: Sequence[NDArray[np.int64]] | NDArray[np.int64] = field(default=(), init=False)
    _windows: Sequence[Clips] = field(default=(), init=False)
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
            self._begin(epoch)
        stretch = slice(place, place + self._together)
        sizes = [len(rows) for rows in self._steps[stretch]]
        packed = [len(windows) for windows in self._windows[stretch]] or [0] * len(sizes)
        alike: dict[tuple[int, int], list[int]] = {}
        for offset, kind in enumerate(zip(sizes, packed, strict=True)):
            alike.setdefault(kind, []).append(offset)
        draws = self._draws(epoch, place, len(sizes))
        plans = [plan for offsets in alike.values() for plan in self._planned_alike(step, offsets, place, draws)]
        return sorted(plans, key=lambda plan: plan.step)

    def _begin(self, epoch: int) -> None:
        lengths, size = self.lengths, self.global_batch_size
        if self.packing is None:
            self._steps = epoch_steps(lengths.frames, size, seed=self.seed, epoch=epoch)
        else:
            many = lengths.frames, lengths.labels, self.packing, size
            self._steps, self._windows = epoch_items(*many, seed=self.seed, epoch=epoch)
            fewest = min(len(rows) + len(some) for rows, some in zip(self._steps, self._windows, strict=True))
            require_work(fewest, self.world_size)
        self._epoch = epoch

    def _draws(self, epoch: int, place: int, steps: int) -> _Draws:
        """What chance says of each of *steps* from *place* on: which contexts are full, which clips tell times."""
        size = self.global_batch_size
        full, times = (
            chances(self.seed, epoch, what, step=place, steps=steps, width=size + 2) for what in (FULL_CONTEXTS, TIMES)
        )
        return full, times

    def _planned_alike(self, step: int, offsets: list[int], place: int, draws: _Draws) -> Iterator[StepPlan]:
        """The plans at *offsets* from *step* on, which has *place* in its epoch: steps that have as many of a kind."""
        rows = np.stack([self._steps[place + offset] for offset in offsets])
        clips = self._clips(rows, *(each[offsets, : rows.shape[1] + 2] for each in draws))
        if self._windows:
            windows = [self._windows[place + offset][np.newaxis] for offset in offsets]
            clips = Clips.joined([clips, Clips.joined(windows)], axis=1)
        shared = share_out_steps(clips, world_size=self.world_size, budget=self.budget)
        for number, (offset, ranks) in enumerate(zip(offsets, shared, strict=True)):
            yield StepPlan(step + offset, self._epoch, ranks, *self._held(clips[number]))

    def _held(self, clips: Clips) -> tuple[int, float]:
        """Tokens that count, and seconds of audio, of the *clips* of a step."""
        windows = [window for window in clips.windows.tolist() if window is not None]
        packed = clips.padding == Padding.PACKED
        heard = [row for window in clips.windows[packed].tolist() for row in window.whole]
        total = float(self.lengths.seconds[[*clips.rows[~packed].tolist(), *heard]].sum(dtype=np.float64))
        return int(clips.tokens.sum()) - sum(window.prompt_labels for window in windows), total

    def _clips(self, rows: NDArray[np.int64], full: NDArray[np.float64], times: NDArray[np.float64]) -> Clips:
        """*rows* [steps, rows] of steps, each for itself, of which the draws *full* and *times* say what they are."""
        # The start token is an input and no target.
        frames, labels = self.lengths.frames[rows].astype(np.int64), self.lengths.labels[rows].astype(np.int64)
        clips = Clips(rows, frames, labels - 1, np.full(rows.shape, Padding.OWN), np.full(rows.shape, None))
        if self.packing is not None and self.packing.timestamp_share:
            clips = telling_times(clips, self.packing, times)
        return padded_to_window(clips, self.full_context_share, full, window=self.window)

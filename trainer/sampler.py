"""Which rows make which optimiser step, and how a step is shared out over ranks and micro-batches. Pure.

An epoch is a seeded permutation of all rows, cut into pools of some dozen steps. Each pool is sorted by length and cut
into steps, and the steps of the epoch are shuffled: rows of one step are of nearly one length, so that little is
padding, and which rows meet changes with every epoch. The plan depends on neither world size nor memory, so a run goes
on at any step with the identical order, on other GPUs too: nothing is replayed.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from shared.schema import WINDOW_FRAMES

POOL_STEPS = 64
"""Steps whose rows are sorted together: more pad less, fewer mix more."""
LAUNCH_FRAMES = 400
"""What another micro-batch costs besides its frames, in frames: kernels to launch, weights to read again."""


class Padding(StrEnum):
    """How far a clip is padded, and with what."""

    OWN = "own"
    SILENCE = "silence"
    ZEROS = "zeros"


@dataclass(frozen=True, slots=True)
class Clip:
    """What decides how a row is computed: its encoder *frames* and decoder *tokens*; *padding* is what follows it."""

    row: int
    frames: int
    tokens: int = 0
    padding: Padding = Padding.OWN


@dataclass(frozen=True, slots=True)
class Budget:
    """What a micro-batch may take: padded *frames*, where a padded token counts as *token_frames* frames.

    *plain_frames* is how much fits without recomputing activations; what takes more is recomputed.
    """

    frames: int
    plain_frames: int
    token_frames: float = 0.0

    def cost(self, frames: int, tokens: int) -> int:
        """What one clip of *frames* and *tokens* counts for."""
        return frames + math.ceil(tokens * self.token_frames)


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """*clips* that are computed at once, each padded to *num_frames*; *recompute* trades time for memory."""

    clips: tuple[Clip, ...]
    num_frames: int
    recompute: bool = False

    @property
    def padded_frames(self) -> int:
        """Frames with their padding."""
        return len(self.clips) * self.num_frames


def num_steps(num_rows: int, global_batch_size: int) -> int:
    """Optimiser steps of an epoch; up to *global_batch_size* - 1 rows are left out, others in every epoch."""
    return num_rows // global_batch_size


def epoch_steps(num_frames: NDArray[np.int32], global_batch_size: int, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """int64[steps, global_batch_size]: the rows of every step of *epoch*, in order.

    *num_frames* is by row. The same arguments give the same plan on every machine. Raises ValueError when there are
    fewer rows than one step takes.
    """
    steps = num_steps(len(num_frames), global_batch_size)
    if global_batch_size < 1 or steps < 1:
        raise ValueError(f"{len(num_frames)} rows make no step of {global_batch_size}")
    rng = np.random.default_rng((seed, epoch))
    order = rng.permutation(len(num_frames))[: steps * global_batch_size]
    pool_rows = POOL_STEPS * global_batch_size
    pools = (order[start : start + pool_rows] for start in range(0, len(order), pool_rows))
    # A stable sort keeps the permutation's order among rows of one length.
    ordered = np.concatenate([pool[np.argsort(num_frames[pool], kind="stable")] for pool in pools])
    planned: NDArray[np.int64] = ordered.reshape(steps, global_batch_size)[rng.permutation(steps)].astype(np.int64)
    return planned


def with_full_contexts(
    clips: Sequence[Clip], share: float, *, seed: int, epoch: int, step: int, window: int = WINDOW_FRAMES
) -> list[Clip]:
    """*clips* of one step, a *share* of them padded to the whole window: half with silence, half with zeros.

    Which ones depends on the arguments alone, so it is the same for every world size and after a resume. A share that
    makes no whole number of clips is met on average. Clips longer than the window stay as they are.
    """
    rng = np.random.default_rng((seed, epoch, step, 1))
    fitting = [number for number, clip in enumerate(clips) if clip.frames <= window]
    count = min(len(fitting), int(share * len(clips) + rng.random()))
    chosen = {int(number) for number in rng.permutation(fitting)[:count]}
    first = int(rng.integers(2))
    found = []
    for number, clip in enumerate(clips):
        if number in chosen:
            first = 1 - first
            padding = (Padding.SILENCE, Padding.ZEROS)[first]
            found.append(replace(clip, frames=window, padding=padding))
        else:
            found.append(clip)
    return found


def share_out(clips: Sequence[Clip], *, world_size: int, budget: Budget) -> tuple[tuple[MicroBatch, ...], ...]:
    """The micro-batches of every rank for one step's *clips*, each within *budget* but for single clips that pass it.

    Clips are dealt in order of length, back and forth, so that ranks get much the same work. Raises ValueError when
    there are fewer clips than ranks.
    """
    if len(clips) < world_size:
        raise ValueError(f"{len(clips)} rows cannot be shared out over {world_size} ranks")
    by_length = sorted(clips, key=lambda clip: (-clip.frames, clip.row))
    hands: list[list[Clip]] = [[] for _ in range(world_size)]
    for number, clip in enumerate(by_length):
        turn, place = divmod(number, world_size)
        hands[place if turn % 2 == 0 else world_size - 1 - place].append(clip)
    return tuple(_micro_batches(hand, budget) for hand in hands)


def padding_waste(batches: Iterable[MicroBatch]) -> float:
    """Share of the padded frames that is padding up to the longest clip; a clip meant for the window fills it."""
    batches = tuple(batches)
    padded = sum(batch.padded_frames for batch in batches)
    real = sum(clip.frames for batch in batches for clip in batch.clips)
    return 1 - real / padded if padded else 0.0


def _micro_batches(clips: Sequence[Clip], budget: Budget) -> tuple[MicroBatch, ...]:
    """*clips*, longest first, cut where padding and `LAUNCH_FRAMES` for every micro-batch together are least.

    Dynamic programming over the cuts: best[i] is the least cost of the first i clips.
    """
    best, cut = [0], [0]
    for stop in range(1, len(clips) + 1):
        cost, start = _cheapest_ending_at(stop, clips, budget, best)
        best.append(cost)
        cut.append(start)
    found: list[MicroBatch] = []
    stop = len(clips)
    while stop:
        found.append(_micro_batch(clips[cut[stop] : stop], budget))
        stop = cut[stop]
    # The cheapest last: its gradients meet those of other ranks, where running out of memory could not be undone.
    return tuple(sorted(found, key=lambda batch: -_padded_cost(batch.clips, budget)))


def _cheapest_ending_at(stop: int, clips: Sequence[Clip], budget: Budget, best: Sequence[int]) -> tuple[int, int]:
    """Least cost of the first *stop* clips, and where their last micro-batch begins; of equals the longest.

    A micro-batch keeps the budget, or is a single clip.
    """
    tokens = extra = 0
    least, place = math.inf, stop - 1
    for start in range(stop - 1, -1, -1):
        if clips[start].tokens > tokens:
            tokens = clips[start].tokens
            extra = budget.cost(0, tokens)
        padded = (stop - start) * (clips[start].frames + extra)
        if padded > budget.frames and start < stop - 1:
            break
        cost = best[start] + padded + LAUNCH_FRAMES
        if cost <= least:
            least, place = cost, start
    return int(least), place


def _padded_cost(clips: Sequence[Clip], budget: Budget) -> int:
    return len(clips) * budget.cost(clips[0].frames, max(clip.tokens for clip in clips))


def _micro_batch(clips: Sequence[Clip], budget: Budget) -> MicroBatch:
    return MicroBatch(tuple(clips), clips[0].frames, recompute=_padded_cost(clips, budget) > budget.plain_frames)

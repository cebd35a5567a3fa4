"""A rank's clips, cut into micro-batches that memory has room for and that cost the least time. Pure."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.data.clips import Clips

LAUNCH_FRAMES = 400
"""What another micro-batch costs besides its frames, in frames: kernels to launch, weights to read again."""
_IMPOSSIBLE = np.iinfo(np.int64).max // 2


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

    clips: Clips
    num_frames: int
    recompute: bool = False

    @property
    def padded_frames(self) -> int:
        """Frames with their padding."""
        return len(self.clips) * self.num_frames


def cut_up(clips: Clips, counts: Sequence[int], budget: Budget) -> list[tuple[MicroBatch, ...]]:
    """The micro-batches of every step's first *counts* of *clips* [steps, clips], which are sorted, longest first.

    Each keeps to *budget* or is a single clip; their padding and `LAUNCH_FRAMES` for each are together the least.
    """
    extra = np.ceil(clips.tokens * budget.token_frames).astype(np.int64)
    best, begin = _cheapest_cuts(clips.frames, extra, budget.frames)
    # The cheapest cuts of the first clips are the same whatever comes after them.
    mine = (clips[step, :count] for step, count in enumerate(counts))
    costs = zip(mine, best.tolist(), begin.tolist(), strict=True)
    return [_of_one_step(*found, budget.plain_frames) for found in costs]


def _cheapest_cuts(
    frames: NDArray[np.int64], extra: NDArray[np.int64], most_frames: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """[steps, clips + 1] each: the least cost of a step's first clips, and where the last of its micro-batches begins.

    Dynamic programming over the cuts, for all steps at once. Clips have *frames*, and *extra* for their tokens; a
    micro-batch is as long as its first clip. Of equal costs the longest micro-batch is taken.
    """
    steps, clips = frames.shape
    # Clips of 1000, 900, 200 and 200 frames, of which 2000 fit: best is 0, 1400, 2400, 3000, 3200. How all four came by
    # it: a last micro-batch of one clip makes best[3] + 1 x 200 = 3200, of two best[2] + 2 x 200 = 2800, of three
    # best[1] + 3 x 900, which does not fit. So begin[4] = 2, and begin[2] = 0: they are cut into [0, 2) and [2, 4).
    best, begin = np.zeros((2, steps, clips + 1), np.int64)
    for stop in range(1, clips + 1):
        most_extra = np.maximum.accumulate(extra[:, :stop][:, ::-1], axis=1)[:, ::-1]
        padded = np.arange(stop, 0, -1) * (frames[:, :stop] + most_extra)
        padded[:, :-1][padded[:, :-1] > most_frames] = _IMPOSSIBLE
        cost = best[:, :stop] + padded
        begin[:, stop] = cost.argmin(axis=1)
        best[:, stop] = cost.min(axis=1) + LAUNCH_FRAMES
    return best, begin


def _of_one_step(clips: Clips, best: list[int], begin: list[int], plain_frames: int) -> tuple[MicroBatch, ...]:
    found = []
    stop = len(clips)
    while stop:
        start = begin[stop]
        cost = best[stop] - best[start] - LAUNCH_FRAMES
        batch = MicroBatch(clips[start:stop], int(clips.frames[start]), recompute=cost > plain_frames)
        found.append((cost, batch))
        stop = start
    # The cheapest last: its gradients meet those of other ranks, where running out of memory could not be undone.
    return tuple(batch for _, batch in sorted(found, key=lambda pair: -pair[0]))


def padding_waste(batches: Iterable[MicroBatch]) -> float:
    """Share of the padded frames that is padding up to the longest clip; a clip meant for the window fills it."""
    batches = tuple(batches)
    padded = sum(batch.padded_frames for batch in batches)
    real = sum(int(batch.clips.frames.sum()) for batch in batches)
    return 1 - real / padded if padded else 0.0

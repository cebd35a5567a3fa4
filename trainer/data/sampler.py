"""Which rows make which optimiser step, and how a step is shared out over ranks and micro-batches. Pure.

An epoch is a seeded permutation of all rows, cut into pools of some dozen steps. Each pool is sorted by length and cut
into steps, and the steps of the epoch are shuffled: rows of one step are of nearly one length, so that little is
padding, and which rows meet changes with every epoch. The plan depends on neither world size nor memory, so a run goes
on at any step with the identical order, on other GPUs too: nothing is replayed.
"""

from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from shared.schema import WINDOW_FRAMES
from shared.units import format_counted
from trainer.data.clips import Clip, Clips, Padding
from trainer.data.micro_batches import Budget, MicroBatch, cut_up
from trainer.data.packing import Packing, can_tell_times, choose, pack

FULL_CONTEXTS, TIMES = 1, 3
"""What is drawn for: which clips are padded to the window, and which tell times."""
_POOL_STEPS = 64
"""Steps whose rows are sorted together: more pad less, fewer mix more."""


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
        raise ValueError(f"{format_counted(len(num_frames), 'row')} make no step of {global_batch_size}")
    rng = np.random.default_rng((seed, epoch))
    order = rng.permutation(len(num_frames))[: steps * global_batch_size]
    return np.stack(_in_steps(num_frames, order, rng, steps))


def epoch_items(
    num_frames: NDArray[np.int32],
    num_labels: NDArray[np.int32],
    packing: Packing,
    global_batch_size: int,
    *,
    seed: int,
    epoch: int,
) -> tuple[list[NDArray[np.int64]], list[Clips]]:
    """Of every step of *epoch* the rows that are computed each for itself, and the windows that all others are in.

    Which rows the epoch has is as `epoch_steps` says; steps have *global_batch_size* of them on average.
    """
    steps = num_steps(len(num_frames), global_batch_size)
    rng = np.random.default_rng((seed, epoch))
    order = rng.permutation(len(num_frames))[: steps * global_batch_size]
    chance = np.random.default_rng((seed, epoch, 2))
    packed = choose(order, can_tell_times(num_frames, num_labels, packing), packing.share, chance)
    own = _in_steps(num_frames, order[~packed], rng, steps)
    found = pack(order[packed], num_frames, num_labels, packing, chance)
    windows = Clips.of(
        [Clip(window.rows[0], frames, tokens, Padding.PACKED, window) for window, frames, tokens in found]
    )[chance.permutation(len(found))]
    return own, [windows[start:stop] for start, stop in _bounds(len(windows), steps)]


def _bounds(count: int, steps: int) -> list[tuple[int, int]]:
    """Where each of *steps* begins and ends that *count* are dealt to, as evenly as can be."""
    return list(pairwise((np.arange(steps + 1) * count // steps).tolist()))


def _in_steps(
    num_frames: NDArray[np.int32], order: NDArray[np.int64], rng: np.random.Generator, steps: int
) -> list[NDArray[np.int64]]:
    """The rows in *order*, dealt to *steps*: alike in length within a step, and steps in no order."""
    bounds = _bounds(len(order), steps)
    pools = [
        (many[0][0], many[-1][1]) for many in (bounds[at : at + _POOL_STEPS] for at in range(0, steps, _POOL_STEPS))
    ]
    # A stable sort keeps the permutation's order among rows of one length.
    pooled = (order[start:stop] for start, stop in pools)
    ordered = np.concatenate([pool[np.argsort(num_frames[pool], kind="stable")] for pool in pooled]).astype(np.int64)
    return [ordered[slice(*bounds[step])] for step in rng.permutation(steps).tolist()]


def chances(seed: int, epoch: int, what: int, *, step: int, steps: int, width: int) -> NDArray[np.float64]:
    """float64[steps, width]: draws of *what* for *steps* of *epoch* from *step* on, the same whatever was drawn before.

    Each step takes as many draws, so any step's are found without those before it.
    """
    generator = np.random.PCG64((seed, epoch, what))
    generator.advance(step * width)
    return np.random.Generator(generator).random((steps, width))


def with_full_contexts(
    clips: Clips, share: float, *, seed: int, epoch: int, step: int, window: int = WINDOW_FRAMES
) -> Clips:
    """*clips* [steps, clips] of *epoch* from *step* on, a *share* of each step's padded to the whole window.

    Which ones depends on the seed, the epoch and the step alone, so it is the same for every world size and after a
    resume; see `padded_to_window`.
    """
    width = clips.rows.shape[1] + 2
    draws = chances(seed, epoch, FULL_CONTEXTS, step=step, steps=len(clips), width=width)
    return padded_to_window(clips, share, draws, window=window)


def padded_to_window(clips: Clips, share: float, draws: NDArray[np.float64], *, window: int = WINDOW_FRAMES) -> Clips:
    """*clips* [steps, clips], a *share* of each step's padded to the whole window: half with silence, half with zeros.

    *draws* are float64[steps, clips + 2]. A share that makes no whole number of clips is met on average. Clips longer
    than the window stay as they are.
    """
    fitting = clips.frames <= window
    # A share that makes 2.4 clips: below a draw of 0.6 they are 2, else 3.
    wanted = np.minimum(fitting.sum(axis=1), np.floor(share * clips.rows.shape[1] + draws[:, 0]))
    # Sorted twice is ranked: draws of 0.7, 0.1 and 0.4 are 2, 0 and 1; if two are wanted, the last two are chosen.
    drawn = np.where(fitting, draws[:, 2:], np.inf).argsort(axis=1).argsort(axis=1)
    chosen = drawn < wanted[:, np.newaxis]
    # The chosen are counted off, and every other one is silent: a draw says whether the odd or the even ones.
    silent = (chosen.cumsum(axis=1) + (draws[:, 1:2] < 1 / 2)) % 2 == 0
    padding = np.where(chosen, np.where(silent, Padding.SILENCE, Padding.ZEROS), clips.padding)
    return replace(clips, frames=np.where(chosen, window, clips.frames), padding=padding)


def share_out(clips: Clips, *, world_size: int, budget: Budget) -> tuple[tuple[MicroBatch, ...], ...]:
    """The micro-batches of every rank for one step's *clips*, as `share_out_steps` makes them."""
    return share_out_steps(clips[np.newaxis], world_size=world_size, budget=budget)[0]


def share_out_steps(clips: Clips, *, world_size: int, budget: Budget) -> list[tuple[tuple[MicroBatch, ...], ...]]:
    """Of every step, the micro-batches of every rank, each within *budget* but for single clips that pass it.

    *clips* are [steps, clips]: planning many steps at once takes little longer than planning one. Clips are dealt in
    order of length, each to the rank with the fewest frames, so that ranks get much the same work. Raises ValueError
    when there are fewer clips in a step than ranks.
    """
    count = clips.rows.shape[1]
    if count < world_size:
        raise ValueError(
            f"{format_counted(count, 'row')} cannot be shared out over {format_counted(world_size, 'rank')}"
        )
    by_length = np.lexsort((clips.rows, -clips.frames))
    clips = clips[np.arange(len(clips))[:, np.newaxis], by_length]
    dealt_to = _deal(clips.frames, world_size)
    hands = [_hand(clips, dealt_to == rank, budget) for rank in range(world_size)]
    return list(zip(*hands, strict=True))


def _deal(frames: NDArray[np.int64], world_size: int) -> NDArray[np.int64]:
    """int64[steps, clips]: the rank of every clip, whose *frames* are sorted, longest first.

    Each goes to the rank that has least (Graham 1969, longest processing time first), so no two differ by more than a
    clip.
    """
    steps = np.arange(len(frames))
    loads = np.zeros((len(frames), world_size), np.int64)
    dealt_to = np.empty(frames.shape, np.int64)
    for place, column in enumerate(frames.T):
        dealt_to[:, place] = loads.argmin(axis=1)
        loads[steps, dealt_to[:, place]] += column
    return dealt_to


def _hand(clips: Clips, mine: NDArray[np.bool_], budget: Budget) -> list[tuple[MicroBatch, ...]]:
    """The micro-batches of the clips that are *mine*, which are of another number in every step."""
    counts = mine.sum(axis=1)
    first = np.argsort(~mine, axis=1, kind="stable")[:, : counts.max()]
    return cut_up(clips[np.arange(len(clips))[:, np.newaxis], first], counts.tolist(), budget)

"""Which rows make which optimiser step, and how a step is shared out over ranks and micro-batches. Pure.

An epoch is a seeded permutation of all rows, cut into pools of some dozen steps. Each pool is sorted by length and cut
into steps, and the steps of the epoch are shuffled: rows of one step are of nearly one length, so that little is
padding, and which rows meet changes with every epoch. The plan depends on neither world size nor memory, so a run goes
on at any step with the identical order, on other GPUs too: nothing is replayed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

POOL_STEPS = 64
"""Steps whose rows are sorted together: more pad less, fewer mix more."""


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """Rows that are computed at once, each padded to *num_frames*."""

    rows: tuple[int, ...]
    num_frames: int

    @property
    def padded_frames(self) -> int:
        """What it costs: frames with their padding."""
        return len(self.rows) * self.num_frames


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


def share_out(
    rows: Sequence[int], num_frames: NDArray[np.int32], *, world_size: int, frame_budget: int
) -> tuple[tuple[MicroBatch, ...], ...]:
    """The micro-batches of every rank for one step's *rows*; each is of at most *frame_budget* padded frames.

    Rows are dealt in order of length, back and forth, so that ranks get much the same work. Raises ValueError when
    there are fewer rows than ranks, or a row alone passes the budget.
    """
    if len(rows) < world_size:
        raise ValueError(f"{len(rows)} rows cannot be shared out over {world_size} ranks")
    by_length = sorted(rows, key=lambda row: (-int(num_frames[row]), row))
    hands: list[list[int]] = [[] for _ in range(world_size)]
    for number, row in enumerate(by_length):
        turn, place = divmod(number, world_size)
        hands[place if turn % 2 == 0 else world_size - 1 - place].append(row)
    return tuple(_micro_batches(hand, num_frames, frame_budget) for hand in hands)


def padding_waste(batches: Sequence[MicroBatch], num_frames: NDArray[np.int32]) -> float:
    """Share of the padded frames that is padding."""
    padded = sum(batch.padded_frames for batch in batches)
    real = sum(int(num_frames[row]) for batch in batches for row in batch.rows)
    return 1 - real / padded if padded else 0.0


def _micro_batches(rows: Sequence[int], num_frames: NDArray[np.int32], frame_budget: int) -> tuple[MicroBatch, ...]:
    """*rows*, longest first, in as few micro-batches as the budget allows in this order."""
    found: list[MicroBatch] = []
    start = 0
    while start < len(rows):
        longest = int(num_frames[rows[start]])
        if longest > frame_budget:
            raise ValueError(f"row {rows[start]} has {longest} frames, the budget is {frame_budget}")
        count = min(len(rows) - start, frame_budget // longest)
        found.append(MicroBatch(tuple(rows[start : start + count]), longest))
        start += count
    return tuple(found)

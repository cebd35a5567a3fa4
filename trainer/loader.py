"""Micro-batches, formed ahead by threads.

Rows are slices of mapped files, so there is nothing to decode, and nothing to copy between processes. For a GPU they
lie in pinned memory, from which they travel while it works.
"""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from time import perf_counter
from types import TracebackType
from typing import Any, Self

import torch
from numpy.typing import NDArray

from shared.store import StoreSplit
from trainer.augment import SpecAugment
from trainer.buffers import Buffers
from trainer.collate import Batch, collate_many
from trainer.micro_batches import MicroBatch
from trainer.steps import StepPlan, StepPlanner

AHEAD = 6
"""Micro-batches that are formed before they are asked for."""
TOGETHER = 4
"""Micro-batches of a step that a thread forms at once, at most: handing over between threads costs time too."""

Tensors = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]
"""Features, floor, inputs, places and targets, as `TrainingModel` takes them."""
Formed = tuple[Tensors, NDArray[Any] | None]
"""A micro-batch, and the memory of its features where that is still in use."""


@dataclass(slots=True)
class Loader:
    """One rank's micro-batches of step after step. A context manager; its threads end with it.

    *waited_seconds* adds up how long the training loop had to wait for data.
    """

    split: StoreSplit
    planner: StepPlanner
    rank: int
    device: torch.device
    num_steps: int
    threads: int = 2
    augment: SpecAugment | None = None
    waited_seconds: float = 0.0
    _pool: ThreadPoolExecutor = field(init=False)
    # Of micro-batches that are formed together: their step, how many they are, and what becomes of them.
    _queue: deque[tuple[int, int, Future[list[Formed]]]] = field(default_factory=deque)
    _buffers: Buffers = field(default_factory=Buffers)
    _given: list[NDArray[Any]] = field(default_factory=list)
    _plans: dict[int, StepPlan] = field(default_factory=dict)
    _next: int = 0

    def __post_init__(self) -> None:
        # More threads than cores would only take turns.
        threads = min(self.threads, len(os.sched_getaffinity(0)))
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="loader")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def step(self, step: int) -> tuple[StepPlan, Iterator[tuple[MicroBatch, Tensors]]]:
        """The plan of *step*, and this rank's micro-batches on the device, in the plan's order.

        Steps in order are formed ahead; any other order, or a step repeated after `reset`, starts afresh. On a CPU the
        tensors hold until the next step is asked for: their memory is used again.
        """
        while self._given:
            self._buffers.give(self._given.pop())
        while self._queue and self._queue[0][0] != step:
            self._queue.popleft()[-1].cancel()
        if not self._queue:
            self._next = step
            self._plans.clear()
        self._fill()
        return self._plans[step], self._batches(step)

    def reset(self) -> None:
        """Forgets what was formed ahead: the planner's budget has changed."""
        while self._queue:
            self._queue.popleft()[-1].cancel()

    def _batches(self, step: int) -> Iterator[tuple[MicroBatch, Tensors]]:
        batches = iter(self._plans[step].ranks[self.rank])
        while self._queue and self._queue[0][0] == step:
            started = perf_counter()
            formed = self._queue.popleft()[-1].result()
            self.waited_seconds += perf_counter() - started
            self._given += [memory for _, memory in formed if memory is not None]
            self._fill()
            for tensors, _ in formed:
                yield next(batches), tuple(tensor.to(self.device, non_blocking=True) for tensor in tensors)  # type: ignore[misc] # five
        del self._plans[step]

    def _fill(self) -> None:
        while self._next < self.num_steps and sum(count for _, count, _ in self._queue) < AHEAD:
            plan = self.planner.plan(self._next)
            self._plans[self._next] = plan
            mine = plan.ranks[self.rank]
            for together in (mine[start : start + TOGETHER] for start in range(0, len(mine), TOGETHER)):
                self._queue.append((plan.step, len(together), self._pool.submit(self._form, together, plan.step)))
            self._next += 1

    def _form(self, batches: Sequence[MicroBatch], step: int) -> list[Formed]:
        augment = self.augment.at(step) if self.augment else None
        formed = collate_many(self.split, [batch.clips for batch in batches], augment, self._buffers.take)
        return [self._kept(batch) for batch in formed]

    def _kept(self, formed: Batch) -> Formed:
        tensors = as_tensors(formed)
        if self.device.type != "cuda":
            return tensors, formed.features
        pinned = tuple(tensor.pin_memory() for tensor in tensors)
        self._buffers.give(formed.features)
        return pinned, None  # type: ignore[return-value] # five


def as_tensors(batch: Batch) -> Tensors:
    """*batch* as tensors that share its memory."""
    arrays = (batch.features, batch.floor, batch.inputs, batch.places, batch.targets)
    return tuple(torch.from_numpy(array) for array in arrays)  # type: ignore[return-value] # five

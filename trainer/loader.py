"""Micro-batches, formed ahead by threads.

Rows are slices of mapped files, so there is nothing to decode, and nothing to copy between processes. For a GPU they
lie in pinned memory, from which they travel while it works.
"""

from collections import deque
from collections.abc import Iterator
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
from trainer.collate import Batch, collate
from trainer.sampler import MicroBatch
from trainer.steps import StepPlan, StepPlanner

AHEAD = 6
"""Micro-batches that are formed before they are asked for."""

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
    _queue: deque[tuple[int, Future[Formed]]] = field(default_factory=deque)
    _buffers: Buffers = field(default_factory=Buffers)
    _given: list[NDArray[Any]] = field(default_factory=list)
    _plans: dict[int, StepPlan] = field(default_factory=dict)
    _next: int = 0

    def __post_init__(self) -> None:
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="loader")

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
            self._queue.popleft()[1].cancel()
        if not self._queue:
            self._next = step
            self._plans.clear()
        self._fill()
        return self._plans[step], self._batches(step)

    def reset(self) -> None:
        """Forgets what was formed ahead: the planner's budget has changed."""
        while self._queue:
            self._queue.popleft()[1].cancel()

    def _batches(self, step: int) -> Iterator[tuple[MicroBatch, Tensors]]:
        for batch in self._plans[step].ranks[self.rank]:
            started = perf_counter()
            tensors, memory = self._queue.popleft()[1].result()
            self.waited_seconds += perf_counter() - started
            if memory is not None:
                self._given.append(memory)
            self._fill()
            yield batch, tuple(tensor.to(self.device, non_blocking=True) for tensor in tensors)  # type: ignore[misc] # five
        del self._plans[step]

    def _fill(self) -> None:
        while self._next < self.num_steps and len(self._queue) < AHEAD:
            plan = self.planner.plan(self._next)
            self._plans[self._next] = plan
            for batch in plan.ranks[self.rank]:
                self._queue.append((self._next, self._pool.submit(self._form, batch, plan.step)))
            self._next += 1

    def _form(self, batch: MicroBatch, step: int) -> Formed:
        augment = self.augment.at(step) if self.augment else None
        formed = collate(self.split, batch.clips, augment, self._buffers.take)
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

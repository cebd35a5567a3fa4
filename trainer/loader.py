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
from typing import Self

import torch

from shared.store import StoreSplit
from trainer.augment import SpecAugment
from trainer.collate import Batch, collate
from trainer.sampler import MicroBatch
from trainer.steps import StepPlan, StepPlanner

AHEAD = 6
"""Micro-batches that are formed before they are asked for."""

Tensors = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]
"""Features, floor, inputs, places and targets, as `TrainingModel` takes them."""


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
    _queue: deque[tuple[int, Future[Tensors]]] = field(default_factory=deque)
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

        Steps in order are formed ahead; any other order, or a step repeated after `reset`, starts afresh.
        """
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
            tensors = self._queue.popleft()[1].result()
            self.waited_seconds += perf_counter() - started
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

    def _form(self, batch: MicroBatch, step: int) -> Tensors:
        augment = self.augment.at(step) if self.augment else None
        return as_tensors(collate(self.split, batch.clips, augment), pinned=self.device.type == "cuda")


def as_tensors(batch: Batch, *, pinned: bool = False) -> Tensors:
    """*batch* as tensors that share its memory, or in pinned memory."""
    arrays = (batch.features, batch.floor, batch.inputs, batch.places, batch.targets)
    tensors = tuple(torch.from_numpy(array) for array in arrays)
    return tuple(tensor.pin_memory() for tensor in tensors) if pinned else tensors  # type: ignore[return-value] # five

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

from trainer.data.buffers import Buffers
from trainer.data.collate import Batch, augment_batch, collate_many
from trainer.data.micro_batches import MicroBatch
from trainer.data.rows import JoinedRows
from trainer.data.spec_augment import SpecAugment
from trainer.data.step_planner import StepPlan, StepPlanner

AHEAD = 12
"""Micro-batches that are formed before they are asked for."""
TOGETHER = 4
"""Micro-batches that a thread forms at once, at most: handing over between threads costs time too."""

Tensors = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]
"""Features, floor, inputs, places and targets, as `TrainingModel` takes them."""
_Formed = tuple[Tensors, NDArray[Any] | None]
"""A micro-batch, and the memory of its features where that is still in use."""


@dataclass(slots=True)
class _Group:
    """Micro-batches, each with the step that it is of, which are formed together; *future* is what they become."""

    batches: Sequence[tuple[int, MicroBatch]]
    future: Future[list[_Formed]]


@dataclass(frozen=True, slots=True)
class _Ahead:
    """*batch* of *step*, which is *number* of its *group*."""

    step: int
    batch: MicroBatch
    group: _Group
    number: int


@dataclass(slots=True)
class Loader:
    """One rank's micro-batches of step after step. A context manager; its threads end with it.

    *waited_seconds* adds up how long the training loop had to wait for data, or to form them itself.
    """

    split: JoinedRows
    planner: StepPlanner
    rank: int
    device: torch.device
    num_steps: int
    threads: int = 2
    augment: SpecAugment | None = None
    waited_seconds: float = 0.0
    _pool: ThreadPoolExecutor = field(init=False)
    _queue: deque[_Ahead] = field(default_factory=deque)
    _buffers: Buffers = field(default_factory=Buffers)
    _given: list[NDArray[Any]] = field(default_factory=list)
    _plans: dict[int, StepPlan] = field(default_factory=dict)
    _next: int = 0

    def __post_init__(self) -> None:
        # One core is the training loop's; more threads than the others would only take turns.
        threads = max(1, min(self.threads, len(os.sched_getaffinity(0)) - 1))
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
        if self._queue and self._queue[0].step != step:
            self.reset()
        if not self._queue:
            self._next = step
            self._plans.clear()
        self._fill()
        return self._plans[step], self._batches(step)

    def reset(self) -> None:
        """Forgets what was formed ahead: the planner's budget has changed."""
        while self._queue:
            self._queue.popleft().group.future.cancel()

    def _batches(self, step: int) -> Iterator[tuple[MicroBatch, Tensors]]:
        while self._queue and self._queue[0].step == step:
            ahead = self._queue.popleft()
            started = perf_counter()
            tensors, memory = self._formed(ahead.group)[ahead.number]
            self.waited_seconds += perf_counter() - started
            if memory is not None:
                self._given.append(memory)
            self._fill()
            yield ahead.batch, self._sent(tensors)
        del self._plans[step]

    def _formed(self, group: _Group) -> list[_Formed]:
        """What becomes of *group*; as long as another thread is at it, this one forms what comes after it."""
        for other in (group, *(ahead.group for ahead in self._queue)):
            if group.future.done():
                break
            # What can still be taken back no thread has begun with. One that has is waited for below, and only there.
            if other.future.cancel():
                formed: Future[list[_Formed]] = Future()
                formed.set_result(self._form(other.batches))
                other.future = formed
        return group.future.result()

    def _sent(self, tensors: Tensors) -> Tensors:
        return tuple(tensor.to(self.device, non_blocking=True) for tensor in tensors)  # type: ignore[return-value] # five

    def _fill(self) -> None:
        while self._next < self.num_steps and len(self._queue) < AHEAD:
            fresh: list[tuple[int, MicroBatch]] = []
            while self._next < self.num_steps and len(fresh) < TOGETHER:
                plan = self._plans[self._next] = self.planner.plan(self._next)
                fresh += [(plan.step, batch) for batch in plan.ranks[self.rank]]
                self._next += 1
            for start in range(0, len(fresh), TOGETHER):
                self._put(fresh[start : start + TOGETHER])

    def _put(self, batches: Sequence[tuple[int, MicroBatch]]) -> None:
        """Lets *batches*, each with the step that it is of, be formed together."""
        group = _Group(batches, self._pool.submit(self._form, batches))
        self._queue += [_Ahead(step, batch, group, number) for number, (step, batch) in enumerate(batches)]

    def _form(self, batches: Sequence[tuple[int, MicroBatch]]) -> list[_Formed]:
        clips = [batch.clips for _, batch in batches]
        packing = self.planner.packing
        times = packing.times if packing else None
        formed = collate_many(self.split, clips, self._buffers.take, window=self.planner.window, times=times)
        if self.augment:
            for (step, batch), arrays in zip(batches, formed, strict=True):
                augment_batch(self.split, batch.clips, arrays, self.augment.at(step))
        return [self._kept(batch) for batch in formed]

    def _kept(self, formed: Batch) -> _Formed:
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

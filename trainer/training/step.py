"""One optimiser step: micro-batches forward and backward, gradients over all ranks, one update.

The loss is the mean over all tokens of the step, whatever micro-batch or rank they are in: each micro-batch adds its
sum, divided by the tokens of the whole step. Means of means would weigh short clips' tokens more.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from trainer.data.loader import Tensors
from trainer.data.micro_batches import MicroBatch
from trainer.data.step_planner import StepPlan
from trainer.distributed.gradients import GradientExchange
from trainer.distributed.ranks import Ranks
from trainer.model.whisper import TrainingModel, set_recompute, trained_parameters
from trainer.training.optimizers import set_rate

_Losses = list[tuple[MicroBatch, torch.Tensor]]
"""A rank's micro-batches, each with its loss."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """*loss_sum* is this rank's, over its own tokens; *norm* the gradients' before clipping, over all ranks.

    *skipped* when the update was left out because a gradient was not finite; *bad* are this rank's micro-batches whose
    own loss was not.
    """

    loss_sum: torch.Tensor
    norm: float
    skipped: bool = False
    bad: tuple[MicroBatch, ...] = ()


class OutOfMemory(Exception):  # noqa: N818 - it ends no run: the step is repeated with smaller micro-batches
    """Some rank had too little memory for its micro-batches; nothing was updated."""


@dataclass(slots=True)
class Stepper:
    """Updates *model* by *optimiser*. *dtype* is autocast's, None for none; only float16 needs a loss *scaler*."""

    model: TrainingModel
    optimiser: Optimizer
    ranks: Ranks
    dtype: torch.dtype | None
    max_grad_norm: float
    seed: int
    scaler: torch.amp.GradScaler = field(init=False)
    exchange: GradientExchange = field(init=False)

    def __post_init__(self) -> None:
        self.scaler = torch.amp.GradScaler(self.ranks.device.type, enabled=self.dtype is torch.float16)
        self.exchange = GradientExchange(self.model, self.ranks)

    def run(self, plan: StepPlan, batches: Iterable[tuple[MicroBatch, Tensors]], rate: float) -> StepResult:
        """The step of *plan* with learning rate *rate*. Raises OutOfMemory on all ranks when one has too little."""
        torch.manual_seed(self._chance(plan.step))
        set_rate(self.optimiser, rate)
        # Kept, not dropped: they are views into the buckets that travel between ranks.
        self.optimiser.zero_grad(set_to_none=False)
        self.exchange.begin()
        losses = self._met(self._add_up(plan, batches))
        self.scaler.unscale_(self.optimiser)
        norm = float(nn.utils.clip_grad_norm_(trained_parameters(self.model), self.max_grad_norm))
        finite = bool(np.isfinite(norm))
        if finite:
            self.scaler.step(self.optimiser)
        # Halves the scale where a gradient was not finite: it saw that when it took the scale from them.
        self.scaler.update()
        loss_sum = torch.stack([loss for _, loss in losses]).sum()
        bad = () if finite else tuple(batch for batch, loss in losses if not torch.isfinite(loss))
        return StepResult(loss_sum, norm, not finite, bad)

    def try_out(self, batch: MicroBatch, tensors: Tensors) -> None:
        """Computes *batch* forward and backward for nothing, to see what memory that takes.

        Raises torch.OutOfMemoryError where memory ran out. Nothing is sent to other ranks.
        """
        lasted = self._try(batch, tensors)
        self.optimiser.zero_grad(set_to_none=False)
        if not lasted:
            raise torch.OutOfMemoryError

    def _try(self, batch: MicroBatch, tensors: Tensors) -> bool:
        """Whether memory lasted; what was computed until then is freed on return."""
        try:
            with self.exchange.apart():
                self.scaler.scale(self._loss(batch, tensors) * 0.0).backward()  # type: ignore[no-untyped-call] # torch's
        except torch.OutOfMemoryError:
            return False
        return True

    def _add_up(self, plan: StepPlan, batches: Iterable[tuple[MicroBatch, Tensors]]) -> _Losses | None:
        """Adds this rank's gradients up, and sends them with its last micro-batch; each one with its loss.

        None when memory ran out; what was computed until then is freed on return.
        """
        # Ranks are averaged, so each one's share counts as many times as there are ranks.
        weight = self.ranks.world_size / plan.num_targets
        count = len(plan.ranks[self.ranks.rank])
        losses: _Losses = []
        try:
            for number, (batch, tensors) in enumerate(batches, 1):
                with self.exchange.apart() if number < count else nullcontext():
                    loss = self._loss(batch, tensors)
                    losses.append((batch, loss.detach()))
                    self.scaler.scale(loss * weight).backward()  # type: ignore[no-untyped-call] # torch's own
        except torch.OutOfMemoryError:
            return None
        return losses

    def _met(self, losses: _Losses | None) -> _Losses:
        """*losses*, once the ranks' gradients have met. Raises OutOfMemory on all ranks when one of them has none."""
        if losses is None:
            self.exchange.make_up()
        self.exchange.finish()
        if self.ranks.any(flag=losses is None) or losses is None:
            self.exchange.renew()
            raise OutOfMemory
        return losses

    def _loss(self, batch: MicroBatch, tensors: Tensors) -> torch.Tensor:
        set_recompute(self.model.whisper, recompute=batch.recompute)
        # Every weight is used once: remembering its 16-bit copy until the backward pass would only take memory.
        with autocast(self.ranks, self.dtype, remember=not batch.recompute):
            loss: torch.Tensor = self.exchange(*tensors)
        return loss

    def _chance(self, step: int) -> int:
        """Seed of a step's dropout: told by seed, step and rank, so that nothing has to be saved or replayed."""
        return int(np.random.SeedSequence((self.seed, step, self.ranks.rank)).generate_state(1)[0])


def autocast(ranks: Ranks, dtype: torch.dtype | None, *, remember: bool = True) -> AbstractContextManager[None]:
    """Computing in *dtype* where that is safe; as it is for None. *remember* keeps the weights' copies of that type."""
    return torch.autocast(ranks.device.type, dtype, cache_enabled=remember) if dtype is not None else nullcontext()

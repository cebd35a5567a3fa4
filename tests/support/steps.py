"""Steps of a model of some thousand weights on clips of noise: what a loop gives its `Stepper`, with no store.

In float16 on a CPU such a step takes a hundredth of a second.
"""

from collections.abc import Sequence

import torch

from tests.support.training import tiny_whisper
from trainer.data.clips import Clip, Clips
from trainer.data.loader import Tensors
from trainer.data.micro_batches import MicroBatch
from trainer.data.step_planner import StepPlan
from trainer.distributed.ranks import Ranks
from trainer.model.whisper import TrainingModel, prepare_model, trained_parameters
from trainer.training.optimizers import make_optimiser
from trainer.training.step import Stepper, StepResult

ALONE = Ranks(0, 1, torch.device("cpu"))
RATE = 1e-3
Batch = tuple[MicroBatch, Tensors]


def noise(seed: int, *, clips: int = 2, frames: int = 40, tokens: int = 5, recompute: bool = False) -> Batch:
    """A micro-batch of *clips* alike, the same for every process that asks with *seed*."""
    chance = torch.Generator().manual_seed(seed)
    words = torch.randint(2, 98, (clips, tokens + 1), generator=chance)
    features = torch.randn(clips, frames, 8, generator=chance).half()
    places = torch.arange(clips * tokens)
    batch = MicroBatch(Clips.of([Clip(row, frames, tokens) for row in range(clips)]), frames, recompute=recompute)
    return batch, (features, torch.full((clips,), -1.5), words[:, :-1], places, words[:, 1:].flatten())


def tiny_stepper(
    dtype: torch.dtype | None, ranks: Ranks = ALONE, optim: str = "adamw", *, freeze_encoder: bool = False, **sizes: int
) -> Stepper:
    """A `Stepper` in *dtype*; its weights are the same whenever it is made."""
    model = TrainingModel(prepare_model(tiny_whisper(**sizes)), freeze_encoder=freeze_encoder).train()
    optimiser = make_optimiser(optim, trained_parameters(model), ranks, rate=RATE, weight_decay=0.0)
    return Stepper(model, optimiser, ranks, dtype, 1.0, seed=0)


def take(made: Stepper, step: int, *every: Sequence[Batch], rate: float = RATE) -> StepResult:
    """Optimiser step *step* of *made* on *every* rank's micro-batches; one rank alone may leave them out."""
    of_ranks = every or ([noise(step)],)
    targets = sum(len(tensors[-1]) for batches in of_ranks for _, tensors in batches)
    plan = StepPlan(step, 0, tuple(tuple(batch for batch, _ in batches) for batches in of_ranks), targets, 1.0)
    return made.run(plan, of_ranks[made.ranks.rank], rate)


def weights(made: Stepper) -> list[torch.Tensor]:
    """A copy of what *made* has trained so far."""
    return [parameter.detach().clone() for parameter in trained_parameters(made.model)]


def moments(made: Stepper) -> list[torch.Tensor]:
    """A copy of what its optimiser remembers."""
    return [torch.as_tensor(value).clone() for entry in made.optimiser.state.values() for value in entry.values()]

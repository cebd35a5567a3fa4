"""The optimiser and the schedule."""

from typing import Any

import torch
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.optim import Optimizer

from shared.errors import UsageError
from trainer.distributed.ranks import Ranks
from trainer.memory.activations import Optimiser

_BETAS = (0.9, 0.999)


def learning_rate(step: int, *, peak: float, warmup_steps: int, max_steps: int) -> float:
    """The rate of optimiser step *step*, counted from 0: up to *peak* in *warmup_steps* lines, then down to 0.

    As transformers' `get_linear_schedule_with_warmup`, but that the first step is not lost at rate 0. A warm-up longer
    than the run is cut to a tenth of it.
    """
    warmup = warmup_of(warmup_steps, max_steps)
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * max(0.0, (max_steps - step) / max(1, max_steps - warmup))


def warmup_of(steps: int, max_steps: int) -> int:
    """Steps over which the rate rises: *steps*, or a tenth of a run that is no longer than that."""
    return steps if steps < max_steps else max_steps // 10


def make_optimiser(
    name: Optimiser, parameters: list[torch.nn.Parameter], ranks: Ranks, *, rate: float, weight_decay: float
) -> Optimizer:
    """The optimiser *name* over *parameters*. Raises UsageError where its package is missing."""
    common: dict[str, Any] = {"lr": rate, "weight_decay": weight_decay}
    match name:
        case "adamw-8bit":
            return _adamw_8bit(parameters, common)
        case "adamw-zero1" if ranks.world_size > 1:
            return ZeroRedundancyOptimizer(parameters, torch.optim.AdamW, betas=_BETAS, fused=True, **common)
        case "adafactor":
            return _adafactor(parameters, common)
        case _:
            return torch.optim.AdamW(parameters, betas=_BETAS, fused=True, **common)


def _adafactor(parameters: list[torch.nn.Parameter], common: dict[str, Any]) -> Optimizer:
    """As transformers' Trainer makes it: the rate is that of the updates, as AdamW's is.

    torch's own multiplies it by each weight's size, and hardly trains at a rate that is right for AdamW.
    """
    # It brings half of transformers with it, which the others do without.
    from transformers.optimization import Adafactor  # noqa: PLC0415

    made: Optimizer = Adafactor(parameters, scale_parameter=False, relative_step=False, **common)  # type: ignore[no-untyped-call] # its own
    return made


def _adamw_8bit(parameters: list[torch.nn.Parameter], common: dict[str, Any]) -> Optimizer:
    try:
        # It loads CUDA libraries, which the others do without.
        from bitsandbytes.optim.adamw import AdamW8bit  # noqa: PLC0415
    except ImportError as error:
        remedy = "pip install bitsandbytes, or --optim adafactor"
        raise UsageError(f"--optim adamw-8bit needs bitsandbytes: {error}", remedy) from error
    made: Optimizer = AdamW8bit(parameters, betas=_BETAS, **common)  # type: ignore[no-untyped-call] # its own
    return made


def set_rate(optimiser: Optimizer, rate: float) -> None:
    """Makes *rate* the learning rate of every parameter group."""
    for group in optimiser.param_groups:
        group["lr"] = rate

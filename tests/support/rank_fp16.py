"""Run on two ranks: steps in float16 of which the second rank alone breaks some; each rank writes what it saw of them.

Told as JSON, to the last argument with the rank appended: for each optimiser every step's [skipped, how many
micro-batches it names, scale after it, norm], and at the end the sum of all weights, to the bit.
"""

import json
import sys
from pathlib import Path

import torch

from tests.support.steps import noise, take, tiny_stepper, weights
from trainer.distributed.ranks import join_ranks
from trainer.training.step import OutOfMemory

STEPS = ("good", "loss", "gradient", "memory", "good")
"""What breaks on the second rank: its loss is no number, one of its gradients is not, its memory runs out once."""


def main(path, *optims):
    with join_ranks() as ranks:
        told = {optim: observed(ranks, optim) for optim in optims}
        Path(f"{path}-{ranks.rank}").write_text(json.dumps(told))


def observed(ranks, optim):
    made = tiny_stepper(torch.float16, ranks, optim, d_model=64)
    lines = []
    for step, trouble in enumerate(STEPS):
        broken = trouble if ranks.rank == 1 else "good"
        result = broken_step(made, step, broken, repeats=trouble == "memory")
        norm = result.norm if not result.skipped else None
        lines.append([result.skipped, len(result.bad), made.scaler.get_scale(), norm])
    return [lines, [float(weight.double().sum()).hex() for weight in weights(made)]]


def broken_step(made, step, broken, *, repeats):
    """The step, of which this rank breaks what *broken* says; repeated where somebody's memory ran out."""
    every = [[noise(10 * step + rank), noise(10 * step + rank + 2)] for rank in range(2)]
    layer, handles = made.model.whisper.model.encoder.layers[0].fc1, []
    if broken == "loss":
        every[1][0][1][0].fill_(float("nan"))
    elif broken == "gradient":
        handles = [layer.weight.register_hook(lambda gradient: gradient * float("inf"))]
    elif broken == "memory":
        handles = [layer.register_forward_pre_hook(no_room)]
    try:
        return take(made, step, *every)
    except OutOfMemory:
        assert repeats
    finally:
        for handle in handles:
            handle.remove()
    return take(made, step, *every)


def no_room(*_arguments):
    raise torch.OutOfMemoryError


if __name__ == "__main__":
    main(*sys.argv[1:])

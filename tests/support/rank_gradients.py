"""Run by torchrun: the gradients of a step over all ranks, in float64, written by rank 0 to the last argument.

Where the last rank is to run out of memory, it does so once: in the `forward` of its first micro-batch, or in the last
moments of its last `backward`, when it has sent some gradients and not all (micro-batches before it send nothing). Then
the step is repeated.
"""

import sys
from pathlib import Path

import torch

from shared.store import open_split
from trainer.data.loader import Loader
from trainer.data.micro_batches import Budget
from trainer.data.step_planner import Lengths, StepPlanner
from trainer.distributed.ranks import join_ranks
from trainer.model.whisper import TrainingModel, load_model, trained_parameters
from trainer.training.step import OutOfMemory, Stepper


def main(store, model_folder, frames, failing, path):
    split = open_split(Path(store), "train")
    with join_ranks() as ranks:
        model = TrainingModel(load_model(model_folder)).train().double()
        stepper = Stepper(model, torch.optim.SGD(trained_parameters(model), lr=0.0), ranks, None, 1e9, seed=0)
        lengths = Lengths(split.num_frames, split.num_labels, split.duration)
        planner = StepPlanner(lengths, 12, 0, 0.0, ranks.world_size, Budget(int(frames), int(frames)))
        with Loader(split, planner, ranks.rank, ranks.device, 2) as loader:
            if ranks.world_size > 1:
                stays_in_the_buckets(stepper, loader)
            stepper.run(*loader.step(0), 0.0)
            if failing != "never":
                fails_on_every_rank(stepper, loader, failing, here=ranks.rank == ranks.world_size - 1)
            stepper.run(*loader.step(1), 0.0)
        if ranks.is_main:
            torch.save([parameter.grad for parameter in trained_parameters(model)], path)


def stays_in_the_buckets(stepper, loader):
    """What a micro-batch adds before the ranks meet lies where it will travel from, and takes no memory besides."""
    places = [parameter.grad.data_ptr() for parameter in trained_parameters(stepper.model)]
    _, batches = loader.step(0)
    stepper.try_out(*next(iter(batches)))
    assert places == [parameter.grad.data_ptr() for parameter in trained_parameters(stepper.model)]
    loader.reset()


def fails_on_every_rank(stepper, loader, failing, *, here):
    """Step 1, for which one rank has too little memory, and of which all are told."""
    conv = stepper.model.whisper.model.encoder.conv1

    def out_of_memory(*_arguments):
        if here and (failing == "forward" or stepper.exchange._outbox.sent):
            raise torch.OutOfMemoryError

    hook = conv.weight.register_hook if failing == "backward" else conv.register_forward_pre_hook
    handle = hook(out_of_memory)
    try:
        stepper.run(*loader.step(1), 0.0)
    except OutOfMemory:
        handle.remove()
        loader.reset()
        return
    raise AssertionError("nobody ran out of memory")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Run by torchrun: the gradients of one step over all ranks, in float64, written by rank 0 to the last argument."""

import sys
from pathlib import Path

import torch

from shared.store import open_split
from trainer.distributed import join_ranks
from trainer.loader import Loader
from trainer.micro_batches import Budget
from trainer.model import TrainingModel, load_model, trained_parameters
from trainer.step import Stepper
from trainer.steps import Lengths, StepPlanner


def main(store, model_folder, frames, path):
    split = open_split(Path(store), "train")
    with join_ranks() as ranks:
        model = TrainingModel(load_model(model_folder)).train().double()
        stepper = Stepper(model, torch.optim.SGD(trained_parameters(model), lr=0.0), ranks, None, 1e9, seed=0)
        lengths = Lengths(split.num_frames, split.num_labels, split.duration)
        planner = StepPlanner(lengths, 12, 0, 0.0, ranks.world_size, Budget(int(frames), int(frames)))
        with Loader(split, planner, ranks.rank, ranks.device, 1) as loader:
            stepper.run(*loader.step(0), 0.0)
        if ranks.is_main:
            torch.save([parameter.grad for parameter in trained_parameters(model)], path)


if __name__ == "__main__":
    main(*sys.argv[1:])

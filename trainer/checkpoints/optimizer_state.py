"""An optimiser's state as checkpoints hold it: whole, on the CPU, by the place of each parameter.

It tells nothing of ranks, devices or hyperparameters, so other ranks, another device and other settings go on from it.
torch's own `ZeroRedundancyOptimizer` sends states pickled, byte by byte, which takes minutes for large models, and when
it loads them it leaves the step counts of fused AdamW on the CPU, where the next step fails.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.optim import Optimizer

from trainer.checkpoints.files import copy_to_cpu
from trainer.distributed.ranks import Ranks


def whole_state(optimiser: Optimizer, ranks: Ranks) -> dict[str, Any]:
    """{"kind", "state"} of *optimiser* on rank 0, in memory of its own; {} on the others. Every rank calls it."""
    if not isinstance(optimiser, ZeroRedundancyOptimizer):
        return {"kind": kind(optimiser), "state": copy_to_cpu(_own_state(optimiser))} if ranks.is_main else {}
    own = _own_state(optimiser)
    shapes = [[place, {name: _shape(value) for name, value in entry.items()}] for place, entry in own.items()]
    found: dict[int, Any] = copy_to_cpu(own) if ranks.is_main else {}
    for sender, sent in enumerate(ranks.gather(shapes)[1:], 1):
        if ranks.is_main:
            found |= {place: _received(entry, sender, ranks) for place, entry in sent}
        elif ranks.rank == sender:
            for value in _tensors(own):
                ranks.send_to_main(value.cpu())
    return {"kind": kind(optimiser), "state": found} if ranks.is_main else {}


def restore(optimiser: Optimizer, saved: Mapping[str, Any]) -> bool:
    """Gives *optimiser* what `whole_state` told; False where that is another kind's, and nothing was changed."""
    if saved.get("kind") != kind(optimiser):
        return False
    local = _local(optimiser)
    groups = local.state_dict()["param_groups"]
    places = enumerate(_places(optimiser))
    state = {number: saved["state"][place] for number, place in places if place in saved["state"]}
    # Its own groups: what a user sets now holds, and fused AdamW stays that.
    local.load_state_dict({"state": state, "param_groups": groups})
    return True


def is_fresh(optimiser: Optimizer) -> bool:
    """Whether *optimiser* has no state yet, the memory for which is still to be taken."""
    return not _local(optimiser).state


def kind(optimiser: Optimizer) -> str:
    """What keeps the state: the same for ranks that share it out as for one alone."""
    return type(_local(optimiser)).__name__


def _local(optimiser: Optimizer) -> Optimizer:
    """What updates this rank's share of the parameters."""
    local: Optimizer = optimiser.optim if isinstance(optimiser, ZeroRedundancyOptimizer) else optimiser
    return local


def _parameters(optimiser: Optimizer) -> Iterator[torch.Tensor]:
    for group in optimiser.param_groups:
        yield from group["params"]


def _places(optimiser: Optimizer) -> list[int]:
    """For each parameter of this rank's share, its place among all."""
    every = {id(parameter): place for place, parameter in enumerate(_parameters(optimiser))}
    return [every[id(parameter)] for parameter in _parameters(_local(optimiser))]


def _own_state(optimiser: Optimizer) -> dict[int, Any]:
    """This rank's share, by place."""
    places = _places(optimiser)
    return {places[number]: entry for number, entry in _local(optimiser).state_dict()["state"].items()}


def _tensors(state: Mapping[int, Mapping[str, torch.Tensor]]) -> Iterator[torch.Tensor]:
    for entry in state.values():
        yield from entry.values()


def _shape(value: torch.Tensor) -> list[Any]:
    """As `_received` reads it: sizes, and the type by its name in torch."""
    return [list(value.shape), str(value.dtype).rpartition(".")[2]]


def _received(entry: Mapping[str, Any], sender: int, ranks: Ranks) -> dict[str, torch.Tensor]:
    return {
        name: ranks.receive(torch.empty(shape, dtype=getattr(torch, dtype)), sender)
        for name, (shape, dtype) in entry.items()
    }

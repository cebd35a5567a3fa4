"""`python -m trainer.checking.probes.links FILE RANKS`: ranks as a training starts them add up what a gradient weighs.

Rank 0 writes what was found to FILE.
"""

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from time import perf_counter

import torch

from shared.command.cli import run_command
from shared.system.durable import json_bytes
from trainer.checking.observations import Links
from trainer.distributed.launcher import launch
from trainer.distributed.place import end_with_launcher, read_place
from trainer.distributed.ranks import Ranks, join_ranks

_MODULE = "trainer.checking.probes.links"
_TIMES = 10


def add_up(ranks: Ranks) -> Links:
    """What an all-reduce of 64 MiB, on CPUs 4 MiB, gives, and how long one takes."""
    count = 1 << (24 if ranks.is_cuda else 20)
    first = torch.full((count,), ranks.rank + 1.0, device=ranks.device)
    wanted = ranks.world_size * (ranks.world_size + 1) / 2
    right = bool((ranks.sum(first) == wanted).all())
    numbers = torch.zeros(count, device=ranks.device)
    _settle(ranks)
    started = perf_counter()
    for _ in range(_TIMES):
        ranks.sum(numbers)
    _settle(ranks)
    seconds = (perf_counter() - started) / _TIMES
    backend = "NCCL" if ranks.is_cuda else "gloo"
    return Links(backend, ranks.world_size, 4 * count, seconds, not ranks.any(flag=not right))


def main(argv: Sequence[str]) -> int:
    """The launcher, or one of its ranks."""
    file, count = Path(argv[0]), int(argv[1])
    place = read_place(os.environ)
    end_with_launcher(place)
    if place.launcher is None:
        return launch(_MODULE, argv, count)
    with join_ranks() as ranks:
        found = add_up(ranks)
        if ranks.is_main:
            file.write_bytes(json_bytes(asdict(found)))
        ranks.barrier()
    return 0


def _settle(ranks: Ranks) -> None:
    """Returns when all that was asked of the device is done, on every rank."""
    if ranks.is_cuda:
        torch.cuda.synchronize()
    ranks.barrier()


if __name__ == "__main__":
    sys.exit(run_command(main))

"""The ranks of a run: who this process is, on which device, and how they agree. One process without torchrun is rank 0.

Tensors travel by NCCL on GPUs and by gloo on CPUs; small Python values always by gloo, so that they never wait for a
GPU's queue.
"""

import ctypes
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol
from weakref import WeakSet

import torch
import torch.distributed as dist

from shared.errors import UsageError

_TIMEOUT = timedelta(minutes=30)
"""Longer than any evaluation or checkpoint keeps one rank busy alone."""
ORPHANED = signal.SIGUSR1
"""What a rank is told by when torchrun is gone: several times, once for each of torchrun's threads that ends."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among *world_size*, with its *device*."""

    rank: int
    world_size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this is the one that writes and shows."""
        return self.rank == 0

    @property
    def is_cuda(self) -> bool:
        """Whether the device is a GPU."""
        return self.device.type == "cuda"

    def barrier(self) -> None:
        """Returns when every rank is here."""
        if self.world_size > 1:
            dist.barrier(group=_cpu_group())

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """*tensor* added up over all ranks, in place."""
        if self.world_size > 1:
            dist.all_reduce(tensor)
        return tensor

    def any(self, *, flag: bool) -> bool:
        """Whether any rank says so."""
        return bool(max(self.gather(flag)))

    def least(self, value: int) -> int:
        """The smallest *value* of all ranks."""
        return int(min(self.gather(value)))

    def gather(self, value: Any) -> list[Any]:
        """Every rank's *value*, in the order of ranks, on every rank."""
        if self.world_size == 1:
            return [value]
        found: list[Any] = [None] * self.world_size
        dist.all_gather_object(found, value, group=_cpu_group())
        return found

    def send_to_main(self, tensor: torch.Tensor) -> None:
        """Sends *tensor*, which lies on the CPU, to rank 0, which `receive`s it."""
        dist.send(tensor, 0, group=_cpu_group())

    def receive(self, tensor: torch.Tensor, sender: int) -> torch.Tensor:
        """*tensor*, on the CPU, filled with what rank *sender* sent."""
        dist.recv(tensor, sender, group=_cpu_group())
        return tensor

    def from_main(self, value: Any) -> Any:
        """Rank 0's *value*, on every rank."""
        if self.world_size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, group=_cpu_group())
        return box[0]


class _Member(Protocol):
    """What holds on to the process group by means of torch's own, out of Python's sight."""

    def close(self) -> None:
        """Lets it go."""


_members: WeakSet[_Member] = WeakSet()


def leave_with_ranks(member: _Member) -> None:
    """Has *member* closed before the ranks part."""
    _members.add(member)


_groups: dict[str, Any] = {}


def _cpu_group() -> Any:
    """The gloo group for Python values."""
    return _groups.get("cpu")


def is_lost(error: RuntimeError) -> bool:
    """Whether *error* is what a rank meets when another one has ended; for what gloo finds out torch has no type."""
    said = str(error)
    return isinstance(error, dist.DistBackendError) or "by peer" in said or "gloo/transport" in said


def _end_with_parent() -> None:
    """Asks to be stopped politely when torchrun is killed: nobody would wait for this process any more."""
    # Linux' prctl(2), which Python has no name for.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ORPHANED)


_PR_SET_PDEATHSIG = 1


@contextmanager
def join_ranks() -> Iterator[Ranks]:
    """Joins the ranks that torchrun started, and leaves them at the end.

    Raises UsageError where there are fewer GPUs than ranks on this machine.
    """
    rank, world_size, local = (_number(name, default) for name, default in _VARIABLES)
    device = _device(local)
    _pin_threads()
    if world_size == 1:
        yield Ranks(0, 1, device)
        return
    _end_with_parent()
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_TIMEOUT)
    try:
        _groups["cpu"] = dist.new_group(backend="gloo", timeout=_TIMEOUT) if device.type == "cuda" else None
        yield Ranks(rank, world_size, device)
    finally:
        # Whoever lets the group go last waits for its threads, which may need Python: only the group itself lets them.
        for member in tuple(_members):
            member.close()
        _groups.clear()
        dist.destroy_process_group()


_VARIABLES = (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0))


def _number(name: str, default: int) -> int:
    return int(os.environ.get(name, default))


def _device(local_rank: int) -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    if local_rank >= torch.cuda.device_count():
        message = f"rank {local_rank} of this machine has no GPU: there are {torch.cuda.device_count()}"
        raise UsageError(message, f"torchrun --nproc_per_node={torch.cuda.device_count()}")
    device = torch.device("cuda", local_rank)
    torch.cuda.set_device(device)
    return device


def _pin_threads() -> None:
    """On CPU the ranks of a machine share its cores; more threads than cores is the commonest slowness."""
    ranks = _number("LOCAL_WORLD_SIZE", 1)
    if "OMP_NUM_THREADS" not in os.environ or ranks > 1:
        torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // ranks))

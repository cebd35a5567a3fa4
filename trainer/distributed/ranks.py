"""The ranks of a run: on which device this process is, and how they agree. A process that nobody launched is rank 0.

Tensors travel by NCCL on GPUs and by gloo on CPUs; small values always by gloo, so that they never wait for a GPU's
queue, and as JSON, so that nobody can send code. Who this process is, is `place.py`'s to read.
"""

import json
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
from torch.distributed.rendezvous import rendezvous

from shared.errors import RanksMissingError, UsageError, first_line
from shared.units import format_counted
from trainer.distributed.place import Place, read_place

_TIMEOUT = timedelta(minutes=30)
"""Longer than any evaluation or checkpoint keeps one rank busy alone."""
_JOIN_TIMEOUT = timedelta(minutes=3)
"""For ranks that were started by hand, where nobody knows whether there are others."""


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
        return bool(self._agreed(int(flag), dist.ReduceOp.MAX))

    def least(self, value: int) -> int:
        """The smallest *value* of all ranks."""
        return self._agreed(value, dist.ReduceOp.MIN)

    def gather(self, value: Any) -> list[Any]:
        """Every rank's *value*, which JSON can tell, in the order of ranks, on every rank."""
        if self.world_size == 1:
            return [value]
        own = _as_bytes(value)
        sizes = [torch.empty(1, dtype=torch.int64) for _ in range(self.world_size)]
        dist.all_gather(sizes, torch.tensor([len(own)]), group=_cpu_group())
        longest = int(max(sizes))
        found = [torch.empty(longest, dtype=torch.uint8) for _ in sizes]
        dist.all_gather(found, torch.nn.functional.pad(own, (0, longest - len(own))), group=_cpu_group())
        return [_from_bytes(text[: int(size)]) for text, size in zip(found, sizes, strict=True)]

    def send_to_main(self, tensor: torch.Tensor) -> None:
        """Sends *tensor*, which lies on the CPU, to rank 0, which `receive`s it."""
        dist.send(tensor, 0, group=_cpu_group())

    def receive(self, tensor: torch.Tensor, sender: int) -> torch.Tensor:
        """*tensor*, on the CPU, filled with what rank *sender* sent."""
        dist.recv(tensor, sender, group=_cpu_group())
        return tensor

    def from_main(self, value: Any) -> Any:
        """Rank 0's *value*, which JSON can tell, on every rank."""
        return self.gather(value if self.is_main else None)[0]

    def _agreed(self, value: int, how: Any) -> int:
        numbers = torch.tensor([value])
        if self.world_size > 1:
            dist.all_reduce(numbers, how, group=_cpu_group())
        return int(numbers)


def _as_bytes(value: Any) -> torch.Tensor:
    return torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)


def _from_bytes(tensor: torch.Tensor) -> Any:
    return json.loads(tensor.numpy().tobytes())


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


@contextmanager
def join_ranks() -> Iterator[Ranks]:
    """Joins the other ranks of this process's environment, and leaves them at the end.

    Until they are joined signals end the process. Raises UsageError where there are fewer GPUs than ranks on this
    machine, RanksMissingError where some of the ranks never come.
    """
    place = read_place(os.environ)
    device = _device(place)
    _pin_threads(place)
    if place.world_size == 1:
        yield Ranks(0, 1, device)
        return
    with _interruptible():
        _meet(place, device)
    try:
        yield Ranks(place.rank, place.world_size, device)
    finally:
        # Whoever lets the group go last waits for its threads, which may need Python: only the group itself lets them.
        for member in tuple(_members):
            member.close()
        _groups.clear()
        dist.destroy_process_group()


def _meet(place: Place, device: torch.device) -> None:
    by_hand = place.launcher is None and not place.elastic
    try:
        waits = _JOIN_TIMEOUT if by_hand else _TIMEOUT
        store, rank, world_size = next(rendezvous(place.meeting, place.rank, place.world_size, timeout=waits))
    except dist.DistError as error:
        if "EADDRINUSE" in str(error) or "already in use" in str(error):
            where = f"MASTER_PORT {os.environ.get('MASTER_PORT')} of this machine"
            message = f"the ranks cannot meet: another program listens on {where}"
            raise RanksMissingError(message, "name a free one on every rank: MASTER_PORT=29517, say") from error
        message = (
            f"the {format_counted(place.world_size, 'rank')} that WORLD_SIZE tells of did not come "
            f"together: {first_line(error)}"
        )
        raise RanksMissingError(message, "start all of them, or unset RANK and WORLD_SIZE") from error
    store.set_timeout(_TIMEOUT)
    backend = dist.get_default_backend_for_device(device)
    dist.init_process_group(backend, store=store, rank=rank, world_size=world_size, timeout=_TIMEOUT)
    _groups["cpu"] = dist.new_group(backend="gloo", timeout=_TIMEOUT)


@contextmanager
def _interruptible() -> Iterator[None]:
    """In here Ctrl-C ends the process as it is: while torch waits for others, no Python would hear of it."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _device(place: Place) -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    # On every rank alike: one that stays away would be waited for.
    ranks, gpus = max(place.local_world_size, place.local_rank + 1), torch.cuda.device_count()
    if gpus < ranks:
        message = f"there are {ranks} ranks for {format_counted(gpus, 'GPU')}: each needs one of its own"
        raise UsageError(message, f"--nproc-per-node {gpus}")
    device = torch.device("cuda", place.local_rank)
    torch.cuda.set_device(device)
    return device


def _pin_threads(place: Place) -> None:
    """On CPU the ranks of a machine share its cores; more threads than cores is the commonest slowness."""
    # What torchrun sets where nobody did is one thread.
    if "OMP_NUM_THREADS" not in os.environ or place.elastic:
        torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // place.local_world_size))

"""Which rank this process is, as its environment tells: read before torch is imported, as that takes seconds.

It starts nothing (`launcher.py`) and joins nothing (`ranks.py`).
"""

import ctypes
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass

from shared.errors import InterruptedRunError, UsageError

RENDEZVOUS = "TRAINER_RENDEZVOUS"
"""The launcher's word for where its ranks meet, as torch's init_method."""
LAUNCHER = "TRAINER_LAUNCHER"
"""The launcher's process."""
ORPHANED = signal.SIGUSR1
"""What a rank is told by when its launcher is gone: under torchrun several times, once for each thread that ends."""
_ADDRESS = ("MASTER_ADDR", "MASTER_PORT")
_TASKS = {
    "SLURM_PROCID": ("srun", ("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS")),
    "OMPI_COMM_WORLD_RANK": ("mpirun", ("OMPI_COMM_WORLD_SIZE",)),
    "PMI_RANK": ("mpirun", ("PMI_SIZE",)),
}
"""Where others number the processes that they start: by whom, and how many there are."""
_PR_SET_PDEATHSIG = 1
_START = "on one machine start with python -m trainer.train --nproc-per-node 2, over several with torchrun"


@dataclass(frozen=True, slots=True)
class Place:
    """This process among *world_size*; *local_rank* and *local_world_size* count on this machine alone.

    *meeting* is torch's init_method, empty for a process alone; *launcher* the process that `launch`ed it, else None;
    *elastic* whether torchrun did.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    local_world_size: int = 1
    meeting: str = ""
    launcher: int | None = None
    elastic: bool = False

    @property
    def warning(self) -> str:
        """What is risky in how the ranks meet; empty where nothing is."""
        if self.world_size == 1 or self.launcher is not None:
            return ""
        risk = "torch's rendezvous listens on every network, asks for no password and unpickles what it reads"
        if self.world_size > self.local_world_size:
            return f"{risk}: run it on a private network that nobody else reaches"
        return f"{risk}: on one machine, python -m trainer.train --nproc-per-node {self.world_size} does without"


def read_place(environment: Mapping[str, str]) -> Place:
    """The place that *environment* gives this process.

    Raises UsageError where its variables contradict each other: torch would wait for ranks that never come.
    """
    elastic = "TORCHELASTIC_RUN_ID" in environment
    if not any(name in environment for name in ("RANK", "WORLD_SIZE")):
        return Place(elastic=elastic)
    if missing := [name for name in ("RANK", "WORLD_SIZE") if name not in environment]:
        given = {"RANK", "WORLD_SIZE"} - set(missing)
        raise _wrong(environment, *given, but=f"{missing[0]} is not")
    rank, world_size = _number(environment, "RANK"), _number(environment, "WORLD_SIZE", least=1)
    local_rank = _number(environment, "LOCAL_RANK", 0)
    local_world_size = _number(environment, "LOCAL_WORLD_SIZE", 1, least=1)
    if rank >= world_size:
        raise _wrong(environment, "RANK", "WORLD_SIZE", but="ranks count from 0")
    launcher = _number(environment, LAUNCHER, least=1) if RENDEZVOUS in environment else None
    meeting = _meeting(environment) if world_size > 1 else ""
    return Place(rank, world_size, local_rank, local_world_size, meeting, launcher, elastic)


def require_one_task(environment: Mapping[str, str], *, launches: bool) -> None:
    """Raises UsageError where somebody else started a process that is no rank several times, each as if it were alone.

    It is about to start ranks of its own where it *launches*.
    """
    if "RANK" in environment:
        return
    for rank, (program, sizes) in _TASKS.items():
        size = next((name for name in sizes if environment.get(name)), None)
        if rank not in environment or size is None or environment[size] == "1":
            continue
        # A batch script of several tasks is itself but one process, and may well start a launcher.
        if not (launches and size == "SLURM_NTASKS" and environment[rank] == "0"):
            raise _wrong(environment, rank, size, but=f"RANK and WORLD_SIZE are not: {program} alone makes no ranks")


def end_with_launcher(place: Place) -> None:
    """Has this rank told by ORPHANED when what started it is killed: nobody would wait for it any more.

    Called in the main thread, before others are started. Raises InterruptedRunError where the launcher is gone already.
    """
    if place.world_size == 1:
        return
    # Linux' prctl(2), which Python has no name for.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ORPHANED)
    if place.launcher not in {None, os.getppid()}:
        raise InterruptedRunError("the launcher of this rank has ended", "the same command goes on")


def _meeting(environment: Mapping[str, str]) -> str:
    if RENDEZVOUS in environment:
        return environment[RENDEZVOUS]
    if unset := [name for name in _ADDRESS if not environment.get(name)]:
        raise _wrong(environment, "RANK", "WORLD_SIZE", but=f"{' and '.join(unset)}, where ranks meet, is not")
    _number(environment, "MASTER_PORT")
    return "env://"


def _number(environment: Mapping[str, str], name: str, default: int | None = None, *, least: int = 0) -> int:
    text = environment.get(name, "" if default is None else str(default))
    if not text.isascii() or not text.isdecimal() or int(text) < least:
        raise _wrong(environment, name, but=f"it has to be a number of at least {least}")
    return int(text)


def _wrong(environment: Mapping[str, str], *names: str, but: str) -> UsageError:
    said = ", ".join(f"{name}={environment.get(name, '')!r}" for name in sorted(names))
    return UsageError(f"{said} in the environment, but {but}", f"unset {' '.join(sorted(names))}; {_START}")

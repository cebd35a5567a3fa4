"""What a machine's observations mean before anything is computed: driver, torch, GPUs, shared memory, disk. Pure."""

from collections import Counter
from collections.abc import Sequence

from shared.units import format_bytes, format_counted
from trainer.checking.observations import Build, Driver
from trainer.checking.scope import scope_of
from trainer.checking.verdict import Verdict, fix, left_out, ok
from trainer.checking.world import World

_GIB = 1 << 30
_LEAST_SHM = 256 << 20
"""Bytes that NCCL is given: some 10 MB for each channel, of which two cards without a direct way have several."""
_LEAST_FREE = 0.75
"""Share of a GPU's memory that should be free: a desktop takes a GiB of 16."""
_DRIVERS = {11: "450.80", 12: "525.60", 13: "580.65"}
"""The first driver for each major version of CUDA (NVIDIA's release notes, table of minor version compatibility)."""
_GET = "see pytorch.org/get-started"


def no_card(world: World) -> str:
    """Why no driver and no GPU are looked for; "" where they are."""
    if world.machine.visible == "":
        return "CUDA_VISIBLE_DEVICES is empty"
    if "driver" not in world.outcomes:
        return ""
    found = world.facts(Driver)
    there = found is None or found.gpus or found.version or world.machine.cards or world.gpus
    return "" if there else "no NVIDIA GPU in this machine"


def no_gpu(world: World) -> str:
    """Why nothing of CUDA can be tried; "" where it can."""
    return "" if world.gpus else no_card(world) or "torch sees no GPU"


def driver(world: World) -> Verdict:
    """Whether the cards of this machine have a driver that answers."""
    found, cards = world.facts(Driver), world.machine.cards
    assert found is not None
    if found.gpus:
        return ok(f"NVIDIA {found.version}{f', takes CUDA up to {found.cuda}' if found.cuda else ''}")
    if "mismatch" in found.silent.lower():
        return fix(f"NVIDIA {found.version}: {found.silent}", "it was updated while it ran: restart the machine")
    if found.version:
        said = found.silent or "it names no GPU"
        return fix(f"NVIDIA {found.version}: {said}", "look at nvidia-smi and dmesg; in a container: --gpus all")
    words = f"{format_counted(cards, 'NVIDIA card')} and no driver"
    return fix(words, "install it (Ubuntu: ubuntu-drivers install) and restart; in a container: --gpus all")


def torch_build(world: World) -> Verdict:
    """Whether torch is built for the GPUs that are there, and for their driver."""
    found, build = world.facts(Driver) or Driver(), world.facts(Build)
    assert build is not None
    if no_card(world):
        return ok(f"{build.version}, on CPUs")
    if not build.cuda:
        takes = f"CUDA {found.cuda}" if found.cuda else "CUDA"
        return fix(f"{build.version} is built for CPUs only", f"pip install a torch for {takes}: {_GET}")
    words = f"{build.version} for CUDA {build.cuda}"
    if not build.names and _major(build.cuda) > _major(found.cuda or build.cuda):
        needed = _DRIVERS.get(_major(build.cuda), "a newer version")
        remedy = f"a driver from {needed} on, or a torch for CUDA {found.cuda}: {_GET}"
        return fix(f"{words}, the driver takes up to {found.cuda}", remedy)
    if not build.names and not world.failed("driver"):
        return fix(
            f"{words} sees no GPU: {build.said or 'it does not say why'}", "sudo modprobe nvidia_uvm, or restart"
        )
    return ok(f"{words}{f', NCCL {build.nccl}' if build.nccl else ''}")


def gpus(world: World) -> Verdict:
    """Whether torch sees every GPU, has kernels for it, and finds most of its memory free."""
    build, chosen = world.facts(Build), world.machine.visible
    if build is None or not build.names:
        return left_out("torch sees none of them")
    seen, there = len(build.names), len((world.facts(Driver) or Driver()).gpus)
    if seen < there and chosen is None:
        return fix(
            f"torch sees {seen} of {format_counted(there, 'GPU')}",
            "look at nvidia-smi and dmesg: one may have fallen off the bus",
        )
    for number, capability in enumerate(build.capabilities):
        if not _has_kernels(capability, build.kernels):
            words = f"torch {build.version} has no kernels for {capability}, GPU {number}"
            return fix(words, f"pip install a torch that has: {_GET}")
    for number, (free, total) in enumerate(zip(build.free, build.total, strict=True)):
        if free < _LEAST_FREE * total:
            words = f"of GPU {number} only {_gib(free)} of {_gib(total)} are free"
            return fix(words, "end what holds the rest (nvidia-smi shows it), or train with less: --vram-budget")
    return ok(f"{_named(build)}{f', {seen} of {there} by CUDA_VISIBLE_DEVICES' if seen < there else ''}")


def no_shm(world: World) -> str:
    """Why /dev/shm does not matter; "" where it does."""
    return no_gpu(world) or ("one GPU does not use it" if scope_of(world).ranks == 1 else "")


def shared_memory(world: World) -> Verdict:
    """Whether NCCL has room to pass gradients from card to card."""
    machine = world.machine
    if machine.shm_bytes >= _LEAST_SHM:
        return ok(f"{format_bytes(machine.shm_bytes)} free, for NCCL")
    free = format_bytes(machine.shm_bytes)
    remedy = "docker run --shm-size 1g (Kubernetes: an emptyDir of medium Memory at /dev/shm)"
    return fix(f"{free} free, NCCL wants {format_bytes(_LEAST_SHM)}", remedy)


def disk(world: World) -> Verdict:
    """Whether model, checkpoint and export of a short training find room."""
    machine = world.machine
    free, needed = format_bytes(machine.disk_bytes), format_bytes(scope_of(world).disk_bytes)
    if machine.disk_bytes < scope_of(world).disk_bytes:
        return fix(
            f"{free} free, trying {scope_of(world).size} takes {needed}", "make room, or name another --work-dir"
        )
    return ok(f"{free} free, {needed} wanted for a moment")


def _major(version: str) -> int:
    text = version.partition(".")[0]
    return int(text) if text.isdecimal() else 0


def _has_kernels(capability: str, kernels: Sequence[str]) -> bool:
    """Whether `sm_89` runs what is built for *kernels*: of its major version and no newer, or as PTX of an older."""
    own = _number(capability)
    binary = any(_number(name) // 10 == own // 10 and _number(name) <= own for name in kernels if name[:3] == "sm_")
    return not kernels or binary or any(_number(name) <= own for name in kernels if name.startswith("compute_"))


def _number(name: str) -> int:
    digits = "".join(letter for letter in name.partition("_")[2] if letter.isdecimal())
    return int(digits or 0)


def _named(build: Build) -> str:
    """`2 x RTX 4060 Ti, 16.0 GiB`; unlike ones one after the other."""
    kinds = Counter(
        (name.replace("NVIDIA ", "").replace("GeForce ", ""), _gib(total))
        for name, total in zip(build.names, build.total, strict=True)
    )
    return "; ".join(f"{count} x {name}, {memory}" for (name, memory), count in kinds.items())


def _gib(count: int) -> str:
    return f"{count / _GIB:.1f} GiB"

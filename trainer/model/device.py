"""Where models are transcribed: the GPU that has room, and what CTranslate2 needs to use it."""

import ctypes
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import torch

from shared.errors import UsageError
from shared.units import format_counted

LEAST_FREE = 4 << 30
"""Bytes that the largest Whisper needs to transcribe in 16 bits; with less free, something else has the GPU."""
_CUBLAS = ("libcublasLt.so.12", "libcublas.so.12")
"""What CTranslate2 4 computes with, the second by way of the first; a torch for CUDA 13 brings others."""
_CUBLAS_REMEDY = "pip install nvidia-cublas-cu12"


def choose_device(wanted: str) -> torch.device:
    """The device *wanted*: cpu, cuda, cuda:1 and so on, or auto. Raises UsageError where there is no such GPU."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted == "auto":
        return torch.device(roomiest([torch.cuda.mem_get_info(index)[0] for index in range(count)]))
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise UsageError(f"--device {wanted}: no such device", "cpu, cuda, cuda:1, or auto") from error
    if device.type == "cuda" and (device.index or 0) >= count:
        raise UsageError(
            f"--device {wanted}: torch sees {format_counted(count, 'GPU')}", "name another, or leave --device out"
        )
    return device


def current_gpu() -> torch.device:
    """The GPU that this process computes on, where it has one."""
    return torch.device("cuda", torch.cuda.current_device())


def device_name(device: torch.device) -> str:
    """What torch calls the GPU *device*; `CPU` for all else."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def half_on_gpu(device: torch.device) -> torch.autocast:
    """What a finished model is asked under: float16 on a GPU, its own float32 on a CPU, which has that faster."""
    return torch.autocast(device.type, torch.float16, enabled=device.type == "cuda")


def roomiest(free: Sequence[int]) -> str:
    """Of GPUs with *free* bytes each the one with the most, unless a training beside this has them all. Pure."""
    if not free or max(free) < LEAST_FREE:
        return "cpu"
    return f"cuda:{list(free).index(max(free))}"


def for_ctranslate2(wanted: str, tell: Callable[[str], None]) -> torch.device:
    """As `choose_device`; the CPU where auto's GPU is one that CTranslate2 cannot use, which is told.

    Raises UsageError where the user named such a GPU.
    """
    device = choose_device(wanted)
    if device.type != "cuda" or not lacks_cublas():
        return device
    message = f"CTranslate2 finds no {_CUBLAS[-1]} for the GPU"
    if wanted != "auto":
        raise UsageError(message, _CUBLAS_REMEDY)
    tell(f"on the CPU, as {message}: {_CUBLAS_REMEDY}")
    return torch.device("cpu")


def lacks_cublas() -> bool:
    """Whether CTranslate2 will not find the cuBLAS it was built for, neither the system's nor that of a package."""
    return not all(any(map(_loads, (name, *_packaged(name)))) for name in _CUBLAS)


def _loads(library: str) -> bool:
    with suppress(OSError):
        # For all to see: CTranslate2 asks for it by name, and is given what is loaded already.
        ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)
        return True
    return False


def _packaged(name: str) -> list[str]:
    """Where the package that pip installs has the library *name*."""
    with suppress(ModuleNotFoundError):
        found = find_spec("nvidia.cublas")
        if found is not None:
            return [str(Path(folder) / "lib" / name) for folder in found.submodule_search_locations or ()]
    return []

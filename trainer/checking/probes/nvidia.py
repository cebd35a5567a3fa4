"""What the system tells of NVIDIA's cards and driver; torch is not asked."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from trainer.checking.observations import Driver
from trainer.checking.worker import Task
from trainer.checking.world import Machine

_VENDOR = "0x10de"
_DISPLAYS = ("0x0300", "0x0302")
"""PCI classes of what computes: a card's sound and USB are other ones."""
_VERSION = Path("/proc/driver/nvidia/version")


def look_around(work_dir: Path) -> Machine:
    """This machine, whose files of the check go to *work_dir*."""
    return Machine(
        cards=sum(map(_is_card, Path("/sys/bus/pci/devices").glob("*"))),
        shm_bytes=_free("/dev/shm"),  # noqa: S108 - looked at, and nothing written
        disk_bytes=_free(work_dir),
        ram_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        cores=len(os.sched_getaffinity(0)),
        visible=os.environ.get("CUDA_VISIBLE_DEVICES"),
    )


def probe_driver(_task: Task) -> Driver:
    """What the driver says of itself and its GPUs."""
    import pynvml  # noqa: PLC0415 - it loads the driver's own library

    version = _loaded_version()
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return Driver(version=version, silent=str(error))
    found = [pynvml.nvmlDeviceGetHandleByIndex(number) for number in range(pynvml.nvmlDeviceGetCount())]
    newest = int(pynvml.nvmlSystemGetCudaDriverVersion_v2())
    return Driver(
        version=_text(pynvml.nvmlSystemGetDriverVersion()),
        cuda=f"{newest // 1000}.{newest % 1000 // 10}",
        gpus=[_text(pynvml.nvmlDeviceGetName(handle)) for handle in found],
    )


def _is_card(device: Path) -> bool:
    with suppress(OSError):
        return (device / "vendor").read_text().strip() == _VENDOR and (device / "class").read_text().startswith(
            _DISPLAYS
        )
    return False


def _free(folder: str | Path) -> int:
    with suppress(OSError):
        found = os.statvfs(folder)
        return found.f_bavail * found.f_frsize
    return 0


def _loaded_version() -> str:
    """The version in `NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu …`, "" without a driver."""
    with suppress(OSError):
        words = _VERSION.read_text().partition("\n")[0].split()
        return next((word for word in words if word[:1].isdecimal() and "." in word), "loaded")
    return ""


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)

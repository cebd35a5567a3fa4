"""Readings of disk and memory.

The kernel's files are opened once, when a sensor is made, and read again and again through their descriptors: in an
emergency nothing needs to be opened. A reading that fails is None, never a default: the policy tightens on it. A file
that is there but cannot be opened or understood fails as well; only one that is not there is passed over. The roots of
procfs and of the cgroup file system are injected, so that tests use a tree of their own.
"""

import errno
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from preprocess.governor.policy import MemoryReading, tightest

LEAST_INODES = 1_000
"""Free inodes under which a mount counts as full, or a hundredth of all where that is less."""
_FILE_BYTES = 65_536
_NO_DESCRIPTOR = -1
_VERSIONS = (
    ("memory.current", "memory.max", "inactive_file"),
    ("memory.usage_in_bytes", "memory.limit_in_bytes", "total_inactive_file"),
)
"""Usage, limit and the name of the inactive file cache, in cgroup version 2 and 1."""
_NO_PRESSURE = {errno.EOPNOTSUPP, errno.EACCES, errno.EPERM}
"""What the pressure file answers where the kernel was told not to measure, or not to tell."""


@dataclass(frozen=True, slots=True)
class MountReading:
    """Room on a mount, for users without root's privileges (`f_bavail`, `f_favail`), and its size."""

    free_bytes: int
    inodes_free: bool
    total_bytes: int


def read_mount(path: Path, statvfs: Callable[[Path], os.statvfs_result] = os.statvfs) -> MountReading | None:
    """Room on the mount that holds *path*; None when it cannot be read."""
    try:
        found = statvfs(path)
    except OSError:
        return None
    # A file system that makes inodes as it goes (btrfs, some network mounts) states none at all.
    inodes_free = found.f_favail >= min(LEAST_INODES, found.f_files / 100)
    return MountReading(found.f_bavail * found.f_frsize, inodes_free, found.f_blocks * found.f_frsize)


@dataclass(frozen=True, slots=True)
class KernelFile:
    """A file of procfs or cgroupfs, open for as long as the process lives."""

    descriptor: int

    @classmethod
    def open(cls, path: Path) -> Self | None:
        """The file at *path*, None where there is none; one that cannot be opened fails at every reading."""
        try:
            return cls(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:
            return cls(_NO_DESCRIPTOR)

    def read(self) -> str:
        """Its text at this moment; raises OSError."""
        return os.pread(self.descriptor, _FILE_BYTES, 0).decode()

    def close(self) -> None:
        """Ends it; it must not be read afterwards."""
        if self.descriptor != _NO_DESCRIPTOR:
            os.close(self.descriptor)


_UNREADABLE = KernelFile(_NO_DESCRIPTOR)


@dataclass(frozen=True, slots=True)
class _Group:
    """A cgroup that states a limit: its usage, limit and statistics files, and the name of its inactive file cache."""

    usage: KernelFile
    limit: KernelFile
    statistics: KernelFile
    inactive: str

    def read(self) -> MemoryReading | None:
        """Working set against the limit; None while there is no limit (`max`; cgroup v1 states a huge number)."""
        stated = self.limit.read().strip()
        if stated == "max" or int(stated) >= 1 << 60:
            return None
        used = int(self.usage.read()) - _values(self.statistics.read())[self.inactive]
        return MemoryReading(max(0, used), int(stated))


class MemorySensor:
    """Reads the tightest memory limit that this process lives under: of its cgroups (v1 or v2), or the machine's."""

    def __init__(self, proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")) -> None:
        self._machine = KernelFile.open(proc / "meminfo")
        self._pressure = _open_pressure(proc / "pressure" / "memory")
        self._groups = _find_groups(proc, cgroup)

    def read(self) -> MemoryReading | None:
        """Working set (usage less inactive file cache) where it is nearest to its limit; None when a file fails."""
        if self._machine is None or self._groups is None:
            return None
        try:
            found = [_machine_reading(self._machine.read()), *(group.read() for group in self._groups)]
            psi = _some_avg10(self._pressure.read()) if self._pressure else None
        except (OSError, ValueError, KeyError, IndexError):
            return None
        return tightest((reading for reading in found if reading is not None), psi)


def _open_pressure(path: Path) -> KernelFile | None:
    """Memory pressure, None where it is not measured."""
    try:
        path.read_bytes()
    except OSError as error:
        if error.errno in _NO_PRESSURE:
            return None
    return KernelFile.open(path)


def _machine_reading(meminfo: str) -> MemoryReading:
    values = _values(meminfo.replace(":", ""))
    if values["MemTotal"] <= 0:
        raise ValueError("a machine without memory")
    return MemoryReading(max(0, values["MemTotal"] - values["MemAvailable"]) * 1024, values["MemTotal"] * 1024)


def _values(text: str) -> dict[str, int]:
    """`name number …` lines as numbers by name."""
    fields = (line.split() for line in text.splitlines())
    return {field[0]: int(field[1]) for field in fields if len(field) > 1 and field[1].isdigit()}


def _some_avg10(pressure: str) -> float:
    """Percent of the last 10 s in which some task waited for memory."""
    percent = float(pressure.partition("some avg10=")[2].split(maxsplit=1)[0])
    if not math.isfinite(percent):
        raise ValueError(f"a pressure of {percent}")
    return percent


def group_folders(proc: Path, cgroup: Path, controller: str) -> Iterator[Path]:
    """The folders of our cgroup and every one above it, of whichever hierarchies have *controller*.

    Raises OSError, ValueError or TypeError when they cannot be told; a kernel without cgroups has none.
    """
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            yield from _chain(cgroup, path)
        elif controller in controllers.split(","):
            yield from _chain(cgroup / controller, path)


def _chain(root: Path, path: str) -> Iterator[Path]:
    folder = root / path.lstrip("/")
    # In a container the path may be the host's; what is mounted at the root is then ours already.
    folder = folder if folder.is_dir() else root
    yield from (group for group in (folder, *folder.parents) if group.is_relative_to(root))


def _find_groups(proc: Path, cgroup: Path) -> list[_Group] | None:
    """Our cgroup and every one above it that states a memory limit; None when they cannot be told."""
    try:
        found = [_open_group(folder, names) for folder in group_folders(proc, cgroup, "memory") for names in _VERSIONS]
    except (OSError, ValueError, TypeError):
        return None
    return [group for group in found if group is not None]


def _open_group(folder: Path, names: tuple[str, str, str]) -> _Group | None:
    usage, limit, statistics = (KernelFile.open(folder / name) for name in (*names[:2], "memory.stat"))
    return _Group(usage or _UNREADABLE, limit, statistics or _UNREADABLE, names[2]) if limit else None

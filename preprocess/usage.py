"""What a run uses of disk and memory, read from the system."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Usage:
    """Disk: allocated by the store with its scratch, and free on its mount. Memory: used on the machine, and all."""

    disk_used_bytes: int
    disk_free_bytes: int
    ram_used_bytes: int
    ram_total_bytes: int


def read_usage(store: Path) -> Usage:
    """Usage at this moment."""
    memory = psutil.virtual_memory()
    free = shutil.disk_usage(store).free
    return Usage(allocated_bytes(store), free, memory.total - memory.available, memory.total)


def allocated_bytes(folder: Path) -> int:
    """Bytes that *folder* takes on disk (`st_blocks`), each file once; what vanishes meanwhile counts as gone."""
    seen: set[tuple[int, int]] = set()
    total = 0
    pending = [str(folder)]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    try:
                        status = entry.stat(follow_symlinks=False)
                        if entry.is_dir(follow_symlinks=False):
                            pending.append(entry.path)
                    except FileNotFoundError:
                        continue
                    if (status.st_dev, status.st_ino) not in seen:
                        seen.add((status.st_dev, status.st_ino))
                        total += status.st_blocks * 512
        except (FileNotFoundError, NotADirectoryError):
            continue
    return total


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0))

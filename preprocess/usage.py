"""What a run uses of disk and memory, read from the system."""

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from preprocess.governor.cleanup import owner_of


@dataclass(frozen=True, slots=True)
class Usage:
    """Disk: allocated by the store with its scratch (*disk_open_bytes* of that by open shards), and free on its mount.

    Memory: used on the machine, and all.
    """

    disk_used_bytes: int
    disk_open_bytes: int
    disk_free_bytes: int
    ram_used_bytes: int
    ram_total_bytes: int


def read_usage(store: Path) -> Usage:
    """Usage at this moment."""
    memory = psutil.virtual_memory()
    # Free first: what is written in between is then counted as used and not as free, an error towards too little.
    free = shutil.disk_usage(store).free
    open_bytes = open_shard_bytes(store / ".partial")
    return Usage(allocated_bytes(store), open_bytes, free, memory.total - memory.available, memory.total)


def open_shard_bytes(partial: Path) -> int:
    """Bytes allocated by files that a worker is writing; what vanishes meanwhile counts as gone."""
    total = 0
    try:
        with os.scandir(partial) as entries:
            for entry in entries:
                if owner_of(entry.name) is not None:
                    with suppress(FileNotFoundError):
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
    except FileNotFoundError:
        return 0
    return total


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

"""What a run uses of disk and memory, read from the system."""

import os
import shutil
import stat
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from preprocess.workspace.cleanup import owner_of


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


def read_usage(store: Path, foreign: Collection[str] = ()) -> Usage:
    """Usage at this moment. *foreign* are names in `.partial` that are no open shard of this run: nothing is reserved
    for them, so they count as used.
    """
    memory = psutil.virtual_memory()
    # Free first: what is written in between is then counted as used and not as free, an error towards too little.
    free = shutil.disk_usage(store).free
    used, open_bytes = _walk(store, store / ".partial", foreign)
    return Usage(used, open_bytes, free, memory.total - memory.available, memory.total)


def allocated_bytes(folder: Path) -> int:
    """Bytes that *folder* takes on disk (`st_blocks`), each file once; what vanishes meanwhile counts as gone."""
    return _walk(folder, None)[0]


def unfinished_names(store: Path) -> frozenset[str]:
    """Names in `.partial` of files that somebody writes, or wrote. Before a run's first unit none is its own."""
    return frozenset(name for name, _, _ in _entries(str(store / ".partial")) if owner_of(name) is not None)


def _walk(folder: Path, partial: Path | None, foreign: Collection[str] = ()) -> tuple[int, int]:
    """Allocated bytes of *folder*, and those of them by files in *partial*, but *foreign* ones, that a worker writes.

    One look at each file serves both sums: a shard that ends between two looks would be open without being used.
    """
    seen: set[tuple[int, int]] = set()
    total = open_bytes = 0
    pending = [str(folder)]
    while pending:
        current = pending.pop()
        for name, path, status in _entries(current):
            if stat.S_ISDIR(status.st_mode):
                pending.append(path)
            if (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                total += status.st_blocks * 512
                if current == str(partial) and name not in foreign and owner_of(name) is not None:
                    open_bytes += status.st_blocks * 512
    return total, open_bytes


def _entries(folder: str) -> Iterator[tuple[str, str, os.stat_result]]:
    """Name, path and status, links not followed, of everything in *folder* that is still there.

    A folder that we may not look into is another user's: nothing in it is ours, and the free space tells of it.
    """
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                yield entry.name, entry.path, entry.stat(follow_symlinks=False)

"""Processes that belong to a store's runs: marked, found again after a crash, ended.

A process belongs when its environment carries the store's mark, or when it writes to a file in the store's Ray folder
(some of Ray's helpers overwrite their environment; a person's `tail -f` only reads). Only the holder of the store's
lock may call `end_processes`.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from shared.units import format_bytes

MARK = "SPEECH_PREP_STORE"
"""Environment variable whose value is the store's mark; every process of a run inherits it."""


def store_mark(root: Path, store_uuid: str) -> str:
    """What marks the processes of the store at *root*: its uuid and which folder it is; a copied store has its own."""
    status = root.stat()
    return f"{store_uuid}-{status.st_dev:x}-{status.st_ino:x}"


def belonging(mark: str, ray_folder: Path) -> Iterator[psutil.Process]:
    """Live processes of earlier or present runs on this store, except this one and its ancestors."""
    me = psutil.Process()
    spared = {me.pid, *(parent.pid for parent in me.parents())}
    folder = str(ray_folder.resolve()) + os.sep
    for process in psutil.process_iter():
        if process.pid not in spared and _belongs(process, mark, folder):
            yield process


def end_processes(mark: str, ray_folder: Path, timeout_seconds: float = 5.0) -> int:
    """Kills every process that belongs, and waits until they are gone; returns how many there were."""
    ended = 0
    # A process may fork while we look: look again until nothing is found.
    while found := list(belonging(mark, ray_folder)):
        for process in found:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        _, alive = psutil.wait_procs(found, timeout_seconds)
        ended += len(found) - len(alive)
        if alive:
            break
    return ended


def _belongs(process: psutil.Process, mark: str, folder: str) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        if process.environ().get(MARK) == mark:
            return True
        return any(file.mode != "r" and file.path.startswith(folder) for file in process.open_files())
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        # Another user's process, or one that just ended, is not ours to end.
        return False


def same_group(proc: Path = Path("/proc")) -> Iterator[psutil.Process]:
    """Processes in the cgroups of this one."""
    own = (proc / "self" / "cgroup").read_text()
    for process in psutil.process_iter():
        with suppress(OSError):
            if (proc / str(process.pid) / "cgroup").read_text() == own:
                yield process


def largest_in_words(processes: Iterable[psutil.Process], count: int = 3) -> str:
    """Those of *processes* that hold most memory of their own, for a person who has to free some."""
    sizes = []
    for process in processes:
        with suppress(psutil.Error):
            memory = process.memory_info()
            sizes.append((memory.rss - memory.shared, process.pid, process.name()))
    largest = sorted(sizes, reverse=True)[:count]
    return ", ".join(f"{name} (process {pid}) holds {format_bytes(size)}" for size, pid, name in largest)

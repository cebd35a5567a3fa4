"""What the processes of a run hold, each shared page counted once (the sum of their PSS), and how one gives it back.

The files are opened by `follow`, in the run loop; `read`, in the watchdog's thread, opens nothing.
"""

import ctypes
import gc
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from preprocess.governor.sensors import KernelFile


@dataclass(slots=True)
class ProcessMemory:
    """Follows processes by their ids; the first of them is this one, which lives for sure."""

    proc: Path = Path("/proc")
    _files: dict[int, KernelFile] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def follow(self, pids: Iterable[int]) -> None:
        """From now on the processes *pids* count, and no others."""
        wanted = list(pids)
        opened = {pid: self._opened(pid) for pid in wanted}
        with self._lock:
            before, self._files = self._files, {pid: file for pid, file in opened.items() if file is not None}
        for pid, file in before.items():
            if file is not self._files.get(pid):
                file.close()

    def read(self) -> int | None:
        """Bytes that they hold together; None when even the first cannot be read. One that has ended holds nothing."""
        with self._lock:
            sizes = [_proportional_set_bytes(file) for file in self._files.values()]
        return sum(size or 0 for size in sizes) if sizes and sizes[0] is not None else None

    def _opened(self, pid: int) -> KernelFile | None:
        """The file that is open already, unless it belongs to a process that ended and whose number is another's."""
        known = self._files.get(pid)
        if known is not None and _proportional_set_bytes(known) is not None:
            return known
        return KernelFile.open(self.proc / str(pid) / "smaps_rollup")

    def close(self) -> None:
        """Follows nobody any more."""
        self.follow(())


def _proportional_set_bytes(file: KernelFile) -> int | None:
    try:
        text = file.read()
        return int(text.partition("\nPss:")[2].split(maxsplit=1)[0]) * 1024
    except (OSError, ValueError, IndexError):
        return None


def give_memory_back() -> None:
    """Collects garbage, empties Arrow's pool and returns the heap's free pages to the system."""
    gc.collect()
    pa.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    # Only glibc has it; another libc returns pages by itself.
    if trim is not None:
        trim(0)

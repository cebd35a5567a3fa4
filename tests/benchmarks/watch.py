"""Runs a command and watches what it takes: seconds, disk under a folder, memory of all its processes."""

import json
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import psutil

from preprocess.workspace.disk_usage import allocated_bytes

_DISK_EVERY_SECONDS = 0.05
_MEMORY_EVERY_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Watched:
    """A command that ended well: its JSON *lines*, wall *seconds*, *cpu_seconds* of all processes, peaks."""

    lines: list[dict]
    seconds: float
    cpu_seconds: float
    peak_disk_bytes: int
    final_disk_bytes: int
    peak_uss_bytes: int


def watch(command: list[str], folder: Path) -> Watched:
    """Runs *command*, whose output is JSON lines. Raises RuntimeError with its errors where it fails."""
    folder.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    peaks = {"disk": 0, "memory": 0}
    cpu_seconds: dict[int, float] = {}
    ended = Event()

    def look(name: str, every_seconds: float, measure) -> None:
        while not ended.wait(every_seconds):
            peaks[name] = max(peaks[name], measure())

    threads = [
        Thread(target=look, args=("disk", _DISK_EVERY_SECONDS, lambda: allocated_bytes(folder))),
        Thread(target=look, args=("memory", _MEMORY_EVERY_SECONDS, lambda: look_at_tree(process.pid, cpu_seconds))),
    ]
    for thread in threads:
        thread.start()
    output, errors = process.communicate()
    seconds = time.perf_counter() - started
    ended.set()
    for thread in threads:
        thread.join()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{errors[-3000:]}")
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    final = allocated_bytes(folder)
    return Watched(lines, seconds, sum(cpu_seconds.values()), max(peaks["disk"], final), final, peaks["memory"])


def look_at_tree(pid: int, cpu_seconds: dict[int, float]) -> int:
    """Unique set size of a process and all that it started, which leaves shared libraries out; notes CPU seconds."""
    total = 0
    with suppress(psutil.Error):
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            with suppress(psutil.Error):
                times = process.cpu_times()
                cpu_seconds[process.pid] = times.user + times.system
                total += process.memory_full_info().uss
    return total

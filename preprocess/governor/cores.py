"""How many cores this process may keep busy: its affinity, and the quota of its cgroups."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

import psutil

from preprocess.governor.sensors import group_folders


def usable_cores(proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Cores that this process may run on at once, at least 1; a quota of 2.5 cores keeps 2 busy."""
    cores = len(os.sched_getaffinity(0))
    return max(1, min([cores, *(math.floor(quota) for quota in _quotas(proc, cgroup))]))


def others_seconds() -> float:
    """CPU seconds of the whole machine since it started that were not this process's, what a host stole included."""
    spent = psutil.cpu_times()
    busy = spent.user + spent.nice + spent.system + spent.irq + spent.softirq + spent.steal
    return float(busy - sum(os.times()[:4]))


def _quotas(proc: Path, cgroup: Path) -> Iterator[float]:
    """Cores that our cgroups and those above allow, of version 2 (`cpu.max`) and 1 (`cpu.cfs_quota_us`)."""
    for folder in group_folders(proc, cgroup, "cpu"):
        words = _text(folder / "cpu.max").split() or [
            *_text(folder / "cpu.cfs_quota_us").split(),
            *_text(folder / "cpu.cfs_period_us").split(),
        ]
        # No quota is `max` in version 2 and -1 in version 1.
        if len(words) == 2 and words[0].isdigit() and int(words[1]) > 0:  # noqa: PLR2004 - a quota and its period
            yield int(words[0]) / int(words[1])


def _text(path: Path) -> str:
    """What stands in *path*; '' where it cannot be read: a core more is no danger, as memory would be."""
    try:
        return path.read_text()
    except OSError:
        return ""

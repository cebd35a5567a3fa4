"""One contender's figures, from what was watched; and whether ours are the right features at all."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from watch import Watched

from shared.schema import WINDOW_FRAMES
from shared.store import open_split


@dataclass(frozen=True, slots=True)
class Outcome:
    """*seconds* and *cpu_seconds* are the whole command's, *steady_seconds* its work without starting and ending.

    Disk is the peak, with the end beside it; memory is the unique set size of all processes at its peak. The actor
    figures are ours alone: memory of the largest actor at its peak above its start, and by how much the peak of the
    last quarter of the run lies above that of the second; with every row group memory goes up and down by 60 MB.
    """

    rows: float
    seconds: float
    cpu_seconds: float
    steady_seconds: float
    peak_disk_bytes: float
    final_disk_bytes: float
    peak_uss_bytes: float
    actor_peak_over_idle_bytes: float = 0
    actor_growth_bytes: float = 0

    @property
    def rate(self) -> float:
        """Samples a second while at work."""
        return self.rows / self.steady_seconds

    @property
    def whole_rate(self) -> float:
        """Samples a second from the command's start to its end."""
        return self.rows / self.seconds


def of_contender(watched: Watched) -> Outcome:
    """The figures of one of `contenders.py`."""
    line = watched.lines[-1]
    return _outcome(watched, line["rows"], line["seconds"])


def of_pipeline(watched: Watched) -> Outcome:
    """The figures of `preprocess.run --view json`: its rate is that between its first rows and its last."""
    snapshots = [line for line in watched.lines if "rows_total" in line]
    last = snapshots[-1]
    if last["rows_done"] != last["rows_total"] or last["rows_quarantined"]:
        raise RuntimeError(f"the pipeline made {last['rows_done']} of {last['rows_total']} rows")
    first = next(snapshot for snapshot in snapshots if snapshot["rows_done"])
    if first["rows_done"] > last["rows_done"] / 2:
        # A run that is over within a look or two has no rate between looks.
        first = snapshots[0]
    done = last["rows_done"] - first["rows_done"]
    seconds = (last["elapsed_seconds"] - first["elapsed_seconds"]) * last["rows_done"] / max(1, done)
    memory = [[actor["memory_bytes"] for actor in snapshot["actors"]] for snapshot in snapshots]
    return _outcome(watched, last["rows_done"], seconds or watched.seconds, *_memory(memory))


def _outcome(watched: Watched, rows: int, seconds: float, over_idle: float = 0, growth: float = 0) -> Outcome:
    disk = watched.peak_disk_bytes, watched.final_disk_bytes
    return Outcome(
        rows, watched.seconds, watched.cpu_seconds, seconds, *disk, watched.peak_uss_bytes, over_idle, growth
    )


def _memory(looks: list[list[int]]) -> tuple[float, float]:
    """Peak over the first look, and the last quarter's over the second's, of the actor where each is largest."""
    over, growth = [0.0], [0.0]
    for series in zip(*(look for look in looks if look and all(look)), strict=False):
        quarter = max(1, len(series) // 4)
        over.append(max(series) - series[0])
        growth.append(max(series[-quarter:]) - max(series[quarter : 2 * quarter] or series))
    return max(over), max(growth)


def parity(store: Path, features: Path) -> float:
    """Largest difference of the store's first rows from *features* `[clips, bins, 3000]`, beyond what float16 costs.

    A float16 value may lie half its spacing from the float32 value that it stands for.
    """
    split, expected = open_split(store, "train"), np.load(features)
    worst = 0.0
    for row, theirs in enumerate(expected):
        ours = np.full((WINDOW_FRAMES, theirs.shape[0]), split.floor[row], np.float32)
        stored = split.log_mel(row)
        ours[: len(stored)] = stored
        rounding = np.spacing(np.abs(theirs).astype(np.float16)).astype(np.float32) / 2
        worst = max(worst, float((np.abs(ours.T - theirs) - rounding).max()))
    return worst

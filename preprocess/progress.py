"""What a run looks like at one moment: the values that every view, log line and metric is made from."""

from dataclasses import dataclass, field
from enum import StrEnum


class ActorState(StrEnum):
    """What an actor is doing."""

    STARTING = "starting"
    WORKING = "working"
    IDLE = "idle"
    RESTARTING = "restarting"
    BISECTING = "bisecting"


@dataclass(frozen=True, slots=True)
class ActorView:
    """One actor at one moment; *unit* is the open shard's name ('' when idle), *rows* of *unit_rows* are read."""

    number: int
    state: ActorState
    unit: str = ""
    rows: int = 0
    unit_rows: int = 0
    rows_per_second: float = 0.0
    memory_bytes: int = 0
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A whole run at one moment.

    Rows and audio count the plan's whole work: *rows_resumed* of *rows_done* were committed by earlier runs. The
    figures of open units are included in *rows_done*. Disk figures are allocated bytes (`st_blocks`) of the store with
    everything that this run owns; *disk_free_bytes* is `f_bavail` of its mount, *disk_budget_bytes* the run's limit.
    *level* is the governor's: normal, throttle, pause, emergency or stop, the tighter of *disk_level* and *ram_level*.
    Memory is that of the limit which is nearest: the run's own budget, its cgroup's or the machine's.
    """

    elapsed_seconds: float
    rows_total: int
    rows_done: int = 0
    rows_resumed: int = 0
    rows_quarantined: int = 0
    audio_seconds: float = 0.0
    units_total: int = 0
    units_done: int = 0
    rows_per_second: float = 0.0
    audio_seconds_per_second: float = 0.0
    eta_seconds: float | None = None
    disk_used_bytes: int = 0
    disk_forecast_bytes: int = 0
    disk_free_bytes: int = 0
    disk_budget_bytes: int = 0
    ram_used_bytes: int = 0
    ram_total_bytes: int = 0
    level: str = "normal"
    disk_level: str = "normal"
    ram_level: str = "normal"
    actors: tuple[ActorView, ...] = field(default_factory=tuple)

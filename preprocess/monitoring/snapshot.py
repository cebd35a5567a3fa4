"""What a run looks like at one moment: the values that every view, log line and metric is made from."""

from collections.abc import Mapping
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
    The fields from *rows_written* on are of this run: *rows_written*, *quarantined* (by reason), *written_bytes* and
    *committed_audio_seconds* count committed shards only and never fall; *disk_open_bytes* is what open shards have
    written, *disk_reserved_bytes* what is set aside for them and for scratch, *disk_missing_bytes* what the job has
    still to write; *psi_percent* is memory pressure (some, 10 s); *level_seconds* and *level_rises* are by level,
    *removed* and *removed_bytes* by kind; *last_commit_seconds* is the elapsed time of the last commit, None before
    there was one; *rows_cancelled* are rows of committed shards whose channels cancelled each other.

    *ram_own_bytes* is what the run's own processes hold; the other figures of memory are of the limit which is nearest:
    the run's own budget, its cgroup's or the machine's.
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
    ram_own_bytes: int = 0
    ram_used_bytes: int = 0
    ram_total_bytes: int = 0
    level: str = "normal"
    disk_level: str = "normal"
    ram_level: str = "normal"
    actors: tuple[ActorView, ...] = field(default_factory=tuple)
    rows_written: int = 0
    quarantined: Mapping[str, int] = field(default_factory=dict)
    committed_audio_seconds: float = 0.0
    written_bytes: int = 0
    units_open: int = 0
    units_resumed: int = 0
    stage_seconds: Mapping[str, float] = field(default_factory=dict)
    actor_restarts: int = 0
    actors_recycled: int = 0
    disk_open_bytes: int = 0
    disk_reserved_bytes: int = 0
    disk_reserve_bytes: int = 0
    disk_missing_bytes: int = 0
    psi_percent: float | None = None
    level_seconds: Mapping[str, float] = field(default_factory=dict)
    level_rises: Mapping[str, int] = field(default_factory=dict)
    removed: Mapping[str, int] = field(default_factory=dict)
    removed_bytes: Mapping[str, int] = field(default_factory=dict)
    last_commit_seconds: float | None = None
    rows_cancelled: int = 0

"""What a run has done so far, kept up from events and turned into snapshots. Pure but for what it remembers."""

import os
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field, replace
from typing import Self

from preprocess.features.stages import RESERVE
from preprocess.features.worker import UnitReport, WorkerProgress
from preprocess.governor.autoscaling import ACTOR_BYTES, Load
from preprocess.governor.cores import others_seconds
from preprocess.governor.governor import DiskFigures
from preprocess.governor.record import GovernorRecord, by_name
from preprocess.monitoring.snapshot import ActorState, ActorView, Snapshot
from preprocess.planning.planned_job import PlannedJob
from preprocess.workspace.disk_usage import Usage
from shared.units import format_counted

RATE_WINDOW_SECONDS = 60.0
ETA_SECONDS = 10.0
"""How long the work is looked at before it is said when it will be done."""


@dataclass(slots=True)
class RunStats:
    """Counts of one run. *rows_resumed* and *units_resumed* were committed before it; *started* is its clock's zero."""

    rows_total: int
    units_total: int
    rows_resumed: int
    units_resumed: int
    disk_forecast_bytes: int
    started: float
    rows: int = 0
    units: int = 0
    audio_seconds: float = 0.0
    quarantined: Counter[str] = field(default_factory=Counter)
    cancelled: int = 0
    stage_seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    actor_seconds: float = 0.0
    written_bytes: int = 0
    last_commit: float | None = None
    restarts: int = 0
    peak_disk_bytes: int = 0
    peak_memory_bytes: dict[int, int] = field(default_factory=dict)
    governed: GovernorRecord = field(default_factory=GovernorRecord)
    disk_budget_bytes: int = 0
    peak_own_bytes: int = 0
    others_before: float = field(default_factory=others_seconds)
    _end: tuple[float, float] | None = None
    cpu_seconds: float = 0.0
    _actors: dict[int, ActorView] = field(default_factory=dict)
    _since: dict[int, float] = field(default_factory=dict)
    _moved: dict[int, float] = field(default_factory=dict)
    _workers: dict[int, WorkerProgress] = field(default_factory=dict)
    _cpu: dict[int, float] = field(default_factory=dict)
    _history: deque[tuple[float, int, float]] = field(default_factory=deque)

    @classmethod
    def of(cls, job: PlannedJob, started: float) -> Self:
        """Those of a run of *job* that begins at *started* and knows what earlier runs committed."""
        todo = job.open_units()
        rows, units = sum(plan.num_rows for plan in job.plans), sum(len(plan.units) for plan in job.plans)
        resumed = rows - sum(unit.num_rows for unit in todo)
        return cls(rows, units, resumed, units - len(todo), job.forecast_bytes, started)

    def largest_actor(self) -> int | None:
        """The actor that holds most memory; None before any has told."""
        known = [view for view in self._actors.values() if view.memory_bytes]
        return max(known, key=lambda view: view.memory_bytes).number if known else None

    def elapsed_seconds(self, now: float) -> float:
        """How long the work took, or has taken by *now*; what comes after it, such as a report, does not count."""
        return (now if self._end is None else self._end[0]) - self.started

    def end(self, now: float) -> None:
        """The work is over at *now*; what comes after it counts no more, neither as time nor as others' load."""
        self._end = now, others_seconds()

    def memory_of(self, actor: int) -> int:
        """What *actor* held when it told last."""
        return self._actors[actor].memory_bytes

    def load(self, now: float, num_busy: int) -> Load:
        """The actors' work so far, that on open units included, with *num_busy* at work at *now*."""
        # One more may come to hold as much as the largest, and a good deal where none has told.
        largest = max(self.peak_memory_bytes.values(), default=ACTOR_BYTES)
        return Load(now, self._audio_seconds_so_far(), self.cpu_seconds, num_busy, largest)

    def _audio_seconds_so_far(self) -> float:
        return self.audio_seconds + sum(worker.audio_seconds for worker in self._workers.values())

    @property
    def shards_in_words(self) -> str:
        """How far it is."""
        return f"{self.units_resumed + self.units} of {format_counted(self.units_total, 'shard')} committed"

    def commit(self, actor: int, report: UnitReport, now: float) -> None:
        """*actor* committed a unit at *now*."""
        self.rows += report.unit.num_rows
        self.units += 1
        self.written_bytes += report.num_bytes
        self.last_commit = now
        self.audio_seconds += report.audio_seconds
        self.quarantined.update(report.quarantined)
        self.cancelled += len(report.cancelled)
        for stage, seconds in report.stage_seconds.items():
            self.stage_seconds[stage] += seconds
        self.actor_seconds += report.seconds
        self.set_state(actor, ActorState.IDLE, now)

    def set_state(self, actor: int, state: ActorState, now: float, unit: str = "", unit_rows: int = 0) -> None:
        """*actor* is in *state* from *now* on; counts a restart when it is RESTARTING.

        An actor gets work as soon as it is idle, unless that has to wait for room: then the time is `RESERVE`'s.
        """
        known = self._actors.get(actor, ActorView(actor, state))
        if known.state is ActorState.IDLE and state is ActorState.WORKING:
            self.stage_seconds[RESERVE] += now - self._since[actor]
            self.actor_seconds += now - self._since[actor]
        self._since[actor] = self._moved[actor] = now
        restarts = known.restarts + (state is ActorState.RESTARTING)
        self.restarts += state is ActorState.RESTARTING
        self._workers.pop(actor, None)
        self._actors[actor] = replace(known, state=state, unit=unit, rows=0, unit_rows=unit_rows, restarts=restarts)

    def ended(self, actor: int) -> None:
        """*actor* is no more, and no other takes its place."""
        for known in (self._actors, self._workers, self._cpu, self._since, self._moved):
            known.pop(actor, None)

    def observe(
        self, actor: int, worker: WorkerProgress, memory_bytes: int, cpu_seconds: float = 0.0, *, now: float
    ) -> None:
        """*actor* told *now* what it is at; an answer about another unit than its present one came late: dropped."""
        known = self._actors.get(actor)
        if known is None:
            return
        # Less than before is another process.
        before = self._cpu.get(actor, 0.0)
        self.cpu_seconds += cpu_seconds - before if cpu_seconds >= before else cpu_seconds
        self._cpu[actor] = cpu_seconds
        self.peak_memory_bytes[actor] = max(memory_bytes, self.peak_memory_bytes.get(actor, 0))
        self._actors[actor] = replace(known, memory_bytes=memory_bytes)
        if known.unit and worker.unit == known.unit:
            if worker.rows != known.rows:
                self._moved[actor] = now
            self._workers[actor] = worker
            self._actors[actor] = replace(self._actors[actor], rows=worker.rows)

    def stuck(self, now: float, seconds: float) -> list[ActorView]:
        """Actors that are at the same row since *seconds* or longer, also those that do not answer any more."""
        at_work = (view for view in self._actors.values() if view.state in {ActorState.WORKING, ActorState.BISECTING})
        return [view for view in at_work if now - self._moved[view.number] >= seconds]

    def others_share(self, now: float) -> float:
        """Which share of the machine's cores other programs took, 0 to 1, until *now* or the end."""
        # The actors are no programs of others.
        others = others_seconds() if self._end is None else self._end[1]
        seconds = others - self.others_before - self.cpu_seconds
        available = self.elapsed_seconds(now) * (os.cpu_count() or 1)
        return min(1.0, max(0.0, seconds) / available) if available > 0 else 0.0

    def snapshot(self, now: float, usage: Usage, disk: DiskFigures, beside_bytes: int = 0) -> Snapshot:
        """The run at *now*, with rates over the last minute; *beside_bytes* is its memory but for the actors'."""
        own_bytes = beside_bytes + sum(view.memory_bytes for view in self._actors.values())
        self.peak_own_bytes = max(self.peak_own_bytes, own_bytes)
        self.peak_disk_bytes = max(self.peak_disk_bytes, usage.disk_used_bytes)
        working = self._workers.values()
        state, memory = self.governed.verdict.state, self.governed.memory
        rows = self.rows + sum(worker.rows for worker in working)
        audio = self._audio_seconds_so_far()
        rows_rate, audio_rate = self._rates(now, rows, audio)
        left = self.rows_total - self.rows_resumed - rows
        return Snapshot(
            elapsed_seconds=now - self.started,
            rows_total=self.rows_total,
            rows_done=self.rows_resumed + rows,
            rows_resumed=self.rows_resumed,
            rows_quarantined=sum(self.quarantined.values()) + sum(worker.quarantined for worker in working),
            audio_seconds=audio,
            units_total=self.units_total,
            units_done=self.units_resumed + self.units,
            rows_per_second=rows_rate,
            audio_seconds_per_second=audio_rate,
            eta_seconds=left / rows_rate if rows_rate > 0 and self._has_seen_enough(now, left) else None,
            disk_used_bytes=usage.disk_used_bytes,
            disk_forecast_bytes=self.disk_forecast_bytes,
            disk_budget_bytes=self.disk_budget_bytes,
            level=self.governed.level.name.lower(),
            disk_level=state.disk.level.name.lower(),
            ram_level=state.memory.level.name.lower(),
            disk_free_bytes=usage.disk_free_bytes,
            ram_own_bytes=own_bytes,
            ram_used_bytes=memory.used_bytes if memory else usage.ram_used_bytes,
            ram_total_bytes=memory.limit_bytes if memory else usage.ram_total_bytes,
            actors=tuple(self._with_rate(view, now) for _, view in sorted(self._actors.items())),
            rows_written=self.rows - sum(self.quarantined.values()),
            quarantined=dict(self.quarantined),
            rows_cancelled=self.cancelled,
            committed_audio_seconds=self.audio_seconds,
            written_bytes=self.written_bytes,
            units_open=sum(view.state is ActorState.WORKING for view in self._actors.values()),
            units_resumed=self.units_resumed,
            stage_seconds=dict(self.stage_seconds),
            actor_restarts=self.restarts,
            actors_recycled=self.governed.recycled,
            disk_open_bytes=usage.disk_open_bytes,
            disk_reserved_bytes=disk.reserved_bytes,
            disk_reserve_bytes=disk.reserve_bytes,
            disk_missing_bytes=disk.missing_bytes,
            psi_percent=memory.psi_percent if memory else None,
            level_seconds=by_name(self.governed.level_seconds),
            level_rises=by_name(self.governed.rises),
            removed=dict(self.governed.removed),
            removed_bytes=dict(self.governed.removed_bytes),
            last_commit_seconds=None if self.last_commit is None else self.last_commit - self.started,
        )

    def _rates(self, now: float, rows: int, audio: float) -> tuple[float, float]:
        """Rows and audio seconds per second over the window; a unit lost with its actor never makes them negative."""
        if not rows:
            # Ray and its actors start in this time, which tells nothing about the rows to come.
            self._history.clear()
        while self._history and now - self._history[0][0] > RATE_WINDOW_SECONDS:
            self._history.popleft()
        self._history.append((now, rows, audio))
        then, rows_then, audio_then = self._history[0]
        if now <= then:
            return 0.0, 0.0
        return max(0.0, (rows - rows_then) / (now - then)), max(0.0, (audio - audio_then) / (now - then))

    def _has_seen_enough(self, now: float, rows_left: int) -> bool:
        """Whether the rate tells when *rows_left* will be done: the first rows come one after the other."""
        return not rows_left or now - self._history[0][0] >= ETA_SECONDS

    def _with_rate(self, view: ActorView, now: float) -> ActorView:
        """*view* with the mean rate of its open unit."""
        seconds = now - self._since[view.number]
        return replace(view, rows_per_second=view.rows / seconds if seconds > 0 else 0.0)

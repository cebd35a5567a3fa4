"""The run loop: scheduler, cluster, governor, tally and view brought together until every unit is committed."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from time import monotonic

from preprocess.cluster import ActorDied, ActorDone, ActorGaveUp, ActorReady, Cluster, Event, is_full_disk
from preprocess.governor.cleanup import remove_dead_partials
from preprocess.governor.control import Governor
from preprocess.governor.memory import give_memory_back
from preprocess.governor.policy import Level
from preprocess.job import PlannedJob
from preprocess.live import View
from preprocess.processes import is_running
from preprocess.progress import ActorState
from preprocess.schedule import Action, ProbeRows, RunUnit, Scheduler, StartActor, Work
from preprocess.stopping import StopRequest
from preprocess.tally import Tally
from preprocess.tasks import make_task
from preprocess.units import Unit
from preprocess.usage import Usage, read_usage
from preprocess.worker import UnitReport, UnitTask
from shared.errors import InterruptedRunError, ResourceLimitError
from shared.units import format_bytes, format_seconds

TICK_SECONDS = 0.25
STOP_SECONDS = 5.0
"""Time that open units get to end by themselves after a stop request."""
RELIEF_SECONDS = 30.0
"""The shortest time between two measures against an emergency."""


@dataclass(slots=True)
class Runner:
    """Lets *cluster* make the open units of *job* under *governor*; everything shown goes through *view*."""

    job: PlannedJob
    cluster: Cluster
    scheduler: Scheduler
    governor: Governor
    tally: Tally
    view: View
    stop: StopRequest
    stall_seconds: float
    now: Callable[[], float] = monotonic
    _level: Level = Level.NORMAL
    _moved_at: float = field(default=0.0)
    _relieved_at: float = field(default=float("-inf"))

    def run(self) -> None:
        """Returns when every unit is committed.

        Raises InterruptedRunError after a stop request, ResourceLimitError when disk or memory end the run, and
        whatever a worker or the cluster raised.
        """
        self._moved_at = self.now()
        self._scan(read_usage(self.job.layout.root))
        self._enact(self.scheduler.start())
        while not self.scheduler.finished:
            for event in self.cluster.wait(TICK_SECONDS):
                self._enact(self._handle(event))
            if self.stop.requested:
                self._give_up()
            self._govern()
            self._enact(self.scheduler.on_tick())
            self.show()

    def show(self) -> None:
        """One look at everything."""
        progress = self.cluster.progress()
        for actor, answer in progress.items():
            self.tally.observe(actor, answer.worker, answer.memory_bytes)
        self.governor.watchdog.actor_pids = self.cluster.actor_pids
        usage = read_usage(self.job.layout.root)
        self._scan(usage)
        self.view.update(self.tally.snapshot(self.now(), usage))

    def _scan(self, usage: Usage) -> None:
        unfinished = self.scheduler.unfinished
        self.governor.scanned(usage.disk_used_bytes, usage.disk_free_bytes, usage.disk_open_bytes, unfinished)

    def _handle(self, event: Event) -> list[Action]:
        match event:
            case ActorReady(actor):
                self._moved_at = self.now()
                self.tally.set_state(actor, ActorState.IDLE, self.now())
                return self.scheduler.on_ready(actor)
            case ActorDone(actor, report):
                self._moved_at = self.now()
                if report is not None:
                    self._committed(actor, report)
                return self.scheduler.on_done(actor)
            case ActorGaveUp(actor, error):
                return self._gave_up(actor, error)
            case ActorDied(actor, reason):
                self.view.event(f"actor {actor} died and is started again: {reason}")
                self._lost(actor)
                return self.scheduler.on_died(actor)

    def _committed(self, actor: int, report: UnitReport) -> None:
        layout, unit = self.job.layout, report.unit
        count = self.job.record.splits[unit.split].num_units
        files = (layout.shard(unit.split, unit.number, count), layout.quarantined(unit.split, unit.number, count))
        self.governor.admission.committed(unit, sum(path.stat().st_blocks * 512 for path in files if path.exists()))
        self.tally.commit(actor, report, self.now())

    def _gave_up(self, actor: int, error: Exception) -> list[Action]:
        """The disk is full although there was room when the unit began, or the unit needs more than it had."""
        work = self.scheduler.work_of(actor)
        if isinstance(work, RunUnit):
            self.governor.admission.given_up(work.unit, outgrown_bytes=0 if is_full_disk(error) else work.max_bytes)
        self.tally.set_state(actor, ActorState.IDLE, self.now())
        if is_full_disk(error):
            self.governor.watchdog.no_space = True
            self._end_for_want(f"a write failed: {error}")
        self.view.event(f"a shard needs more than was reserved and is made again: {error}")
        return self.scheduler.on_gave_up(actor)

    def _lost(self, actor: int) -> None:
        """*actor* is gone: its reservation and its partial files go, too."""
        work = self.scheduler.work_of(actor)
        if isinstance(work, RunUnit):
            self.governor.admission.given_up(work.unit)
        self._clean()
        self.tally.set_state(actor, ActorState.RESTARTING, self.now())

    def _clean(self) -> None:
        for removal in remove_dead_partials(self.job.layout.partial, os.uname().nodename, is_running):
            self.view.event(f"removed {removal.path.name} of a dead process: {format_bytes(removal.num_bytes)}")

    def _govern(self) -> None:
        """Enacts the governor's level: fewer actors, memory given back, cleanup, an actor recycled, the end."""
        level = self.governor.level
        if level != self._level:
            self.view.event(f"level {level.name.lower()}: {self.governor.shortage(self.scheduler.waiting) or 'calm'}")
            self.tally.level = level.name.lower()
            if level > self._level and level >= Level.PAUSE:
                self._relieve()
            self._level = level
        self.scheduler.limit = self.governor.actors_allowed(self.scheduler.num_actors)
        if level is Level.STOP:
            self._end_for_want(self.governor.shortage(self.scheduler.waiting))
        if level is Level.EMERGENCY and self.now() - self._relieved_at >= RELIEF_SECONDS:
            self._relieved_at = self.now()
            self._clean()
            self._relieve()
            self._recycle_largest()
        if self.now() - self._moved_at >= self.stall_seconds and self._is_held_up():
            self._end_for_want(self.governor.shortage(self.scheduler.waiting))

    def _is_held_up(self) -> bool:
        """Whether work waits for disk or memory, and for nothing else."""
        return self._level >= Level.PAUSE or self.scheduler.held_up

    def _relieve(self) -> None:
        self.cluster.give_memory_back()
        give_memory_back()

    def _recycle_largest(self) -> None:
        """Against want of memory: the actor that holds most starts anew; its unit goes back to the queue."""
        if self.governor.watchdog.verdict.state.memory.level < Level.EMERGENCY:
            return
        actor = self.tally.largest_actor()
        if actor is not None:
            self.view.event(f"memory is short: actor {actor}, the largest, is started again")
            self.cluster.end_actor(actor)
            self._lost(actor)
            self._enact(self.scheduler.on_recycled(actor))

    def _enact(self, actions: Iterable[Action]) -> None:
        for action in actions:
            match action:
                case StartActor(actor):
                    self.cluster.start_actor(actor)
                case RunUnit(_, unit, crashed_rows, max_bytes):
                    self._assign(action, make_task(self.job, unit, crashed_rows, max_bytes), ActorState.WORKING)
                case ProbeRows(_, unit, start, stop, crashed_rows):
                    part = Unit(unit.split, unit.number, start, stop, stop - start)
                    self.view.event(f"looking for the row that kills its actor: rows {start} to {stop - 1}")
                    self._assign(action, make_task(self.job, part, crashed_rows), ActorState.BISECTING)

    def _assign(self, work: Work, task: UnitTask, state: ActorState) -> None:
        self._moved_at = self.now()
        self.tally.set_state(work.actor, state, self.now(), task.name, task.unit.num_rows)
        self.cluster.run(work.actor, task, probe=isinstance(work, ProbeRows))

    def _give_up(self) -> None:
        self.view.event("stopping: open shards are given up, committed ones stay")
        self.cluster.stop(STOP_SECONDS)
        raise InterruptedRunError(f"stopped with {self._done()}", "the same command goes on from there")

    def _end_for_want(self, reason: str) -> None:
        """Ends the run for want of disk or memory: open shards are given up, committed ones stay."""
        self.view.event(f"stopping for want of room: {reason}")
        self.cluster.stop(STOP_SECONDS)
        waited = format_seconds(self.now() - self._moved_at)
        raise ResourceLimitError(
            f"{reason or 'no work could be admitted'} (no progress for {waited}); {self._done()}",
            "make room, or raise --disk-budget or --ram-budget; then the same command goes on",
        )

    def _done(self) -> str:
        done = self.tally.units_resumed + self.tally.units
        return f"{done} of {self.tally.units_total} shards are committed"

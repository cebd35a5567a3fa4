"""The run loop: what happened goes to those who decide, and what they decide is done, until every unit is committed."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import monotonic
from typing import NoReturn

import psutil

from preprocess.execution.context import RunContext
from preprocess.execution.enforcement import Enforcer, Measure
from preprocess.execution.ray_cluster import ActorDied, ActorDone, ActorGaveUp, ActorReady, Cluster, Event, is_full_disk
from preprocess.execution.scheduler import Action, EndActor, ProbeRows, RunUnit, Scheduler, StartActor, Work
from preprocess.features.worker import UnitReport, UnitTask
from preprocess.governor.autoscaling import Crew
from preprocess.governor.governor import Governor
from preprocess.governor.policy import Level, MemoryReading
from preprocess.governor.process_memory import give_memory_back
from preprocess.monitoring.snapshot import ActorState
from preprocess.phases import Phase
from preprocess.sources.base import BATCH_BYTES, SMALL_BATCH_BYTES
from preprocess.units import Unit
from preprocess.workspace.cleanup import remove_dead_partials
from preprocess.workspace.disk_usage import Usage, read_usage, unfinished_names
from preprocess.workspace.processes import largest_in_words, same_group
from shared.errors import InterruptedRunError, ResourceLimitError
from shared.units import format_bytes, format_counted, format_seconds

_ROWS_TOLD = 10
"""Of one shard, in one line of the log."""

TICK_SECONDS = 0.25
STOP_SECONDS = 5.0
"""Time that open units get to end by themselves."""


@dataclass(slots=True)
class RunLoop:
    """Lets *cluster* make the open units of a run. The one place where those who decide and those who do meet.

    *scheduler* decides who works on what, *governor* what may start, *crew* how many actors there are, *enforcer* what
    is done for want of room; none of them knows another.
    """

    run: RunContext
    cluster: Cluster
    scheduler: Scheduler
    governor: Governor
    crew: Crew
    enforcer: Enforcer
    now: Callable[[], float] = monotonic
    _foreign: frozenset[str] = frozenset()
    _has_actors: bool = False

    def until_done(self) -> None:
        """Returns when every unit is committed.

        Raises InterruptedRunError after a stop request, ResourceLimitError when disk or memory end the run, and
        whatever a worker or the cluster raised.
        """
        self.enforcer.moved()
        # What preparing the store could not remove, because somebody holds it.
        self._foreign = unfinished_names(self.run.job.layout.root)
        self._scan(self._usage())
        self._enact(self.scheduler.start())
        while not self.scheduler.finished:
            for event in self.cluster.wait(TICK_SECONDS):
                self._enact(self._handle(event))
            if self.run.stop.requested:
                self._give_up()
            self._enact(self._enforce())
            self._enact(self._end_stuck())
            self._enact(self._resize())
            self._enact(self.scheduler.on_tick())
            self._show()

    def _show(self) -> None:
        """One look at everything."""
        for actor, answer in self.cluster.progress().items():
            self.run.stats.observe(actor, answer.worker, answer.memory_bytes, answer.cpu_seconds, now=self.now())
        self.governor.watchdog.actor_pids = self.cluster.actor_pids
        usage = self._usage()
        self._scan(usage)
        beside = self.cluster.memory_bytes
        self.run.view.update(self.run.stats.snapshot(self.now(), usage, self.governor.disk_figures, beside))

    def _usage(self) -> Usage:
        return read_usage(self.run.job.layout.root, self._foreign)

    def _scan(self, usage: Usage) -> None:
        unfinished = self.scheduler.unfinished
        self.governor.scanned(usage.disk_used_bytes, usage.disk_free_bytes, usage.disk_open_bytes, unfinished)

    def _resize(self) -> list[Action]:
        scheduler, memory = self.scheduler, self.governor.watchdog.verdict.memory
        load = self.run.stats.load(self.now(), scheduler.num_busy)
        wanted = self.crew.wanted(scheduler.num_actors, load, memory, self.governor.memory_level)
        if wanted == scheduler.num_actors:
            return []
        self.run.view.event(f"{format_counted(wanted, 'actor')} from now on, {scheduler.num_actors} before")
        return scheduler.resize(wanted)

    def _handle(self, event: Event) -> list[Action]:
        match event:
            case ActorReady(actor):
                self.enforcer.moved()
                self.crew.recycling.started(actor)
                if not self._has_actors:
                    # Of this cluster: one that takes a dead one's place starts its actors anew.
                    self._has_actors = True
                    self.run.view.phase(Phase.WORKING)
                self.run.stats.set_state(actor, ActorState.IDLE, self.now())
                return self.scheduler.on_ready(actor)
            case ActorDone(actor, report):
                self.enforcer.moved()
                return self.scheduler.on_done(actor, recycle=report is not None and self._committed(actor, report))
            case ActorGaveUp(actor, error):
                return self._gave_up(actor, error)
            case ActorDied(actor, reason):
                self.run.view.event(f"actor {actor} died and is started again: {reason}")
                self._lost(actor)
                return self.scheduler.on_died(actor)

    def _committed(self, actor: int, report: UnitReport) -> bool:
        """Settles and counts what *actor* made; True when a new actor should take its place."""
        layout, unit, run = self.run.job.layout, report.unit, self.run
        count = run.job.record.splits[unit.split].num_units
        place = unit.split, unit.number, count
        files = (layout.shard(*place), layout.quarantined(*place), layout.provenance_of(*place))
        self.governor.admission.committed(unit, sum(path.stat().st_blocks * 512 for path in files if path.exists()))
        run.stats.commit(actor, report, self.now())
        if report.cancelled:
            rows = ", ".join(map(str, report.cancelled[:_ROWS_TOLD]))
            more = " ..." if len(report.cancelled) > _ROWS_TOLD else ""
            run.view.event(f"{unit.split}: near silence, since the channels have opposite phase, in rows {rows}{more}")
        why = self.crew.recycling.finished(actor, report.memory_bytes)
        if why and self.scheduler.waiting:
            run.view.event(f"actor {actor} is started anew: {why}")
            run.stats.governed.recycled += 1
        return bool(why)

    def _gave_up(self, actor: int, error: Exception) -> list[Action]:
        """The disk is full although there was room when the unit began, or the unit needs more than it had."""
        work = self.scheduler.work_of(actor)
        if isinstance(work, RunUnit):
            self.governor.admission.given_up(work.unit, outgrown_bytes=0 if is_full_disk(error) else work.max_bytes)
        self.run.stats.set_state(actor, ActorState.IDLE, self.now())
        if is_full_disk(error):
            self.governor.watchdog.no_space = True
            self._end_for_want(f"a write failed: {error}")
        self.run.view.event(f"a shard needs more than was reserved and is made again: {error}")
        return self.scheduler.on_gave_up(actor)

    def _lost(self, actor: int) -> None:
        """*actor* is gone: its reservation and its partial files go, too."""
        work = self.scheduler.work_of(actor)
        if isinstance(work, RunUnit):
            self.governor.admission.given_up(work.unit)
        self._clean()
        self.run.stats.set_state(actor, ActorState.RESTARTING, self.now())

    def _enact(self, actions: Iterable[Action]) -> None:
        for action in actions:
            match action:
                case StartActor(actor):
                    self.cluster.start_actor(actor)
                case EndActor(actor):
                    self.cluster.end_actor(actor)
                    self.run.stats.ended(actor)
                case RunUnit() | ProbeRows():
                    task = self._task(action)
                    self.enforcer.moved()
                    state = ActorState.BISECTING if isinstance(action, ProbeRows) else ActorState.WORKING
                    self.run.stats.set_state(action.actor, state, self.now(), task.name, task.unit.num_rows)
                    self.cluster.run(action.actor, task, probe=isinstance(action, ProbeRows))

    def _task(self, work: Work) -> UnitTask:
        unit = work.unit
        if isinstance(work, RunUnit):
            batch_bytes = BATCH_BYTES if self.governor.memory_level is Level.NORMAL else SMALL_BATCH_BYTES
            return self.run.job.task_for(unit, work.crashed_rows, work.max_bytes, batch_bytes)
        self.run.view.event(f"looking for the row that kills its actor: rows {work.start} to {work.stop - 1}")
        part = Unit(unit.split, unit.number, work.start, work.stop, work.stop - work.start)
        return self.run.job.task_for(part, work.crashed_rows)

    def _enforce(self) -> list[Action]:
        """Does what the governor's level asks for. Raises ResourceLimitError when it asks for the end."""
        scheduler, record = self.scheduler, self.run.stats.governed
        before = record.level
        record.see(self.governor.watchdog.verdict, self.now())
        if record.level != before:
            self.run.view.event(f"level {record.level.name.lower()}: {self._shortage() or 'calm'}")
        scheduler.limit = self.governor.actors_allowed(scheduler.num_actors)
        actions: list[Action] = []
        for measure in self.enforcer.due(before, record.level, held_up=scheduler.held_up):
            match measure:
                case Measure.RELIEVE:
                    self.cluster.give_memory_back()
                    give_memory_back()
                case Measure.CLEAN:
                    self._clean()
                case Measure.END_LARGEST:
                    actions += self._end_largest()
                case Measure.END_RUN:
                    self._end_for_want(self._shortage())
        return actions

    def _shortage(self) -> str:
        return self.governor.shortage(self.scheduler.waiting)

    def _clean(self) -> None:
        """Removes partial files whose owner is provably dead."""
        removals = remove_dead_partials(self.run.job.layout.partial)
        self.run.stats.governed.count(removals)
        for removal in removals:
            self.run.view.event(removal.in_words)

    def _end_largest(self) -> list[Action]:
        """Against want of memory: the actor that holds most ends, its unit goes back to the queue.

        None takes its place while others are left: as many as there were are too many. `Crew` adds one again when there
        is room for it.
        """
        stats, scheduler = self.run.stats, self.scheduler
        actor = stats.largest_actor()
        # The level stays for a while after memory is back; another actor would be ended for nothing.
        if actor is None or not self.governor.memory_is_short:
            return []
        size = format_bytes(stats.memory_of(actor))
        self.run.view.event(f"memory is short: actor {actor}, the largest with {size}, is ended")
        stats.governed.recycled += 1
        self.cluster.end_actor(actor)
        self._lost(actor)
        actions = scheduler.on_recycled(actor, num_actors=max(1, scheduler.num_actors - 1))
        if StartActor(actor) not in actions:
            stats.ended(actor)
        return actions

    def _end_stuck(self) -> list[Action]:
        """A row that hangs is a row that kills: its actor ends, and the search for the row begins."""
        actions: list[Action] = []
        for view in self.run.stats.stuck(self.now(), self.enforcer.stall_seconds):
            seconds = format_seconds(self.enforcer.stall_seconds)
            self.run.view.event(f"actor {view.number} is at row {view.rows} of {view.unit} for {seconds}: it is ended")
            self.cluster.end_actor(view.number)
            self._lost(view.number)
            actions += self.scheduler.on_died(view.number)
        return actions

    def _end_for_want(self, reason: str) -> NoReturn:
        """Ends the run for want of disk or memory: open shards are given up, committed ones stay."""
        if self.governor.memory_level >= Level.PAUSE:
            reason = f"{reason} ({largest_in_words(_holders(self.governor.watchdog.verdict.memory))})"
        self.run.view.event(f"stopping, too little room: {reason}")
        self.cluster.stop(STOP_SECONDS)
        waited = format_seconds(self.enforcer.stalled_seconds)
        raise ResourceLimitError(
            f"{reason or 'no work could be admitted'} (no progress for {waited}); {self.run.stats.shards_in_words}",
            "make room, or raise --disk-budget or --ram-budget; then the same command goes on",
        )

    def _give_up(self) -> NoReturn:
        self.run.view.event("stopping: open shards are given up, committed ones stay")
        self.cluster.stop(STOP_SECONDS)
        raise InterruptedRunError(f"stopped: {self.run.stats.shards_in_words}", "the same command goes on from there")


def _holders(reading: MemoryReading | None) -> Iterable[psutil.Process]:
    """Who may hold the memory that is short: every process, or those of our cgroup where its limit is the one."""
    if reading is None or reading.limit_bytes >= psutil.virtual_memory().total:
        everyone: Iterable[psutil.Process] = psutil.process_iter()
        return everyone
    return same_group()

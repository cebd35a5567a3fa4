"""The run loop: scheduler, cluster, governor, stats and view brought together until every unit is committed."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import monotonic

from preprocess.cluster import ActorDied, ActorDone, ActorGaveUp, ActorReady, Cluster, Event, is_full_disk
from preprocess.crew import Crew
from preprocess.governor.control import Governor
from preprocess.job import PlannedJob
from preprocess.live import View
from preprocess.measures import STOP_SECONDS, Measures
from preprocess.progress import ActorState
from preprocess.schedule import Action, EndActor, ProbeRows, RunUnit, Scheduler, StartActor, Work
from preprocess.tally import RunStats
from preprocess.units import Unit
from preprocess.usage import Usage, read_usage
from preprocess.worker import UnitReport, UnitTask
from shared.errors import InterruptedRunError
from shared.stop_request import StopRequest

TICK_SECONDS = 0.25


@dataclass(slots=True)
class Runner:
    """Lets *cluster* make the open units of *job* under *governor*; everything shown goes through *view*."""

    job: PlannedJob
    cluster: Cluster
    scheduler: Scheduler
    governor: Governor
    measures: Measures
    crew: Crew
    stats: RunStats
    view: View
    stop: StopRequest
    now: Callable[[], float] = monotonic

    def run(self) -> None:
        """Returns when every unit is committed.

        Raises InterruptedRunError after a stop request, ResourceLimitError when disk or memory end the run, and
        whatever a worker or the cluster raised.
        """
        self.measures.moved()
        self._scan(read_usage(self.job.layout.root))
        self._enact(self.scheduler.start())
        while not self.scheduler.finished:
            for event in self.cluster.wait(TICK_SECONDS):
                self._enact(self._handle(event))
            if self.stop.requested:
                self._give_up()
            self._enact(self.measures.take())
            self._enact(self._resize())
            self._enact(self.scheduler.on_tick())
            self.show()

    def show(self) -> None:
        """One look at everything."""
        for actor, answer in self.cluster.progress().items():
            self.stats.observe(actor, answer.worker, answer.memory_bytes, answer.cpu_seconds)
        self.governor.watchdog.actor_pids = self.cluster.actor_pids
        usage = read_usage(self.job.layout.root)
        self._scan(usage)
        self.view.update(self.stats.snapshot(self.now(), usage, self.governor.disk_figures))

    def _scan(self, usage: Usage) -> None:
        unfinished = self.scheduler.unfinished
        self.governor.scanned(usage.disk_used_bytes, usage.disk_free_bytes, usage.disk_open_bytes, unfinished)

    def _resize(self) -> list[Action]:
        scheduler, memory = self.scheduler, self.governor.watchdog.verdict.memory
        load = self.stats.load(self.now(), scheduler.num_busy)
        wanted = self.crew.wanted(scheduler.num_actors, load, memory, self.governor.memory_level)
        if wanted == scheduler.num_actors:
            return []
        self.view.event(f"{wanted} actors from now on, {scheduler.num_actors} before")
        return scheduler.resize(wanted)

    def _handle(self, event: Event) -> list[Action]:
        match event:
            case ActorReady(actor):
                self.measures.moved()
                self.crew.recycling.started(actor)
                self.stats.set_state(actor, ActorState.IDLE, self.now())
                return self.scheduler.on_ready(actor)
            case ActorDone(actor, report):
                self.measures.moved()
                return self.scheduler.on_done(actor, recycle=report is not None and self._committed(actor, report))
            case ActorGaveUp(actor, error):
                return self._gave_up(actor, error)
            case ActorDied(actor, reason):
                self.view.event(f"actor {actor} died and is started again: {reason}")
                self.measures.lost(actor)
                return self.scheduler.on_died(actor)

    def _committed(self, actor: int, report: UnitReport) -> bool:
        """Settles and counts what *actor* made; True when a new actor should take its place."""
        layout, unit = self.job.layout, report.unit
        count = self.job.record.splits[unit.split].num_units
        files = (layout.shard(unit.split, unit.number, count), layout.quarantined(unit.split, unit.number, count))
        self.governor.admission.committed(unit, sum(path.stat().st_blocks * 512 for path in files if path.exists()))
        self.stats.commit(actor, report, self.now())
        why = self.crew.recycling.finished(actor, report.memory_bytes)
        if why and self.scheduler.waiting:
            self.view.event(f"actor {actor} is started anew: {why}")
            self.stats.governed.recycled += 1
        return bool(why)

    def _gave_up(self, actor: int, error: Exception) -> list[Action]:
        """The disk is full although there was room when the unit began, or the unit needs more than it had."""
        work = self.scheduler.work_of(actor)
        if isinstance(work, RunUnit):
            self.governor.admission.given_up(work.unit, outgrown_bytes=0 if is_full_disk(error) else work.max_bytes)
        self.stats.set_state(actor, ActorState.IDLE, self.now())
        if is_full_disk(error):
            self.governor.watchdog.no_space = True
            self.measures.end_for_want(f"a write failed: {error}")
        self.view.event(f"a shard needs more than was reserved and is made again: {error}")
        return self.scheduler.on_gave_up(actor)

    def _enact(self, actions: Iterable[Action]) -> None:
        for action in actions:
            match action:
                case StartActor(actor):
                    self.cluster.start_actor(actor)
                case EndActor(actor):
                    self.cluster.end_actor(actor)
                    self.stats.ended(actor)
                case RunUnit(_, unit, crashed_rows, max_bytes):
                    task = self.job.task_for(unit, crashed_rows, max_bytes, self.measures.batch_bytes)
                    self._assign(action, task, ActorState.WORKING)
                case ProbeRows(_, unit, start, stop, crashed_rows):
                    part = Unit(unit.split, unit.number, start, stop, stop - start)
                    self.view.event(f"looking for the row that kills its actor: rows {start} to {stop - 1}")
                    self._assign(action, self.job.task_for(part, crashed_rows), ActorState.BISECTING)

    def _assign(self, work: Work, task: UnitTask, state: ActorState) -> None:
        self.measures.moved()
        self.stats.set_state(work.actor, state, self.now(), task.name, task.unit.num_rows)
        self.cluster.run(work.actor, task, probe=isinstance(work, ProbeRows))

    def _give_up(self) -> None:
        self.view.event("stopping: open shards are given up, committed ones stay")
        self.cluster.stop(STOP_SECONDS)
        raise InterruptedRunError(f"stopped with {self.stats.shards_in_words}", "the same command goes on from there")

"""The run loop: scheduler, cluster, tally and view brought together until every unit is committed."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import monotonic

from preprocess.cluster import ActorDied, ActorDone, ActorReady, Cluster, Event
from preprocess.job import PlannedJob
from preprocess.live import View
from preprocess.progress import ActorState
from preprocess.schedule import Action, ProbeRows, RunUnit, Scheduler, StartActor, Work
from preprocess.stopping import StopRequest
from preprocess.tally import Tally
from preprocess.tasks import make_task
from preprocess.units import Unit
from preprocess.usage import read_usage
from preprocess.worker import UnitTask
from shared.errors import InterruptedRunError

TICK_SECONDS = 0.25
STOP_SECONDS = 5.0
"""Time that open units get to end by themselves after a stop request."""


@dataclass(slots=True)
class Runner:
    """Lets *cluster* make the open units of *job*; everything shown goes through *view*."""

    job: PlannedJob
    cluster: Cluster
    scheduler: Scheduler
    tally: Tally
    view: View
    stop: StopRequest
    now: Callable[[], float] = monotonic

    def run(self) -> None:
        """Returns when every unit is committed.

        Raises InterruptedRunError after a stop request, and whatever a worker or the cluster raised.
        """
        self._enact(self.scheduler.start())
        while not self.scheduler.finished:
            for event in self.cluster.wait(TICK_SECONDS):
                self._enact(self._handle(event))
            if self.stop.requested:
                self._give_up()
            self.show()

    def show(self) -> None:
        """One look at everything."""
        for actor, progress in self.cluster.progress().items():
            self.tally.observe(actor, progress.worker, progress.memory_bytes)
        self.view.update(self.tally.snapshot(self.now(), read_usage(self.job.layout.root)))

    def _handle(self, event: Event) -> list[Action]:
        match event:
            case ActorReady(actor):
                self.tally.set_state(actor, ActorState.IDLE, self.now())
                return self.scheduler.on_ready(actor)
            case ActorDone(actor, report):
                if report is not None:
                    self.tally.commit(actor, report, self.now())
                return self.scheduler.on_done(actor)
            case ActorDied(actor, reason):
                self.view.event(f"actor {actor} died and is started again: {reason}")
                self.tally.set_state(actor, ActorState.RESTARTING, self.now())
                return self.scheduler.on_died(actor)

    def _enact(self, actions: Iterable[Action]) -> None:
        for action in actions:
            match action:
                case StartActor(actor):
                    self.cluster.start_actor(actor)
                case RunUnit(actor, unit, crashed_rows):
                    self._assign(action, make_task(self.job, unit, crashed_rows), ActorState.WORKING)
                case ProbeRows(actor, unit, start, stop, crashed_rows):
                    part = Unit(unit.split, unit.number, start, stop, stop - start)
                    self.view.event(f"looking for the row that kills its actor: rows {start} to {stop - 1}")
                    self._assign(action, make_task(self.job, part, crashed_rows), ActorState.BISECTING)

    def _assign(self, work: Work, task: UnitTask, state: ActorState) -> None:
        self.tally.set_state(work.actor, state, self.now(), task.name, task.unit.num_rows)
        self.cluster.run(work.actor, task, probe=isinstance(work, ProbeRows))

    def _give_up(self) -> None:
        self.view.event("stopping: open shards are given up, committed ones stay")
        self.cluster.stop(STOP_SECONDS)
        done, total = self.tally.units_resumed + self.tally.units, self.tally.units_total
        message = f"stopped with {done} of {total} shards committed"
        raise InterruptedRunError(message, "the same command goes on from there")

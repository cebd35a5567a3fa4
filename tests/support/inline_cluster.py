"""Stands in for the cluster in tests of the run loop: one worker in this process, and actors that die when told to."""

from collections import deque
from time import monotonic

from preprocess.execution.ray_cluster import ActorDied, ActorDone, ActorGaveUp, ActorReady
from preprocess.features.worker import FeatureWorker, WorkerSettings
from shared.errors import ReservationOutgrownError


class InlineCluster:
    """Does in `wait` what it was given before, in order; the first *deaths* pieces of work kill their actors.

    *given* are all tasks so far. *look* is called with the open tasks before each piece of work, *assigned* with each
    task as it is given.
    """

    actor_pids = frozenset()
    memory_bytes = 0
    now = staticmethod(monotonic)

    def __init__(self, job, deaths=0, look=lambda _tasks: None):
        self.worker = FeatureWorker(WorkerSettings(job.layout.root, job.pipeline))
        self.deaths, self.look, self.assigned = deaths, look, lambda _task: None
        self.starting, self.work, self.given = deque(), deque(), []

    def start_actor(self, actor):
        self.starting.append(actor)

    def run(self, actor, task, *, probe=False):
        assert actor not in [other for other, _, _ in self.work], "an actor has one thing to do"
        self.given.append(task)
        self.assigned(task)
        self.work.append((actor, task, probe))

    def wait(self, _timeout_seconds):
        if self.starting:
            return [ActorReady(self.starting.popleft())]
        if not self.work:
            return []
        self.look([task for _, task, _ in self.work])
        return [self._result(*self.work.popleft())]

    def _result(self, actor, task, probe):
        if self.deaths:
            self.deaths -= 1
            return ActorDied(actor, "it was told to")
        try:
            return ActorDone(actor, self.worker.probe(task) if probe else self.worker.process(task))
        except ReservationOutgrownError as error:
            return ActorGaveUp(actor, error)

    def progress(self):
        return {}

    def end_actor(self, actor):
        assert actor not in [other for other, _, _ in self.work], "only an idle actor is ended"

    def give_memory_back(self):
        pass

    def stop(self, _timeout_seconds):
        self.work.clear()

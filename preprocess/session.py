"""The part of a run that needs actors: a governed cluster, started again when Ray's own processes die."""

import os
from dataclasses import dataclass
from pathlib import Path

import psutil

from preprocess.crew import make_crew, most_wanted
from preprocess.environment import set_environment
from preprocess.estimate import INDEX_SHARE
from preprocess.governor.admission import Admission
from preprocess.governor.budgets import Budgets
from preprocess.governor.control import Governor
from preprocess.governor.ledger import Ledger
from preprocess.governor.recycling import Recycling
from preprocess.governor.sensors import MemorySensor
from preprocess.job import PlannedJob
from preprocess.live import View
from preprocess.preparation import clear_partial
from preprocess.processes import belonging, store_mark
from preprocess.ray_folder import ray_folder
from preprocess.schedule import Scheduler
from preprocess.settings import RunSettings
from preprocess.starting import await_memory, check_ram_budget
from preprocess.tally import RunStats
from preprocess.worker import WorkerSettings
from shared.errors import InterruptedRunError, RayLostError
from shared.stop_request import StopRequest

CLUSTER_ATTEMPTS = 3
"""How often Ray is started in one run when its own processes die."""
SCRATCH_BYTES = 12_000_000
"""Ray's folder with its rotated logs."""
BALLAST = "ballast"
BALLAST_BYTES = 2 << 20
"""A file that is given up first when the disk is full, so that the run can end in order."""


@dataclass(frozen=True, slots=True)
class Session:
    """What commits the open units of *job*."""

    job: PlannedJob
    settings: RunSettings
    budgets: Budgets
    stats: RunStats
    view: View
    stop: StopRequest

    def commit_units(self) -> None:
        """Returns when no unit is open. Raises what ends the run; the store is whole in every case."""
        self.stats.disk_budget_bytes = self.budgets.disk_bytes
        for attempt in range(1, CLUSTER_ATTEMPTS + 1):
            if not self.job.open_units():
                return
            self.stop.check()
            try:
                self._run_cluster()
            except RayLostError as error:
                # A terminal's signal reaches Ray's own processes, too.
                self.stop.check()
                if attempt == CLUSTER_ATTEMPTS:
                    raise
                self.view.event(f"{error.message}; starting Ray again")
                clear_partial(self.job.layout)

    def _run_cluster(self) -> None:
        job, settings = self.job, self.settings
        mark = store_mark(job.layout.root, job.record.uuid)
        set_environment(mark, local_ray=settings.ray_address is None)
        from preprocess.cluster import Cluster  # noqa: PLC0415 - Ray costs a second that a finished store need not pay
        from preprocess.measures import Measures  # noqa: PLC0415 - as above
        from preprocess.runner import Runner  # noqa: PLC0415 - as above

        work = WorkerSettings(job.layout.root, job.pipeline, owner=f"{os.uname().nodename}-{os.getpid()}")
        check_ram_budget(settings.ram_budget, psutil.Process().memory_full_info().pss)
        await_memory(MemorySensor().read, self.view, self.stop, settings.stall_timeout)
        ballast = lay_ballast(job.layout.partial)
        stats, view = self.stats, self.view
        recycling = Recycling(settings.recycle_units, settings.recycle_growth)
        try:
            with (
                Cluster(work, mark, num_actors=most_wanted(settings.actors), address=settings.ray_address) as cluster,
                self._governor(mark) as governor,
            ):
                self.stop.install()
                crew, first = make_crew(settings.actors, recycling, governor.watchdog.verdict.memory)
                scheduler = Scheduler(job.open_units(), first, admit=governor.admit)
                measures = Measures(job.layout, cluster, scheduler, governor, stats, view, settings.stall_timeout)
                Runner(job, cluster, scheduler, governor, measures, crew, stats, view, self.stop).run()
        except SystemExit as error:
            # Ray's handler of SIGTERM, in place of ours from its start to `install`, ends the process.
            raise InterruptedRunError("stopped while Ray started", "the same command goes on") from error
        finally:
            ballast.unlink(missing_ok=True)

    def _governor(self, mark: str) -> Governor:
        job = self.job
        scratch = SCRATCH_BYTES + round(INDEX_SHARE * job.forecast_bytes)
        ledger = Ledger(self.budgets.disk_bytes, self.budgets.reserve_bytes, standing_bytes=scratch)
        rows = {plan.name: plan.record.forecast_bytes / max(1, plan.num_rows) for plan in job.plans}
        admission = Admission(ledger, job.pipeline.spec, job.pipeline.limits.max_seconds, rows)

        def processes() -> list[int]:
            return [os.getpid(), *(process.pid for process in belonging(mark, ray_folder(job.layout)))]

        return Governor(job.layout.root, self.budgets, admission, processes, job.held_bytes())


def lay_ballast(partial: Path) -> Path:
    """Makes the ballast file in *partial*; a disk without room for it gets none."""
    path = partial / BALLAST
    try:
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, BALLAST_BYTES)
    except OSError:
        path.unlink(missing_ok=True)
    return path

"""The part of a run that needs actors: a governed cluster, started again when Ray's own processes die."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import psutil

from preprocess.execution.context import RunContext
from preprocess.execution.enforcement import Enforcer
from preprocess.execution.scheduler import Scheduler
from preprocess.execution.start_gate import await_memory, check_ram_budget
from preprocess.features.worker import WorkerSettings
from preprocess.governor.admission import Admission
from preprocess.governor.autoscaling import make_crew, most_wanted
from preprocess.governor.budgets import Budgets
from preprocess.governor.governor import Governor
from preprocess.governor.ledger import Ledger
from preprocess.governor.recycling import Recycling
from preprocess.governor.sensors import MemorySensor
from preprocess.phases import Phase
from preprocess.planning.estimate import standing_bytes
from preprocess.planning.planned_job import PlannedJob
from preprocess.workspace.environment import set_environment, set_ray_environment
from preprocess.workspace.prepare import clear_partial
from preprocess.workspace.processes import belonging, store_mark
from preprocess.workspace.ray_folder import ray_folder
from shared.errors import InterruptedRunError, RayLostError

if TYPE_CHECKING:
    from preprocess.execution.run_loop import RunLoop

CLUSTER_ATTEMPTS = 3
"""How often Ray is started in one run when its own processes die."""
BALLAST = "ballast"
BALLAST_BYTES = 2 << 20
"""A file that is given up first when the disk is full, so that the run can end in order."""


def commit_units(run: RunContext, budgets: Budgets) -> None:
    """Returns when no unit is open. Raises what ends the run; the store is whole in every case."""
    run.stats.disk_budget_bytes = budgets.disk_bytes
    for attempt in range(1, CLUSTER_ATTEMPTS + 1):
        if not run.job.open_units():
            return
        run.stop.check()
        try:
            with _loop(run, budgets) as loop:
                loop.until_done()
        except Exception as error:
            # A terminal's signal reaches Ray's processes, the actors and what they started: what they say is its echo.
            run.stop.check()
            if attempt == CLUSTER_ATTEMPTS or not isinstance(error, RayLostError):
                raise
            run.view.event(f"{error.message}; starting Ray again")
            for removal in clear_partial(run.job.layout):
                if removal.error:
                    run.view.event(removal.in_words)


def import_ray_aside(*, local: bool) -> None:
    """Begins to import Ray in a thread, in the environment that a *local* cluster wants; `_loop` waits for the rest.

    Ray costs a second of a core. Whatever goes wrong with it goes wrong again, and is told, where it is needed.
    """
    set_ray_environment(local_ray=local)

    def bring() -> None:
        with suppress(Exception):
            import preprocess.execution.ray_cluster  # noqa: F401, PLC0415 - as above

    # No daemon: a command that ends meanwhile must not take the interpreter from under an import.
    Thread(target=bring, name="import ray").start()


@contextmanager
def _loop(run: RunContext, budgets: Budgets) -> Iterator["RunLoop"]:
    """Everything that commits units, put together around a cluster that ends with the block."""
    job, settings = run.job, run.settings
    mark = store_mark(job.layout.root, job.record.uuid)
    set_environment(mark, local_ray=settings.ray_address is None)
    from preprocess.execution.ray_cluster import Cluster  # noqa: PLC0415 - Ray costs a second that a finished store need not pay
    from preprocess.execution.run_loop import RunLoop  # noqa: PLC0415 - as above

    work = WorkerSettings(job.layout.root, job.pipeline)
    check_ram_budget(settings.ram_budget, psutil.Process().memory_full_info().pss)
    await_memory(MemorySensor().read, run.view, run.stop, settings.stall_timeout)
    ballast = _lay_ballast(job.layout.partial)
    recycling = Recycling(settings.recycle_units, settings.recycle_growth)
    try:
        run.view.phase(Phase.STARTING_RAY)
        with (
            Cluster(work, mark, num_actors=most_wanted(settings.actors), address=settings.ray_address) as cluster,
            _governor(job, budgets, mark) as governor,
        ):
            run.stop.install()
            run.view.phase(Phase.STARTING_ACTORS)
            crew, first = make_crew(settings.actors, recycling, governor.watchdog.verdict.memory)
            scheduler = Scheduler(
                job.open_units(), first, admit=lambda unit: None if job.has_to_wait(unit) else governor.admit(unit)
            )
            yield RunLoop(run, cluster, scheduler, governor, crew, Enforcer(settings.stall_timeout))
    except SystemExit as error:
        # Ray's handler of SIGTERM, in place of ours from its start to `install`, ends the process.
        raise InterruptedRunError("stopped while Ray started", "the same command goes on") from error
    finally:
        ballast.unlink(missing_ok=True)


def _governor(job: PlannedJob, budgets: Budgets, mark: str) -> Governor:
    ledger = Ledger(budgets.disk_bytes, budgets.reserve_bytes, standing_bytes(job.forecast_bytes))
    rows = {plan.name: plan.record.forecast_bytes / max(1, plan.num_pieces) for plan in job.plans}
    admission = Admission(ledger, job.pipeline.spec, job.pipeline.limits.max_seconds, rows)

    def processes() -> list[int]:
        return [os.getpid(), *(process.pid for process in belonging(mark, ray_folder(job.layout)))]

    return Governor(job.layout.root, budgets, admission, processes, job.held_bytes())


def _lay_ballast(partial: Path) -> Path:
    """Makes the ballast file in *partial*; a disk without room for it gets none."""
    path = partial / BALLAST
    try:
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, BALLAST_BYTES)
    except OSError:
        path.unlink(missing_ok=True)
    return path

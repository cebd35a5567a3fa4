"""The run loop with its real scheduler, governor and worker, and a cluster that works in this process."""

from collections import deque
from dataclasses import replace
from io import StringIO

import pytest

from preprocess.execution.context import RunContext
from preprocess.execution.enforcement import Enforcer
from preprocess.execution.run_loop import RunLoop
from preprocess.execution.run_stats import RunStats
from preprocess.execution.scheduler import Scheduler
from preprocess.governor.admission import Admission, worst_case_bytes
from preprocess.governor.autoscaling import Crew
from preprocess.governor.budgets import Budgets
from preprocess.governor.governor import Governor
from preprocess.governor.ledger import Ledger
from preprocess.governor.recycling import Recycling
from preprocess.governor.sensors import MemorySensor
from preprocess.monitoring.views import make_view
from preprocess.planning.job import plan_job
from preprocess.settings import RunSettings
from preprocess.workspace.prepare import prepare_store
from shared.errors import RayLostError
from shared.system.owner_mark import own_mark
from shared.system.stop_request import StopRequest
from tests.support.inline_cluster import InlineCluster
from tests.support.samples import wav, write_source

pytestmark = pytest.mark.usefixtures("quick_plans")
ROWS = [(wav(1_600 + 160 * n, seed=n), f"{n}.wav", f"Satz {n}") for n in range(9)]
UNTOLD = (wav(), "untold.wav", "")
GB = 10**9


@pytest.fixture
def settings(tmp_path, demo_model):
    source = write_source(tmp_path / "source" / "train.parquet", [*ROWS, UNTOLD])
    return RunSettings(source=str(source.parent), model=str(demo_model), store=tmp_path / "store", limit=10)


@pytest.fixture
def job(settings):
    job = plan_job(settings)
    job.layout.root.mkdir()
    prepare_store(job.layout, job.record, "{}\n", "")
    return job


@pytest.fixture
def sensor(tmp_path):
    """A machine with plenty of memory."""
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text("MemTotal: 1000000 kB\nMemAvailable: 900000 kB\n")
    return MemorySensor(tmp_path / "proc", tmp_path)


@pytest.fixture
def run(job, settings, sensor):
    """Runs *job* with two actors, as `session` does; returns its counts."""

    def run_job(cluster, row_bytes=None, stats=None, said=None):
        ledger = Ledger(GB, 0)
        spec, seconds = job.pipeline.spec, job.pipeline.limits.max_seconds
        admission = Admission(ledger, spec, seconds, {} if row_bytes is None else {"train": row_bytes})
        stats = stats or RunStats.of(job, 0.0)
        view = make_view("plain", title="", stream=said or StringIO(), is_terminal=False)
        with Governor(job.layout.root, Budgets(GB, 0), admission, list, sensor=sensor) as governor:
            scheduler = Scheduler(job.open_units(), 2, admit=governor.admit)
            context = RunContext(job, settings, stats, view, StopRequest())
            # The inline cluster's look at the reservations.
            cluster.admission = admission
            RunLoop(
                context, cluster, scheduler, governor, Crew(Recycling(0, 0), 2), Enforcer(30.0), cluster.now
            ).until_done()
        return stats

    return run_job


def allocated(layout):
    files = [path for folder in (layout.data, layout.quarantine, layout.provenance) for path in folder.iterdir()]
    return sum(path.stat().st_blocks * 512 for path in files)


def test_a_unit_holds_its_reservation_until_its_shard_is_committed_and_no_longer(job, run):
    seen = []
    cluster = InlineCluster(job, look=lambda tasks: seen.append((tasks, list(cluster.admission.open_units))))
    stats = run(cluster)
    assert all({task.unit for task in tasks} == set(reserved) for tasks, reserved in seen)
    assert cluster.admission.ledger.reserved_bytes == 0
    assert job.open_units() == []
    assert (stats.rows, stats.quarantined) == (10, {"empty_transcript": 1})


def test_what_a_committed_unit_takes_is_counted_at_once(job, run):
    cluster = InlineCluster(job)
    found = []
    cluster.assigned = lambda _task: found.append((cluster.admission.ledger.used_bytes, allocated(job.layout)))
    run(cluster)
    # Folders and records count as well, and stay what they are.
    assert len({used - shards for used, shards in found}) == 1


def test_what_another_process_holds_among_the_unfinished_counts_as_used(job, run):
    """Nothing is reserved for it."""
    held = job.layout.partial / f"train-00000-of-00010.parquet.{replace(own_mark(), host='other').text}"
    held.write_bytes(bytes(1_000_000))
    cluster, found = InlineCluster(job), []
    cluster.assigned = lambda _task: found.append(cluster.admission.ledger.used_bytes)
    run(cluster)
    assert job.open_units() == []
    assert min(found) >= 1_000_000


def test_a_worker_is_told_how_much_it_may_write(job, run):
    cluster = InlineCluster(job)
    run(cluster)
    for task in cluster.given:
        assert task.max_bytes == worst_case_bytes(task.unit, job.pipeline.spec, 30.0)


def test_a_unit_that_outgrows_its_reservation_is_made_again_with_more(job, run, monkeypatch):
    monkeypatch.setattr("preprocess.governor.admission.FIXED_BYTES", 0)
    cluster = InlineCluster(job)
    stats = run(cluster, row_bytes=100.0)
    assert job.open_units() == []
    assert len(cluster.given) > len(job.plans[0].units)
    assert cluster.admission.ledger.reserved_bytes == 0
    assert stats.units == len(job.plans[0].units)


def test_an_actor_that_dies_gives_its_reservation_back_and_its_unit_is_made_by_another(job, run):
    cluster = InlineCluster(job, deaths=2)
    stats = run(cluster)
    assert job.open_units() == []
    assert stats.restarts == 2
    assert cluster.admission.ledger.reserved_bytes == 0


class Hanging(InlineCluster):
    """One row of the source never ends, whoever works on it; time goes by while nothing else happens."""

    def __init__(self, job, row_id):
        super().__init__(job)
        self.row_id, self.clock, self.ended = row_id, 0.0, []
        self.now = lambda: self.clock

    def wait(self, timeout_seconds):
        self.clock += 1.0
        hangs = [work for work in self.work if self._hangs(work[1])]
        if hangs and not self.starting:
            self.work.remove(hangs[0])
            found = super().wait(timeout_seconds)
            self.work.append(hangs[0])
            return found
        return super().wait(timeout_seconds)

    def _hangs(self, task):
        return task.unit.start <= self.row_id < task.unit.stop and self.row_id not in task.crashed_rows

    def end_actor(self, actor):
        self.ended += [actor for other, _, _ in self.work if other == actor]
        self.work = deque(work for work in self.work if work[0] != actor)


def test_a_row_that_hangs_is_found_and_quarantined_and_the_rest_is_written(job, run):
    cluster = Hanging(job, row_id=4)
    stats = run(cluster)
    assert job.open_units() == []
    assert stats.quarantined == {"crashed": 1, "empty_transcript": 1}
    assert cluster.ended
    assert cluster.clock < 30.0 * (len(cluster.ended) + 2)


def test_a_cluster_that_takes_a_lost_ones_place_is_at_work_as_the_first_was(job, run):
    stats, said = RunStats.of(job, 0.0), StringIO()
    lost = InlineCluster(job)

    def lose(_task):
        raise RayLostError("Ray is gone")

    lost.assigned = lose
    with pytest.raises(RayLostError):
        run(lost, stats=stats, said=said)
    run(InlineCluster(job), stats=stats, said=said)
    assert said.getvalue().count(" working\n") == 2

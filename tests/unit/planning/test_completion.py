"""The end of a run: indexes and COMPLETE, and figures that agree with the shards."""

from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from preprocess.execution.run_stats import RunStats
from preprocess.features.worker import FeatureWorker, WorkerSettings
from preprocess.planning.completion import finish, is_finished, quarantine_reasons, store_bytes
from preprocess.planning.job import plan_job
from preprocess.reporting.run_summary import split_summaries
from preprocess.settings import RunSettings
from preprocess.workspace.prepare import prepare_store
from shared.errors import StoreError, StoreMismatchError
from shared.layout import read_record
from shared.reading.verification import verify_store
from shared.store import open_split
from tests.support.samples import wav, write_source

pytestmark = pytest.mark.usefixtures("quick_plans")
ROWS = [(wav(1_600 + 160 * n, seed=n), f"{n}.wav", f"Satz {n}") for n in range(9)]
BAD = [(b"", "", "Satz"), (b"no sound" * 100, "", "Satz"), (b"no sound" * 100, "", "Satz")]


@pytest.fixture
def settings(tmp_path, demo_model):
    write_source(tmp_path / "source/train.parquet", [*ROWS, *BAD])
    write_source(tmp_path / "source/test.parquet", ROWS[:2])
    return RunSettings(source=str(tmp_path / "source"), model=str(demo_model), store=tmp_path / "store", actors=2)


@pytest.fixture
def job(settings):
    job = plan_job(settings)
    job.layout.root.mkdir()
    prepare_store(job.layout, job.record, "{}\n", "")
    return job


def commit(job, units):
    worker = FeatureWorker(WorkerSettings(job.layout.root, job.pipeline))
    for unit in units:
        worker.process(job.task_for(unit))


def test_a_finished_store_verifies_and_opens(job):
    commit(job, job.open_units())
    assert not is_finished(job)
    finish(job)
    assert is_finished(job)
    assert not [problem for check in verify_store(job.layout.root) for problem in check.problems]
    assert (len(open_split(job.layout.root, "train")), len(open_split(job.layout.root, "test"))) == (9, 2)


def test_the_summary_counts_rows_hours_and_reasons(job):
    commit(job, job.open_units())
    finish(job)
    train = next(split for split in split_summaries(job) if split.name == "train")
    assert train.rows_written == 9
    assert train.audio_seconds == pytest.approx(sum(1_600 + 160 * n for n in range(9)) / 16_000, abs=0.001)
    assert train.quarantined == {"empty_audio": 1, "undecodable": 2}
    assert quarantine_reasons(job.layout, "test") == {}


def test_the_stores_bytes_are_its_shards_and_indexes(job):
    commit(job, job.open_units())
    finish(job)
    files = [*job.layout.data.iterdir(), *job.layout.index.iterdir()]
    assert store_bytes(job) == sum(path.stat().st_size for path in files)


def test_an_open_unit_keeps_the_store_unfinished(job):
    commit(job, job.open_units()[:-1])
    with pytest.raises(StoreError, match=r"1 shard of .* missing"):
        finish(job)
    assert not is_finished(job)
    assert not job.layout.complete.exists()


def test_a_resumed_plan_is_the_same_and_has_only_the_open_units_to_do(job, settings):
    units = job.open_units()
    commit(job, units[:4])
    again = plan_job(settings)
    assert again.plans == job.plans
    assert again.record == job.record
    assert again.open_units() == units[4:]
    stats = RunStats.of(again, 0.0)
    assert (stats.units_resumed, stats.rows_resumed) == (4, sum(unit.num_rows for unit in units[:4]))


def test_one_split_can_be_prepared_after_another(job, settings):
    first = plan_job(settings.model_copy(update={"split": ("test",)}))
    commit(first, first.open_units())
    finish(first)
    assert len(open_split(job.layout.root, "test")) == 2
    with pytest.raises(StoreError, match=r"'train' .* is not complete: 0 of"):
        open_split(job.layout.root, "train")
    commit(job, job.open_units())
    finish(job)
    assert len(open_split(job.layout.root, "train")) == 9


def test_a_store_of_version_1_goes_on_in_version_1(settings):
    first = plan_job(settings)
    first.layout.root.mkdir()
    prepare_store(first.layout, replace(first.record, splits={}, format_version=1), "{}\n", "")
    job = plan_job(settings)
    prepare_store(job.layout, job.record, "{}\n", "")
    commit(job, job.open_units()[:4])
    again = plan_job(settings)
    assert (again.record, again.plans) == (job.record, job.plans)
    commit(again, again.open_units())
    finish(again)
    assert is_finished(plan_job(settings))
    assert read_record(job.layout).format_version == 1
    files = [path for folder in ("data", "quarantine", "index") for path in (job.layout.root / folder).iterdir()]
    assert not [path for path in files if "piece" in pq.read_schema(path).names]
    assert not [problem for check in verify_store(job.layout.root) for problem in check.problems]
    assert open_split(job.layout.root, "train").piece.tolist() == [0] * 9


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"max_duration": 3.0}, "max_duration was 30.0, now 3.0"),
        ({"limit": 2}, "limit was None, now 2"),
        ({"shard_size": 1_000}, "shard_size was 256000000, now 1000"),
        ({"feature_dtype": "uint8"}, "features was"),
        ({"language": "en"}, "language was de, now en"),
        ({"text_column": "source", "source_column": "transkription"}, "text_column was transkription, now source"),
    ],
)
@pytest.mark.usefixtures("quick_plans", "job")
def test_other_settings_are_refused_with_what_differs(settings, change, words):
    with pytest.raises(StoreMismatchError, match=words):
        plan_job(settings.model_copy(update=change))


@pytest.mark.usefixtures("quick_plans", "job")
def test_a_source_that_changed_is_refused(settings, tmp_path):
    write_source(tmp_path / "source/train.parquet", ROWS)
    with pytest.raises(StoreMismatchError, match="source_fingerprint was"):
        plan_job(settings)

"""`python -m preprocess.plan`: what it promises is what a run then makes, and it writes nothing."""

import io
import json

import numpy as np
import pytest
import soundfile

import preprocess.planning.job
from preprocess.features.long_clips import all_long_clips
from preprocess.features.worker import FeatureWorker, WorkerSettings
from preprocess.inspection.screen import render_store
from preprocess.inspection.store import store_facts
from preprocess.plan import main
from preprocess.planning.completion import finish, store_bytes
from preprocess.planning.cost import Cost, CostMeter
from preprocess.planning.estimate import estimate, run_seconds
from preprocess.planning.job import plan_job, resample
from preprocess.planning.sample import sample_rows
from preprocess.reporting.store_facts import report_facts
from preprocess.settings import RunSettings
from preprocess.workspace.prepare import prepare_store
from shared.command.cli import parse_settings, python_command, run_command
from shared.errors import ExitCode
from shared.store import open_split
from tests.support.samples import wav, write_source


@pytest.fixture(autouse=True)
def _own_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def options(tmp_path, demo_corpus, demo_model, monkeypatch):
    """Of a data set so small that it would be one shard a split: here it is many."""
    monkeypatch.setattr(preprocess.planning.job, "LEAST_SHARD_BYTES", 1)
    return ["--source", str(demo_corpus), "--store", str(tmp_path / "store"), "--model", str(demo_model)]


@pytest.fixture
def planned(capsys):
    """The plan of a command line, as JSON."""

    def plan(*words):
        capsys.readouterr()
        assert run_command(main, [*words, "--json"]) == ExitCode.DONE
        return json.loads(capsys.readouterr().out)

    return plan


def commit(settings, units=None):
    """Makes the shards of the first *units* open units (or all, and finishes) as a run does, without Ray."""
    with pytest.MonkeyPatch.context() as patch:
        # As tests/unit/test_sampling.py shows, another process takes the same.
        patch.setattr(preprocess.planning.job, "sample_apart", sample_rows)
        job = plan_job(settings)
    job.layout.root.mkdir(exist_ok=True)
    prepare_store(job.layout, job.record, "{}\n", "")
    worker = FeatureWorker(WorkerSettings(job.layout.root, job.pipeline))
    for unit in job.open_units()[:units]:
        worker.process(job.task_for(unit))
    if units is None:
        finish(job)
    return job


def settings_of(options, **more):
    names = [name.removeprefix("--") for name in options[::2]]
    return RunSettings(**dict(zip(names, options[1::2], strict=True)) | more)


def encoded(kind, rng):
    """A clip of skewed length (0.05 s to 5 s, most of them short) in container *kind*."""
    container, subtype, rate = kind
    count = int(rate * np.clip(rng.lognormal(-1.6, 0.8), 0.05, 5))
    tone = 0.2 * np.sin(np.arange(count) * rng.uniform(0.02, 0.2)) + rng.normal(0, 0.01, count)
    buffer = io.BytesIO()
    soundfile.write(buffer, tone.astype(np.float32), rate, format=container, subtype=subtype)
    return buffer.getvalue()


KINDS = [("WAV", "PCM_16", 16_000), ("FLAC", "PCM_16", 16_000), ("MP3", "MPEG_LAYER_III", 44_100)]


@pytest.fixture(scope="module")
def skewed_rows():
    """1,400 rows, their codecs mixed, by the name of the clip."""
    rng = np.random.default_rng(1)
    kinds = [KINDS[kind] for kind in rng.integers(0, len(KINDS), 1_400)]
    return [(encoded(kind, rng), f"{n}.{kind[0]}", f"Satz {n}") for n, kind in enumerate(kinds)]


def forecast_and_outcome(tmp_path, demo_model, rows):
    source = write_source(tmp_path / "source" / "train.parquet", rows, row_group_size=60)
    settings = RunSettings(source=str(source.parent), store=tmp_path / "store", model=str(demo_model))
    forecast = plan_job(settings).forecasts["train"]
    return forecast, store_bytes(commit(settings))


def test_bytes_of_skewed_lengths_in_several_codecs_lie_in_the_interval_that_is_stated(
    tmp_path, demo_model, skewed_rows
):
    forecast, made = forecast_and_outcome(tmp_path, demo_model, skewed_rows)
    assert forecast.sampled_rows == 1_000, "200 rows are not sure enough of mixed codecs"
    assert abs(forecast.store_bytes - made) <= forecast.error_bytes < 0.06 * made


def test_bytes_of_skewed_lengths_in_one_codec_are_forecast_within_two_percent(tmp_path, demo_model):
    rng = np.random.default_rng(2)
    rows = [(encoded(KINDS[0], rng), f"{n}.wav", f"Satz {n}") for n in range(1_400)]
    forecast, made = forecast_and_outcome(tmp_path, demo_model, rows)
    assert forecast.sampled_rows == 200, "they tell as much as a thousand, where the size of a clip is its length"
    assert forecast.store_bytes == pytest.approx(made, rel=0.02)
    assert forecast.error_bytes < 0.02 * made


@pytest.mark.parametrize("dtype", ["float16", "uint8"])
def test_the_forecast_of_a_small_source_is_its_store_in_either_dtype(planned, options, dtype):
    plan = planned(*options)
    made = store_bytes(commit(settings_of(options, feature_dtype=dtype)))
    assert plan[f"store_bytes_{dtype}"] == pytest.approx(made, rel=0.003)


def test_audio_rows_and_quarantine_of_a_small_source_are_those_of_its_store(planned, options, tmp_path):
    plan = planned(*options)
    commit(settings_of(options))
    complete = json.loads((tmp_path / "store" / "COMPLETE").read_text())["splits"]
    for split in plan["splits"]:
        made = complete[split["name"]]
        assert split["rows"] == made["rows"] + made["quarantined"]
        assert split["shards"] == made["shards"]
        assert split["audio_seconds"] == pytest.approx(made["audio_seconds"], rel=1e-3)
        assert sum(split["quarantine_reasons"].values()) == made["quarantined"]


def test_planning_writes_nothing(planned, options, tmp_path):
    planned(*options)
    assert list(tmp_path.iterdir()) == []


def test_a_plan_shows_everything_on_one_screen(options, capsys):
    assert run_command(main, options) == ExitCode.DONE
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines[: lines.index(next(line for line in lines if line.startswith("Next:")))])) <= 80
    text = "\n".join(lines)
    for word in ("train", "test", "too_long", "as float16", "as uint8", "scratch", "free on", "5 actors on", "sample"):
        assert word in text


def test_the_command_to_start_is_the_run_that_was_planned(planned, options):
    command = planned(*options, "--actors", "3")["command"]
    assert command == [python_command(), "-m", "preprocess.run", *options, "--actors", "3"]


def test_a_plan_for_a_store_that_was_begun_tells_what_is_left(planned, options, capsys):
    before = planned(*options)
    commit(settings_of(options), units=5)
    plan = planned(*options)
    assert sum(split["shards_committed"] for split in plan["splits"]) == 5
    assert plan["store_bytes"] == before["store_bytes"]
    assert 0 < plan["missing_bytes"] < before["missing_bytes"]
    assert plan["seconds"] > 0
    run_command(main, options)
    shards = sum(split["shards"] for split in plan["splits"])
    assert f"5 of {shards} shards committed, {shards - 5} left" in capsys.readouterr().out


def test_a_plan_for_a_finished_store_has_nothing_left_to_do(planned, options, capsys):
    commit(settings_of(options))
    plan = planned(*options)
    assert (plan["missing_bytes"], plan["needed_bytes"], plan["seconds"], plan["sampled_rows"]) == (0, 0, 0.0, 0)
    run_command(main, options)
    assert "nothing is left to do" in capsys.readouterr().out


def test_a_store_that_cannot_fit_is_refused_with_the_figures_and_a_remedy(options, capsys):
    # Nothing is ever free on /proc.
    options[options.index("--store") + 1] = "/proc/store"
    assert run_command(main, [*options, "--json"]) == ExitCode.RESOURCE_LIMIT
    found = capsys.readouterr()
    assert json.loads(found.out)["fits"] is False
    assert "are needed, 0 B are free" in found.err
    assert "name a larger disk with --store" in found.err
    assert "uint8" not in found.err, "half would not fit either"


def test_a_wrong_column_ends_with_the_remedy(tmp_path, demo_model, capsys):
    source = write_source(tmp_path / "source" / "train.parquet", [(wav(), "a.wav", "Satz")])
    words = ["--source", str(source), "--model", str(demo_model), "--text-column", "sentence"]
    assert run_command(main, words) == ExitCode.USAGE
    assert "pass --text-column transkription" in capsys.readouterr().err


def test_a_large_source_is_planned_from_its_footers_and_a_sample(planned, tmp_path, demo_model):
    rows = [(wav(160), f"{n}.wav", "Satz") for n in range(500)]
    first = write_source(tmp_path / "source" / "train-00000-of-00012.parquet", rows, row_group_size=50)
    for number in range(1, 12):
        first.with_name(f"train-{number:05d}-of-00012.parquet").write_bytes(first.read_bytes())
    plan = planned("--source", str(first.parent), "--store", "store", "--model", str(demo_model))
    assert plan["splits"][0]["rows"] == 6_000
    assert plan["sampled_rows"] == 200
    assert plan["audio_seconds"] == pytest.approx(6_000 * 0.01)


def test_actors_beyond_the_cores_do_not_shorten_the_work_on_a_core():
    work = Cost(cpu_seconds=10_000)
    assert run_seconds(work, 1_000, 0, 8, 4) > 0.98 * run_seconds(work, 1_000, 0, 4, 4)
    assert run_seconds(work, 1_000, 0, 4, 4) < 0.3 * run_seconds(work, 1_000, 0, 1, 4)


def test_actors_beyond_the_cores_wait_for_a_slow_source_together():
    work = Cost(cpu_seconds=100, wait_seconds=10_000)
    assert run_seconds(work, 1_000, 0, 8, 4) < 0.6 * run_seconds(work, 1_000, 0, 4, 4)


def test_without_open_units_a_run_takes_no_time():
    assert run_seconds(Cost(), 0, 0, 0, 4) == 0


def test_sleeping_is_waiting_and_counting_is_not():
    import time  # noqa: PLC0415 - only here

    with CostMeter() as sleeping:
        time.sleep(0.05)
    with CostMeter() as counting:
        sum(range(300_000))
    assert sleeping.total.wait_seconds > sleeping.total.cpu_seconds
    assert counting.total.cpu_seconds > counting.total.wait_seconds


def test_splits_that_the_store_knows_are_sampled_again_only_while_shards_are_missing(options):
    settings = settings_of(options)
    commit(settings, units=3)
    known = plan_job(settings)
    assert set(known.forecasts.values()) == {None}
    again = resample(known, settings)
    assert None not in again.forecasts.values()
    assert again.record == known.record
    assert estimate(known, settings).seconds is None
    assert estimate(again, settings).seconds > 0


LONG = [((wav(16_000 * seconds), f"{seconds}.wav", "Satz")) for seconds in (1, 31, 61)]


@pytest.mark.parametrize(
    ("words", "counts", "frames"),
    [
        ((), (0, 2), [102]),
        (("--long-audio", "keep"), (1, 1), [102, 3_100]),
        (("--long-audio", "keep", "--max-duration", "70"), (2, 0), [102, 3_100, 6_100]),
        (("--max-duration", "40"), (1, 1), [102, 3_100]),
    ],
)
def test_long_clips_are_counted_in_the_plan_and_in_the_store_whatever_becomes_of_them(
    tmp_path, demo_model, planned, *, words, counts, frames
):
    write_source(tmp_path / "source/train.parquet", LONG)
    named = ["--source", str(tmp_path / "source"), "--store", str(tmp_path / "s"), "--model", str(demo_model), *words]
    long = planned(*named)["splits"][0]["long"]
    assert (long["kept"], long["left_out"]) == counts
    assert long["kept_seconds"] + long["left_out_seconds"] == pytest.approx(92.0)
    job = commit(parse_settings(RunSettings, named, prog="", about=""))
    found = all_long_clips(job.layout, job.record.splits.items())
    assert (found.kept, found.left_out) == counts
    assert open_split(job.layout.root, "train").num_frames.tolist() == frames
    assert report_facts(job.layout).long == found
    assert render_store(store_facts(job.layout.root, None, None)[0])

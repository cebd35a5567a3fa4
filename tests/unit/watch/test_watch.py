"""A training as it is seen from outside: what it was told is what it answers."""

import math
import sys
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from shared.command.settings import PageSettings
from shared.errors import UsageError
from shared.system.status_pages import Pages, Request
from trainer.telemetry.health import HealthWarning, Trouble
from trainer.telemetry.records import CheckpointRecord, EvaluationRecord, Phase, StepRecord, WordErrors
from trainer.watch import watch as watch_module
from trainer.watch.curves import MOST_POINTS, Curves
from trainer.watch.metrics import METRIC_NAMES
from trainer.watch.moment import RunFacts
from trainer.watch.watch import SILENT_SECONDS, Watch, new_facts, watched

FACTS = RunFacts("run1", "openai/whisper-tiny", "/data/store", "/data/out", 1_000.0)
RECORD = StepRecord(
    step=25,
    loss=0.5,
    learning_rate=1e-5,
    grad_norm=1.25,
    loss_scale=1_024.0,
    seconds_per_step=2.0,
    samples_per_second=24.0,
    audio_seconds_per_second=100.0,
    data_wait_share=0.01,
    padding_waste=0.03,
    skipped_steps=2,
)
GPU = replace(RECORD, mfu=0.4, vram_bytes=12_000_000_000, gpu_utilisation=0.97)
EVALUATION = EvaluationRecord(50, 512, "window", {"raw": WordErrors(0.127, 0.05, 900)}, {}, 33.0)
WARNING = HealthWarning(Trouble.DATA_WAIT, "training waits", "raise --loader-threads")


class Time:
    def __init__(self):
        self.now = 1_000.0

    def __call__(self):
        return self.now


def watching(*, begun=True):
    watch = Watch(FACTS, Time())
    watch.vitals.now = watch.now
    if begun:
        watch.begin(10, 100, (0.2, 10), {})
    return watch


def at(watch, second, tell):
    watch.now.now = 1_000.0 + second
    tell(watch)


def values(watch):
    families = text_string_to_metric_families(watch.metrics().decode())
    return {
        (sample.name.removeprefix("speech_trainer_"), *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


def health(watch):
    pages = Pages(watch.metrics, watch.page, watch.vitals)
    return [pages.answer(Request(path, ("localhost",), "127.0.0.1"))[0] for path in ("/healthz", "/readyz")]


def test_every_series_is_there_before_anything_happened_under_its_name():
    families = list(text_string_to_metric_families(watching(begun=False).metrics().decode()))
    assert {sample.name for family in families for sample in family.samples} == METRIC_NAMES
    assert all(family.name.startswith("speech_trainer_") and family.documentation for family in families)
    counters = {sample.name for family in families for sample in family.samples if family.type == "counter"}
    assert all(name.endswith("_total") for name in counters)


def test_what_is_not_known_is_no_number_and_nothing_less():
    found = values(watching(begun=False))
    for name in ("loss", "mfu_ratio", "vram_bytes", "eta_timestamp_seconds", "best_wer_ratio"):
        assert math.isnan(found[name,]), name
    assert math.isnan(found["wer_ratio", "raw", "window"])
    assert found["last_step_timestamp_seconds",] == found["checkpoint_timestamp_seconds",] == 1_000


def test_every_step_moves_the_step_its_time_and_the_end():
    watch = watching()
    at(watch, 5, lambda w: w.progress(11))
    at(watch, 7, lambda w: w.progress(12))
    found = values(watch)
    assert (found["step",], found["steps_total",], found["steps_planned",]) == (12, 2, 100)
    assert found["last_step_timestamp_seconds",] == 1_007
    assert found["eta_timestamp_seconds",] == 1_007 + 88 * 2


def test_records_are_gauges_and_add_up_to_counts():
    watch = watching()
    watch.step(GPU)
    watch.step(replace(GPU, step=50, skipped_steps=1, loss=math.nan))
    found = values(watch)
    assert math.isnan(found["loss",])
    assert (found["learning_rate",], found["mfu_ratio",], found["gpu_utilisation_ratio",]) == (1e-5, 0.4, 0.97)
    assert (found["loss_scale",], found["vram_bytes",], found["data_wait_ratio",]) == (1_024, 12e9, 0.01)
    # 40 steps of 2 s, after the 10 that were there
    assert (found["skipped_steps_total",], found["samples_total",]) == (3, 24 * 2 * 40)
    assert found["audio_seconds_total",] == 100 * 2 * 40


def test_evaluations_checkpoints_and_trouble_are_told():
    watch = watching()
    watch.found(CheckpointRecord(10, 7, 900.0))
    assert values(watch)["checkpoint_timestamp_seconds",] == 900
    watch.evaluated(EVALUATION, best=True)
    watch.saved(CheckpointRecord(50, 9_000, 1_100.0, 3.0))
    watch.save_failed("no room")
    watch.warn(WARNING)
    found = values(watch)
    assert (found["wer_ratio", "raw", "window"], found["best_wer_ratio",], found["best_step",]) == (0.127, 0.127, 50)
    assert math.isnan(found["wer_ratio", "raw", "own"])
    assert [found[f"checkpoint_{name}",] for name in ("timestamp_seconds", "bytes", "step")] == [1_100, 9_000, 50]
    assert (found["checkpoints_total",], found["checkpoint_failures_total",]) == (1, 1)
    assert found["warnings_total", "data wait"] == 1


def test_an_evaluation_that_is_not_better_leaves_the_best():
    watch = watching()
    watch.evaluated(EVALUATION, best=False)
    assert (values(watch)["best_wer_ratio",], values(watch)["best_step",]) == (0.2, 10)


def test_one_phase_is_told_at_a_time_and_the_end_is_completion():
    watch = watching()
    for phase in Phase:
        watch.phase(phase)
        found = values(watch)
        assert [name for name in Phase if found["phase", name]] == [phase]
        assert found["complete",] == (phase is Phase.DONE)


def test_it_is_ready_with_its_first_step_and_not_alive_once_steps_stay_away():
    watch = watching()
    at(watch, 10_000, lambda _watch: None)
    assert health(watch) == [HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE]
    watch.progress(11)
    assert health(watch) == [HTTPStatus.OK, HTTPStatus.OK]
    at(watch, 10_000 + SILENT_SECONDS + 1, lambda _watch: None)
    assert health(watch) == [HTTPStatus.SERVICE_UNAVAILABLE] * 2
    watch.phase(Phase.EVALUATING, 3, 10)
    assert health(watch) == [HTTPStatus.OK, HTTPStatus.OK]


@pytest.mark.parametrize("phase", [Phase.LOADING, Phase.SAVING, Phase.UPLOADING, Phase.DONE])
def test_what_has_no_beats_may_take_its_time(phase):
    watch = watching()
    watch.progress(11)
    watch.phase(phase)
    at(watch, 1e6, lambda _watch: None)
    assert health(watch)[0] is HTTPStatus.OK


def test_curves_go_on_where_earlier_runs_left_them_and_stay_few():
    curves = Curves()
    curves.go_on(
        {
            "steps": [{"step": 25, "loss": 0.9, "mfu": None}, {"step": 50, "loss": None}],
            "evaluations": [{"step": 50, "overall": {"raw": {"wer": 0.4}}}],
        }
    )
    curves.step(replace(RECORD, step=75))
    assert [step for step, _ in curves.points["loss"]] == [25, 50, 75]
    assert math.isnan(curves.points["loss"][1][1])
    assert curves.points["wer"] == [(50, 0.4)]
    for step in range(100, 100_000, 25):
        curves.step(replace(RECORD, step=step))
    steps = [step for step, _ in curves.points["loss"]]
    assert len(steps) <= MOST_POINTS
    assert (steps[0], steps[-1]) == (25, 99_975)
    assert steps == sorted(steps)


def settings(**given):
    return PageSettings(_env_file=None, metrics_port=0, **given)


def test_pages_are_served_inside_the_block_and_as_long_after_it_as_was_asked_for(monkeypatch, tmp_path):
    said, seen = [], []
    monkeypatch.setattr(watch_module.time, "sleep", lambda _seconds: seen.append(urlopen(url).status))
    given = settings(metrics_linger=3_600.0, metrics_file=tmp_path / "run.prom")
    with watched(given, new_facts("m", "s", Path("o")), said.append, lambda: bool(seen)) as watch:
        url = said[0].rpartition(" ")[2]
        assert url.startswith("http://127.0.0.1:")
        watch.phase(Phase.DONE)
        assert b"speech_trainer_complete 1.0" in urlopen(f"{url}metrics").read()
    assert seen == [200]
    assert "speech_trainer_complete 1.0" in (tmp_path / "run.prom").read_text()


def test_without_metrics_nothing_is_served_and_nobody_waits():
    said = []
    given = settings(metrics=False, metrics_linger=3_600.0)
    with watched(given, FACTS, said.append, lambda: False):
        pass
    assert said == []


def test_a_training_that_fails_does_not_linger():
    with (
        pytest.raises(ZeroDivisionError),
        watched(settings(metrics_linger=3_600.0), FACTS, lambda _: None, lambda: False),
    ):
        raise ZeroDivisionError


def test_without_the_client_library_a_training_is_watched_by_its_page(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    said = []
    with watched(settings(), FACTS, said.append, lambda: False):
        url = said[1].rpartition(" ")[2]
        assert b"whisper-tiny" in urlopen(url).read()
    assert said[0] == "no /metrics: prometheus_client is not installed; pip install prometheus-client, for metrics"
    with (
        pytest.raises(UsageError, match="pip install"),
        watched(settings(metrics_file=tmp_path / "a"), FACTS, said.append, lambda: False),
    ):
        pass


def test_a_metrics_file_that_cannot_be_written_is_named_before_anything_is_trained(tmp_path):
    given = settings(metrics=False, metrics_file=tmp_path / "gone" / "run.prom")
    with pytest.raises(UsageError, match=r"--metrics-file .*gone"), watched(given, FACTS, print, lambda: False):
        pytest.fail("it began")


def test_a_metrics_file_that_cannot_be_written_any_more_ends_no_training(tmp_path):
    said, folder = [], tmp_path / "folder"
    folder.mkdir()
    given = settings(metrics=False, metrics_file=folder / "run.prom")
    with watched(given, FACTS, said.append, lambda: False):
        (folder / "run.prom").unlink()
        folder.rmdir()
    assert said[0].startswith("no metrics file: ")


def test_a_history_without_rates_is_gone_on_with():
    curves = Curves()
    curves.go_on({"steps": [{"step": 1}], "evaluations": [{"step": 1}, {"step": 2, "overall": None}]})
    assert [math.isnan(value) for points in curves.points.values() for _, value in points] == [True] * 11

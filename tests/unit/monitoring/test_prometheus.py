"""A snapshot as Prometheus sees it."""

import math
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from preprocess.monitoring.prometheus import METRIC_NAMES, RunFacts, RunMetrics
from preprocess.monitoring.snapshot import ActorState, ActorView, Snapshot
from shared.schema import QuarantineReason

FACTS = RunFacts("run-1", '/data/my "store"\n', "flozi00/asr-german-mixed@abc", "digest", 1_000.0, 16_000)
SNAPSHOT = Snapshot(
    elapsed_seconds=60.0,
    rows_total=1_000,
    rows_done=500,
    rows_resumed=100,
    units_total=20,
    units_done=9,
    units_resumed=2,
    units_open=5,
    eta_seconds=90.0,
    rows_written=300,
    quarantined={"too_long": 4},
    rows_cancelled=6,
    committed_audio_seconds=1_200.5,
    written_bytes=7_000,
    stage_seconds={"decode": 3.5},
    actor_restarts=2,
    actors_recycled=1,
    disk_used_bytes=900,
    disk_open_bytes=200,
    disk_budget_bytes=5_000,
    disk_level="pause",
    level="pause",
    level_seconds={"normal": 50.0, "pause": 6.0, "emergency": 4.0},
    level_rises={"throttle": 3, "pause": 2, "emergency": 1},
    removed={"file": 3},
    removed_bytes={"file": 12_000},
    psi_percent=25.0,
    last_commit_seconds=55.0,
    actors=(ActorView(0, ActorState.WORKING, memory_bytes=99), ActorView(1, ActorState.IDLE)),
)


@pytest.fixture
def metrics():
    metrics = RunMetrics()
    metrics.facts = FACTS
    metrics.snapshot = SNAPSHOT
    return metrics


def samples(metrics):
    """Values by name and labels, as Prometheus would store them."""
    families = text_string_to_metric_families(metrics.text().decode())
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value for family in families for sample in family.samples
    }


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("samples_total", {"outcome": "written"}, 300),
        ("samples_total", {"outcome": "quarantined"}, 4),
        ("quarantined_total", {"reason": "too_long"}, 4),
        ("cancelled_total", {}, 6),
        ("audio_seconds_total", {}, 1_200.5),
        ("shards_total", {}, 7),
        ("written_bytes_total", {}, 7_000),
        ("stage_seconds_total", {"stage": "decode"}, 3.5),
        ("units", {"state": "planned"}, 20),
        ("units", {"state": "committed"}, 9),
        ("units", {"state": "open"}, 5),
        ("units", {"state": "waiting"}, 6),
        ("progress_ratio", {}, 0.5),
        ("rows_resumed", {}, 100),
        ("eta_timestamp_seconds", {}, 1_150),
        ("last_commit_timestamp_seconds", {}, 1_055),
        ("start_timestamp_seconds", {}, 1_000),
        ("actors", {"state": "working"}, 1),
        ("actors", {"state": "idle"}, 1),
        ("actor_restarts_total", {}, 2),
        ("actor_recycles_total", {}, 1),
        ("actor_memory_bytes", {"actor": "0"}, 99),
        ("disk_used_bytes", {"mount": FACTS.store, "area": "store"}, 700),
        ("disk_used_bytes", {"mount": FACTS.store, "area": "open"}, 200),
        ("disk_budget_bytes", {"mount": FACTS.store}, 5_000),
        ("ram_budget_bytes", {}, 16_000),
        ("memory_pressure_ratio", {}, 0.25),
        ("level", {"resource": "disk", "level": "pause"}, 1),
        ("level", {"resource": "disk", "level": "normal"}, 0),
        ("level", {"resource": "memory", "level": "normal"}, 1),
        ("pauses_total", {}, 3),
        ("paused_seconds_total", {}, 10),
        ("cleanups_total", {"kind": "file"}, 3),
        ("reclaimed_bytes_total", {"kind": "file"}, 12_000),
        ("complete", {}, 0),
    ],
)
def test_every_figure_is_told_in_base_units(metrics, name, labels, value):
    assert samples(metrics)[f"speech_prep_{name}", *sorted(labels.items())] == value


def test_every_series_exists_with_zero_before_anything_happened():
    found = samples(RunMetrics())
    for reason in QuarantineReason:
        assert found["speech_prep_quarantined_total", ("reason", reason)] == 0
    assert found["speech_prep_cleanups_total", ("kind", "folder")] == 0
    assert found["speech_prep_progress_ratio",] == 0
    assert math.isnan(found["speech_prep_eta_timestamp_seconds",])


def test_names_follow_the_conventions(metrics):
    families = list(text_string_to_metric_families(metrics.text().decode()))
    assert all(family.name.startswith("speech_prep_") and family.documentation for family in families)
    counters = {sample.name for family in families for sample in family.samples if family.type == "counter"}
    assert all(name.endswith("_total") for name in counters)
    assert {sample.name for family in families for sample in family.samples} == METRIC_NAMES


def test_what_is_said_of_the_run_is_escaped_and_survives(metrics):
    labels = dict(next(key for key in samples(metrics) if key[0] == "speech_prep_run_info")[1:])
    assert labels == {"run_id": "run-1", "store": FACTS.store, "source": FACTS.source, "plan_digest": "digest"}


def test_counters_never_fall_when_an_open_unit_is_lost(metrics):
    before = samples(metrics)
    metrics.snapshot = replace(SNAPSHOT, rows_done=450, units_open=4)
    after = samples(metrics)
    assert all(after[key] >= value for key, value in before.items() if key[0].endswith("_total"))


def test_a_file_for_node_exporter_is_put_in_place_whole(metrics, tmp_path):
    metrics.complete = True
    metrics.write(tmp_path / "run.prom")
    assert "speech_prep_complete 1.0" in (tmp_path / "run.prom").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["run.prom"]

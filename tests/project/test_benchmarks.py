"""`tests/benchmarks/`: at a small size, what is compared is the same work and the figures agree with each other."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLIPS, REPEAT = 12, 2
ARGUMENTS = {
    "stages": ["--clips", "2", "--rounds", "1"],
    "pipeline": [
        *("--clips", str(CLIPS), "--repeat", str(REPEAT), "--rounds", "1"),
        *("--variant", "48 kHz MP3", "--actors", "1"),
    ],
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs a benchmark as a person would; its figures and the Markdown beside them, '' where there is none."""

    def benchmark(name):
        file = tmp_path_factory.mktemp(name) / "figures.json"
        command = [sys.executable, f"tests/benchmarks/{name}.py", *ARGUMENTS[name], "--json", str(file)]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, timeout=600)
        table = file.with_suffix(".md")
        return json.loads(file.read_text()), table.read_text() if table.exists() else ""

    return benchmark


def test_each_stage_is_compared_with_peers_and_log_mel_has_the_same_features(run):
    figures, _ = run("stages")
    assert figures["max_abs_error"] <= 1e-4
    assert {"ours, float32", "asrfront", "WhisperFeatureExtractor"} <= figures["milliseconds"]["log-mel"].keys()
    assert {f"decode {name}" for name in ("16 kHz WAV", "16 kHz FLAC", "16 kHz MP3", "48 kHz Opus")} < figures[
        "milliseconds"
    ].keys()
    assert figures["milliseconds"].keys() == figures["page_faults"].keys()
    assert all(time > 0 for times in figures["milliseconds"].values() for time in times.values())


def test_the_pipeline_is_compared_with_peers_that_give_the_same_features_and_its_figures_agree(run):
    figures, table = run("pipeline")
    (variant,) = figures["variants"].values()
    assert variant["max_abs_error"] <= 1e-4
    contenders = variant["contenders"]
    rows = {name: outcome["rows"] for name, outcome in contenders.items()}
    assert rows.pop("datasets_map") == CLIPS
    assert set(rows.values()) == {CLIPS * REPEAT}
    for outcome in contenders.values():
        assert 0 < outcome["steady_seconds"] <= outcome["seconds"]
        assert outcome["final_disk_bytes"] <= outcome["peak_disk_bytes"]
    # The others may be over before the first look at their memory.
    for name in ("ours", "datasets_map"):
        assert contenders[name]["peak_uss_bytes"] > 0
    assert contenders["datasets_map"]["final_disk_bytes"] > CLIPS * 128 * 3_000 * 4
    assert contenders["ours"]["final_disk_bytes"] < CLIPS * REPEAT * 1_000_000
    assert table.count("48 kHz MP3") == len(contenders)

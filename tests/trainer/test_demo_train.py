"""`make demo-train`, from nothing to a model that has learned its clips: real speech, Ray, two gloo ranks."""

import json
import subprocess

import pytest

from tests.support.training import ROOT

STEPS = 300


@pytest.fixture(scope="module")
def folder(tmp_path_factory, demo_cache):
    folder = tmp_path_factory.mktemp("demo-train")
    (folder / "cache").symlink_to(demo_cache)
    small = [f"DEMO={folder}", "DEMO_OPTIONS=--limit 48 --no-metrics --no-report", f"DEMO_STEPS={STEPS}"]
    done = subprocess.run(["make", "-C", str(ROOT), "demo-train", *small], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "said").write_text(done.stdout + done.stderr)
    return folder


def metrics(folder):
    return json.loads((folder / "model" / "metrics.json").read_text())


def test_loss_and_word_error_rate_fall(folder):
    found = metrics(folder)
    losses = [record["loss"] for record in found["steps"]]
    rates = [record["overall"]["raw"]["wer"] for record in found["evaluations"]]
    assert losses[0] > 3
    assert losses[-1] < 0.4
    assert rates[0] > 0.5
    assert rates[-1] < 0.3


def test_it_ends_with_the_best_model_and_the_next_command(folder):
    said = (folder / "said").read_text()
    assert "done: the best model is" in said
    assert "trainer.evaluate --store" in said
    assert (folder / "model" / "best" / "model.safetensors").exists()

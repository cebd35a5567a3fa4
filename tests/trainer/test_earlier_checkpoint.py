"""A checkpoint that earlier code made (`tests/fixtures/README.md`) is gone on from and evaluated by today's."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from shared.command.cli import run_command
from trainer.checkpoints.checkpoint import latest, load_training
from trainer.evaluate import main as evaluate
from trainer.train import main as train

FIXTURES = Path(__file__).parents[1] / "fixtures"
STORE = FIXTURES / "store-v1"
CHECKPOINT = FIXTURES / "checkpoint-v1" / "checkpoint-00000002"


@pytest.mark.usefixtures("one_thread")
def test_training_goes_on_from_an_earlier_checkpoint_with_its_optimiser(tmp_path):
    shutil.copytree(CHECKPOINT, tmp_path / CHECKPOINT.name)
    state = tmp_path / CHECKPOINT.name / "training" / "state.json"
    # A model is known by where it lies; this one lay elsewhere.
    value = json.loads(state.read_text())
    value["identity"]["model"] = str(CHECKPOINT)
    state.write_text(json.dumps(value))
    options = [
        *("--store", str(STORE), "--model", str(CHECKPOINT), "--output", str(tmp_path), "--max-steps", "3"),
        *("--global-batch-size", "2", "--eval-steps", "3", "--eval-rows", "2", "--eval-padding", "own"),
        *("--logging-steps", "1", "--frame-budget", "400", "--report-to", "none"),
    ]
    assert run_command(train, options) == 0
    assert [record["step"] for record in json.loads((tmp_path / "metrics.json").read_text())["steps"]] == [3]
    now, training = load_training(latest(tmp_path))
    assert now.step == 3
    assert {int(moments["step"]) for moments in training["optimiser"]["state"].values()} == {3}
    before, after = (load_file(folder / "model.safetensors") for folder in (CHECKPOINT, latest(tmp_path)))
    assert before.keys() == after.keys()
    assert not all(torch.equal(before[name], after[name]) for name in before)


def test_an_earlier_checkpoint_is_evaluated_on_an_earlier_store(tmp_path):
    options = ["--store", str(STORE), "--model", str(CHECKPOINT), "--output", str(tmp_path), "--resamples", "100"]
    assert run_command(evaluate, options) == 0
    assert len(json.loads((tmp_path / "metrics.json").read_text())["models"]) == 1

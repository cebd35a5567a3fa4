"""`trainer.train --precision fp16` on a CPU, from the first step to a checkpoint, an evaluation and an export."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from shared.command.cli import run_command
from tests.support.training import small_training, train_here
from trainer.checkpoints.checkpoint import load_training
from trainer.evaluate import main as evaluate
from trainer.export import main as export

pytestmark = pytest.mark.usefixtures("one_thread")
STEPS = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_training(tmp_path_factory.mktemp("fp16"))


def run(folder, output, *options):
    own = ("--max-steps", str(STEPS), "--eval-steps", str(STEPS), "--save-steps", "2", "--keep-latest", "9")
    return train_here(folder, output, *own, "--global-batch-size", "4", "--learning-rate", "1e-3", *options)


def told(output, kind="steps"):
    return json.loads((output / "metrics.json").read_text())[kind]


@pytest.fixture(scope="module")
def straight(folder):
    """A training in float16 that nobody disturbed."""
    assert run(folder, folder / "straight", "--precision", "fp16") == 0
    return folder / "straight"


def test_its_losses_and_what_it_evaluates_are_those_of_float32(straight, folder, tmp_path):
    assert run(folder, tmp_path / "single") == 0
    one, other = (told(output) for output in (straight, tmp_path / "single"))
    assert [step["loss"] for step in one] == pytest.approx([step["loss"] for step in other], abs=1e-4)
    assert [step["loss_scale"] for step in one] == [2.0**16] * STEPS
    assert not any(step["skipped_steps"] for step in one)
    (half,), (single,) = (told(output, "evaluations") for output in (straight, tmp_path / "single"))
    assert half["overall"] == single["overall"]


def test_a_checkpoint_keeps_the_scale_and_goes_on_to_the_bit(straight, folder, tmp_path, capsys):
    name = "checkpoint-00000002"
    shutil.copytree(straight / name, tmp_path / "out" / name)
    _, training = load_training(tmp_path / "out" / name)
    assert (training["scaler"]["scale"], training["scaler"]["_growth_tracker"]) == (2.0**16, 2)
    assert run(folder, tmp_path / "out", "--precision", "fp16") == 0
    assert "--precision fp16 on a CPU" in capsys.readouterr().err
    one, other = (
        load_file(output / "checkpoint-00000004/model.safetensors") for output in (straight, tmp_path / "out")
    )
    assert all(torch.equal(one[name], other[name]) for name in one.keys() | other.keys())
    assert {weight.dtype for weight in one.values()} == {torch.float32}


def test_a_scale_at_which_all_overflows_comes_down_and_the_run_goes_on(straight, folder, tmp_path):
    name = "checkpoint-00000002"
    shutil.copytree(straight / name, tmp_path / "out" / name)
    path = tmp_path / "out" / name / "training/optimiser.pt"
    training = torch.load(path, weights_only=True)
    training["scaler"]["scale"] = 2.0**20
    torch.save(training, path)
    assert run(folder, tmp_path / "out", "--precision", "fp16", "--max-steps", "12") == 0
    skipped = [step["skipped_steps"] for step in told(tmp_path / "out")]
    assert skipped == [1] * sum(skipped) + [0] * (10 - sum(skipped))
    assert 1 <= sum(skipped) < 10
    assert told(tmp_path / "out")[-1]["loss_scale"] == 2.0 ** (20 - sum(skipped))


def test_its_model_is_evaluated_and_exported_as_any_other(straight, folder, tmp_path):
    best = str(straight / "best")
    store = ["--store", str(folder / "store")]
    assert run_command(evaluate, [*store, "--model", best, "--silence-clips", "0", "--resamples", "100"]) == 0
    files = ["--checkpoint", best, "--output", str(tmp_path / "exported"), "--threads", "1", "--gate-rows", "0"]
    assert run_command(export, files) == 0
    assert (tmp_path / "exported" / "model.bin").is_file()

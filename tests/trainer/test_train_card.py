"""A GPU's way of training on a CPU: fp16, 8-bit AdamW, micro-batches sized by trying, a card of limited memory."""

import json

import pytest

from tests.support.card import Card
from tests.support.training import small_training, train_here
from trainer.training.loop import TrainingLoop

pytestmark = pytest.mark.usefixtures("one_thread")
MIB = 1 << 20
TOLD = "measuring what the largest micro-batches take"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_training(tmp_path_factory.mktemp("card"))


def run(folder, card, *options, output="out"):
    """The exit status of a training on *card*, whose settings are those of a GPU: fp16 and 8-bit AdamW by default."""
    own = ("--global-batch-size", "8", "--gradient-checkpointing", "never")
    with pytest.MonkeyPatch.context() as patch, card.installed(patch):
        return train_here(folder, folder / output, *own, *options)


def test_a_card_is_measured_kept_to_and_not_measured_again(folder, capsys, monkeypatch):
    card = Card(24 * MIB)
    assert run(folder, card, "--max-steps", "2") == 0
    said = " ".join(capsys.readouterr().err.split())
    assert TOLD in said
    assert "adamw-8bit" in said
    assert "ran out" not in said
    assert 12 * MIB < card.peak <= card.limit <= 24 * MIB
    steps = json.loads((folder / "out" / "metrics.json").read_text())["steps"]
    assert [step["loss_scale"] for step in steps] == [2.0**16] * 2
    assert all(0 < step["vram_bytes"] <= card.limit for step in steps)
    # The same command goes on with what was measured; memory that runs out meanwhile costs a fifth of a micro-batch.
    before, card = frames(folder), Card(24 * MIB)
    go_round = TrainingLoop.run

    def runs_out(loop):
        card.fails_at = card.allocations + 200
        return go_round(loop)

    monkeypatch.setattr(TrainingLoop, "run", runs_out)
    assert run(folder, card, "--max-steps", "4") == 0
    said = " ".join(capsys.readouterr().err.split())
    assert TOLD not in said
    assert "GPU memory ran out: micro-batches of" in said
    assert frames(folder) == int(0.8 * before)
    assert card.emptied


def frames(folder):
    state = max((folder / "out").glob("checkpoint-*/training/state.json"))
    return json.loads(state.read_text())["frames"]


def test_a_card_that_is_too_small_is_said_to_be_before_anything_is_trained(folder, capsys):
    assert run(folder, Card(6 * MIB), "--max-steps", "2", output="small") == 3
    said = " ".join(capsys.readouterr().err.split())
    assert "the longest clip does not fit into the GPU's memory" in said
    assert "trainer.estimate" in said
    assert "Traceback" not in said

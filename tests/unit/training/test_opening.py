"""What is told and started before the first step."""

from pathlib import Path

import pytest
import torch

from shared.command.cli import parse_settings
from shared.errors import UsageError
from trainer.checkpoints.checkpoint import TrainState
from trainer.distributed.ranks import Ranks
from trainer.model.shape import PUBLISHED
from trainer.settings import TrainSettings
from trainer.training.components import Data, Setup
from trainer.training.opening import remarks, wants_tensorboard

TOKENIZER = '{"added_tokens": [], "model": {"vocab": {}}}'


def settings(*options):
    return parse_settings(TrainSettings, ["--store", str(Path("store")), *options], prog="t", about="")


@pytest.mark.parametrize(
    ("options", "interactive", "starts"),
    [
        ((), True, True),
        ((), False, False),
        (("--tensorboard-port", "none"), True, False),
        (("--report-to", "none"), True, False),
        (("--report-to", "wandb"), True, False),
        (("--report-to", "tensorboard", "--report-to", "wandb"), True, True),
        (("--tensorboard-port", "6006"), False, True),
        (("--tensorboard-port", "0"), False, True),
    ],
)
def test_tensorboard_starts_where_somebody_sits_or_asks(options, interactive, starts):
    assert wants_tensorboard(settings(*options), interactive=interactive) is starts


def test_its_port_is_a_number_none_or_left_open(monkeypatch):
    assert settings().tensorboard_port is None
    assert settings("--tensorboard-port", "none").tensorboard_port == "none"
    monkeypatch.setenv("TRAINER_TENSORBOARD_PORT", "7007")
    assert settings().tensorboard_port == 7_007
    for wrong in ("70000", "-1", "6006.5", "all"):
        with pytest.raises(UsageError, match="neither a port up to 65535 nor none"):
            settings("--tensorboard-port", wrong)


@pytest.mark.parametrize(
    ("device", "precision", "warned"),
    [("cpu", "fp16", True), ("cpu", "auto", False), ("cpu", "bf16", False), ("cuda", "fp16", False)],
)
def test_float16_on_a_cpu_is_said_to_be_slow(device, precision, warned):
    setup = Setup.of(settings("--precision", precision), Ranks(0, 1, torch.device(device)))
    told = remarks(setup, Data([], None, TOKENIZER, PUBLISHED["openai/whisper-tiny"]), TrainState(0, {}, 0, 0), 1_000)
    assert any("--precision fp16" in text and "slow" in text for text in told) is warned

"""What a training needs from outside is asked for before its first step, and before its store or model is opened."""

import socket
from pathlib import Path

import pytest

from shared.command.cli import run_command
from shared.errors import UsageError
from tests.support.push_hub import push_hub
from trainer.settings import TrainSettings
from trainer.train import main
from trainer.training import preflight as module
from trainer.training.preflight import preflight

NOWHERE = Path("/nowhere")


def asked(**options):
    return preflight(TrainSettings(store=(NOWHERE,), **options), print)


def test_where_nothing_is_asked_for_nothing_is_needed():
    assert asked() is None
    assert asked(tensorboard_port="none", report_to=("none",)) is None


def test_the_full_id_is_what_the_upload_goes_to(monkeypatch):
    with push_hub(monkeypatch):
        assert asked(push_to_hub="deutsch") == "anna/deutsch"


def test_a_port_of_tensorboard_that_is_taken_is_told_first():
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(UsageError, match="no TensorBoard at") as caught,
    ):
        asked(tensorboard_port=taken.getsockname()[1])
    assert "another --tensorboard-port" in caught.value.remedy


def test_wandb_is_asked_where_it_is_to_be_reported_to(monkeypatch):
    def refuse():
        raise UsageError("nobody is logged in")

    monkeypatch.setattr(module, "require_login", refuse)
    with pytest.raises(UsageError, match="nobody is logged in"):
        asked(report_to=("tensorboard", "wandb"))


def test_a_training_that_could_not_be_uploaded_does_not_begin(monkeypatch, tmp_path, capsys):
    """Not even to open its store, which here is none."""
    options = ["--store", str(tmp_path / "none"), "--output", str(tmp_path / "out"), "--no-metrics"]
    with push_hub(monkeypatch, "hf_read"):
        assert run_command(main, [*options, "--push-to-hub", "anna/deutsch"]) == 2
    assert "only reads" in capsys.readouterr().err

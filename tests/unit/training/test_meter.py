"""The GPU's utilisation in a record: a share, or None for what no driver tells."""

from types import SimpleNamespace

import pytest
import torch
from pynvml import NVMLError_NotSupported

from trainer.data.step_planner import StepPlan
from trainer.distributed.ranks import Ranks
from trainer.model.shape import PUBLISHED
from trainer.training.meter import Meter
from trainer.training.step import StepResult


@pytest.fixture
def utilisation(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: "a card that nobody knows")
    ranks, loader = Ranks(0, 1, torch.device("cuda", 1)), SimpleNamespace(waited_seconds=0.0)

    def recorded():
        meter = Meter(ranks, loader, PUBLISHED["openai/whisper-base"], freeze_encoder=False)
        meter.add(StepPlan(0, 0, ((),), 1, 1.0), StepResult(torch.ones(()), 1.0), 1e-5, 1.0)
        return meter.record(1, 1.0).gpu_utilisation

    return recorded


def test_it_is_a_share_and_of_this_rank(monkeypatch, utilisation):
    monkeypatch.setattr(torch.cuda, "utilization", {torch.device("cuda", 1): 87}.get)
    assert utilisation() == 0.87


@pytest.mark.parametrize("error", [NVMLError_NotSupported(), RuntimeError("no driver"), ModuleNotFoundError("amdsmi")])
def test_what_is_not_told_is_none_and_ends_no_run(monkeypatch, utilisation, error):
    def fails(_device):
        raise error

    monkeypatch.setattr(torch.cuda, "utilization", fails)
    assert utilisation() is None


def test_what_torch_says_on_this_machine_ends_in_a_reading(utilisation):
    assert (utilisation() or 0.0) <= 1

"""The GPU's utilisation in a record: a share, or None for what no driver tells."""

from types import SimpleNamespace

import pytest
import torch
from pynvml import NVMLError_NotSupported

from trainer.data.clips import Clip, Clips
from trainer.data.micro_batches import MicroBatch
from trainer.data.step_planner import StepPlan
from trainer.distributed.ranks import Ranks
from trainer.model.flops import peak_flops, training_flops
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


def test_torch_is_told_of_this_ranks_card_by_the_drivers_library(monkeypatch, utilisation):
    """NVML's own module, whose answers are made up; torch's code between it and ours is the real one."""
    driver = SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByIndex=lambda index: f"card {index}",
        nvmlDeviceGetUtilizationRates=lambda handle: SimpleNamespace(gpu={"card 1": 64}[handle]),
    )
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "pynvml", driver, raising=False)
    assert utilisation() == 0.64


def recorded(device):
    """The record of one step of half a second on *device*: a clip of 30 s with 100 tokens."""
    loader = SimpleNamespace(waited_seconds=0.0)
    meter = Meter(Ranks(0, 1, device), loader, PUBLISHED["openai/whisper-base"], freeze_encoder=False)
    clip = MicroBatch(Clips.of([Clip(0, 3_000, 100)]), 3_000)
    meter.add(StepPlan(0, 0, ((clip,),), 1, 1.0), StepResult(torch.ones(()), 1.0), 1e-5, 0.5)
    return meter.record(1, 1.0)


def test_a_known_cards_memory_and_its_share_of_the_peak_are_recorded(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: "NVIDIA GeForce RTX 4060 Ti")
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 5_000)
    record = recorded(torch.device("cuda", 0))
    done = training_flops(PUBLISHED["openai/whisper-base"], 3_000, 100, freeze_encoder=False)
    assert record.mfu == pytest.approx(done / 0.5 / peak_flops("NVIDIA GeForce RTX 4060 Ti"))
    assert record.vram_bytes == 5_000


@pytest.mark.parametrize("visible", [None, "", "0"])
def test_a_cpu_has_none_of_these_whatever_cards_there_are(monkeypatch, visible):
    driver = SimpleNamespace(nvmlInit=lambda: None, nvmlDeviceGetHandleByIndex=lambda index: index)
    monkeypatch.setattr(torch.cuda, "pynvml", driver, raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    record = recorded(torch.device("cpu"))
    assert (record.mfu, record.vram_bytes, record.gpu_utilisation) == (None, None, None)

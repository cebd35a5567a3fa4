"""Probes look and compute; whatever they meet is an answer."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import psutil
import pytest
import torch

from shared.errors import UsageError
from tests.support.made_up_machines import CARD
from trainer.checking.observations import Cap, Driver
from trainer.checking.probes import computing, nvidia, serve
from trainer.checking.probes.links import add_up
from trainer.checking.probes.random_model import write_random_model
from trainer.checking.scope import TINIEST, Scope
from trainer.checking.worker import Task
from trainer.distributed.ranks import Ranks
from trainer.model.files import ModelFiles

TASK = Task("halves", Scope("demo", 2, cuda=False, vram_bytes=0), Path())
GIB = 1 << 30


class NVMLError(Exception):
    pass


@pytest.fixture
def nvml(monkeypatch):
    names = {"nvmlInit": None, "nvmlDeviceGetCount": 2, "nvmlSystemGetCudaDriverVersion_v2": 12040}
    fake = SimpleNamespace(NVMLError=NVMLError, **{name: lambda value=value: value for name, value in names.items()})
    fake.nvmlDeviceGetHandleByIndex = lambda number: number
    fake.nvmlDeviceGetName = lambda _number: CARD.encode()
    fake.nvmlSystemGetDriverVersion = lambda: "550.54.14"
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    return fake


@pytest.mark.usefixtures("nvml")
def test_the_driver_is_asked_for_its_version_its_cuda_and_its_gpus():
    assert nvidia.probe_driver(TASK) == Driver("550.54.14", "12.4", [CARD, CARD])


def test_a_driver_that_does_not_answer_says_why(nvml, monkeypatch, tmp_path):
    def fails():
        raise NVMLError("Driver/library version mismatch")

    nvml.nvmlInit = fails
    version = tmp_path / "version"
    version.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu Feb 22 01:44:30 UTC 2024\nGCC\n")
    monkeypatch.setattr(nvidia, "_VERSION", version)
    assert nvidia.probe_driver(TASK) == Driver("550.54.14", silent="Driver/library version mismatch")


def test_a_card_is_told_from_the_sound_that_it_brings(tmp_path):
    for name, vendor, kind in (("a", "0x10de", "0x030000"), ("b", "0x10de", "0x040300"), ("c", "0x1002", "0x030000")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "vendor").write_text(f"{vendor}\n")
        (tmp_path / name / "class").write_text(f"{kind}\n")
    assert [name for name in "abcd" if nvidia._is_card(tmp_path / name)] == ["a"]


def test_this_machine_is_looked_at(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    found = nvidia.look_around(tmp_path)
    assert found.disk_bytes == pytest.approx(shutil.disk_usage(tmp_path).free, abs=GIB)
    assert found.ram_bytes == psutil.virtual_memory().total
    assert found.cores == len(psutil.Process().cpu_affinity())
    assert found.visible == "1"


def test_half_precision_computes_as_single_and_leaves_an_overflow_out():
    found = computing.probe_halves(TASK)
    assert found.half == pytest.approx(found.single, rel=0.01)
    assert (found.skipped, found.unchanged) == (True, True)
    assert found.scale_after == found.scale_before / 2


@pytest.mark.parametrize(("obeyed", "expected"), [(True, Cap(4 * GIB, True, True)), (False, Cap(4 * GIB, True, False))])  # noqa: FBT003 - as they are
def test_a_cap_is_tried_from_both_sides(monkeypatch, obeyed, expected):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (8 * GIB, 16 * GIB))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda *_: None)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(computing, "allow", lambda budget, _device: budget)
    taken = []

    def take(count, _device):
        taken.append(count)
        return torch.empty(0) if not obeyed or sum(taken) <= 4 * GIB else None

    monkeypatch.setattr(computing, "_take", take)
    scope = replace(TASK.scope, cuda=True, vram_bytes=16 * GIB)
    assert computing.probe_cap(replace(TASK, scope=scope)) == expected


def test_a_sum_over_ranks_is_right_and_timed():
    found = add_up(Ranks(0, 1, torch.device("cpu")))
    assert (found.backend, found.ranks, found.num_bytes, found.right) == ("gloo", 1, 4 << 20, True)
    assert found.seconds > 0


def test_a_sum_of_which_one_value_did_not_arrive_is_wrong():
    class Lossy(Ranks):
        def sum(self, tensor):
            tensor[-1] = 0.0
            return tensor

    assert not add_up(Lossy(0, 1, torch.device("cpu"))).right


def test_a_random_model_has_all_that_training_and_export_read(tmp_path):
    vocabulary = write_random_model(tmp_path / "model", TINIEST, torch.device("cpu"))
    files = ModelFiles.read(str(tmp_path / "model"))
    assert files.generation["decoder_start_token_id"] == vocabulary.prompt[0]
    assert files.generation["eos_token_id"] == vocabulary.end
    assert files.generation["lang_to_id"]["<|de|>"] == vocabulary.prompt[1]
    assert files.config["vocab_size"] == TINIEST.vocab_size
    assert vocabulary.text == range(vocabulary.end)


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (UsageError("no bitsandbytes", "install it"), {"trouble": "no bitsandbytes", "remedy": "install it"}),
        (OSError("libcudart.so.13: cannot open"), {"trouble": "OSError: libcudart.so.13: cannot open"}),
        (RuntimeError("CUDA error: no kernel\nmore"), {"trouble": "RuntimeError: CUDA error: no kernel"}),
        (torch.OutOfMemoryError("CUDA out of memory"), {"trouble": "OutOfMemoryError: CUDA out of memory"}),
    ],
)
def test_what_a_probe_raises_is_its_answer(monkeypatch, error, answer):
    def fails(_task):
        raise error

    module = ModuleType("a_probe")
    module.probe_halves = fails
    monkeypatch.setitem(sys.modules, "a_probe", module)
    monkeypatch.setattr(serve, "PROBES", {"halves": "a_probe"})
    assert serve.answer(TASK) == answer


def test_a_library_that_is_missing_is_the_answer(monkeypatch):
    monkeypatch.setattr(serve, "PROBES", {"halves": "no_such_module"})
    assert "no_such_module" in serve.answer(TASK)["trouble"]

"""Models are transcribed where there is room, and CTranslate2 is given a GPU only with what it needs for that."""

import ctypes

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import UsageError
from trainer.model.device import (
    LEAST_FREE,
    choose_device,
    current_gpu,
    device_name,
    for_ctranslate2,
    half_on_gpu,
    lacks_cublas,
    roomiest,
)

GIB = 1 << 30


@given(st.lists(st.integers(0, 80 * GIB), max_size=4))
def test_the_gpu_with_most_room_is_taken_or_none_that_a_training_has_filled(free):
    chosen = roomiest(free)
    if chosen == "cpu":
        assert all(each < LEAST_FREE for each in free)
    else:
        assert free[int(chosen.removeprefix("cuda:"))] == max(free) >= LEAST_FREE


def test_without_a_gpu_it_is_the_cpu():
    assert choose_device("auto") == choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("wanted", ["cuda", "cuda:7", "gpu", ""])
def test_a_device_that_is_not_there_is_refused_with_those_there_are(wanted, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match=r"--device"):
        choose_device(wanted)


@pytest.fixture
def one_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda index: (9 * GIB + index, 16 * GIB))


def only(libraries, monkeypatch):
    """A system that has *libraries* and no others."""

    def load(name, **_options):
        if name not in libraries:
            raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", load)


@pytest.mark.usefixtures("one_gpu")
def test_ctranslate2_takes_a_gpu_whose_libraries_it_finds(monkeypatch):
    only({"libcublas.so.12", "libcublasLt.so.12"}, monkeypatch)
    told = []
    assert for_ctranslate2("auto", told.append) == torch.device("cuda:0")
    assert told == []


@pytest.mark.usefixtures("one_gpu")
def test_without_them_it_takes_the_cpu_and_says_what_to_install(monkeypatch):
    only({"libcublas.so.13"}, monkeypatch)
    told = []
    assert lacks_cublas()
    assert for_ctranslate2("auto", told.append) == torch.device("cpu")
    assert "pip install nvidia-cublas-cu12" in told[0]
    with pytest.raises(UsageError, match=r"libcublas\.so\.12[\s\S]*nvidia-cublas-cu12"):
        for_ctranslate2("cuda", told.append)


def test_the_libraries_of_a_package_will_do(monkeypatch, tmp_path):
    folder = tmp_path / "nvidia" / "cublas" / "lib"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    only({str(folder / name) for name in ("libcublas.so.12", "libcublasLt.so.12")}, monkeypatch)
    assert not lacks_cublas()


def test_the_gpu_of_this_process_and_its_name_are_torchs(monkeypatch):
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", {torch.device("cuda:1"): "NVIDIA X"}.get)
    assert current_gpu() == torch.device("cuda:1")
    assert device_name(current_gpu()) == "NVIDIA X"
    assert device_name(torch.device("cpu")) == "CPU"


@pytest.mark.filterwarnings("ignore:.*CUDA is not available")
def test_a_finished_model_is_asked_in_float16_on_a_gpu_alone(monkeypatch):
    monkeypatch.setattr(torch.amp.autocast_mode, "is_autocast_available", lambda _type: True)
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    on_gpu, on_cpu = half_on_gpu(torch.device("cuda:1")), half_on_gpu(torch.device("cpu"))
    assert (on_gpu.device, on_gpu.fast_dtype, on_gpu._enabled) == ("cuda", torch.float16, True)
    assert on_cpu._enabled is False

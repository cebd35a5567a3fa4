"""The GPU's utilisation and memory, or None for what no driver tells."""

from types import SimpleNamespace

import pynvml
import pytest

from trainer.gpu import GpuMeter, GpuReading


class NvmlError(Exception):
    """As `pynvml.NVMLError`."""


class Nvml:
    """An NVML with one GPU; *missing* names the functions that fail."""

    NVMLError = NvmlError

    def __init__(self, *missing):
        self.missing = missing
        self.users = 0
        self.asked = []

    def _call(self, name):
        if name in self.missing:
            raise NvmlError(name)

    def nvmlInit(self):  # noqa: N802 - NVML's name
        self._call("init")
        self.users += 1

    def nvmlShutdown(self):  # noqa: N802 - NVML's name
        self.users -= 1

    def nvmlDeviceGetHandleByIndex(self, index):  # noqa: N802 - NVML's name
        return self._handle(index)

    def nvmlDeviceGetHandleByUUID(self, uuid):  # noqa: N802 - NVML's name
        return self._handle(uuid)

    def _handle(self, device):
        self._call("handle")
        self.asked.append(device)
        return "handle"

    def nvmlDeviceGetUtilizationRates(self, handle):  # noqa: N802 - NVML's name
        self._call("utilisation")
        assert handle == "handle"
        return SimpleNamespace(gpu=87, memory=40)

    def nvmlDeviceGetMemoryInfo(self, handle):  # noqa: N802 - NVML's name
        self._call("memory")
        assert handle == "handle"
        return SimpleNamespace(total=16 << 30, free=4 << 30, used=12 << 30)


def test_utilisation_is_a_share_and_memory_is_bytes():
    with GpuMeter(0, Nvml()) as meter:
        assert meter.read() == GpuReading(0.87, 12 << 30)


@pytest.mark.parametrize(
    ("device", "asked"),
    [(1, 1), ("8f2b-11", "GPU-8f2b-11"), ("GPU-8f2b-11", "GPU-8f2b-11"), ("MIG-77", "MIG-77")],
)
def test_the_device_is_asked_for_by_index_or_by_the_uuid_that_nvml_knows(device, asked):
    nvml = Nvml()
    GpuMeter(device, nvml).close()
    assert nvml.asked == [asked]


@pytest.mark.parametrize("missing", ["init", "handle"])
def test_without_driver_or_device_nothing_is_told(missing):
    with GpuMeter(0, Nvml(missing)) as meter:
        assert meter.read() == GpuReading(None, None)


@pytest.mark.parametrize(
    ("missing", "reading"), [("utilisation", GpuReading(None, 12 << 30)), ("memory", GpuReading(0.87, None))]
)
def test_what_the_device_does_not_tell_is_none_and_the_rest_is_told(missing, reading):
    with GpuMeter(0, Nvml(missing)) as meter:
        assert meter.read() == reading


@pytest.mark.parametrize("missing", ["", "init", "handle"])
def test_nvml_is_given_back_as_often_as_it_was_taken(missing):
    nvml = Nvml(missing)
    meter = GpuMeter(0, nvml)
    meter.close()
    meter.close()
    assert nvml.users == 0
    assert meter.read() == GpuReading(None, None)


def test_the_real_module_has_every_name_that_the_meter_uses():
    assert issubclass(pynvml.NVMLError, Exception)
    for name in (name for name in dir(Nvml) if name.startswith("nvml")):
        assert callable(getattr(pynvml, name))


def test_the_real_module_on_this_machine_ends_in_a_reading():
    with GpuMeter("a GPU that is not there") as meter:
        assert meter.read() == GpuReading(None, None)

"""What NVML tells of one GPU. Where there is no NVIDIA driver, nothing is told and nothing fails."""

from dataclasses import dataclass
from importlib import import_module
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class GpuReading:
    """*utilisation*: share of the last sample period in which a kernel ran, 0 to 1. *used_bytes*: of all processes.

    None is what the device does not tell.
    """

    utilisation: float | None = None
    used_bytes: int | None = None


class GpuMeter:
    """Reads one GPU; a context manager. Made without a driver, or for a device that NVML does not know, it reads Nones.

    *device* is the UUID (`torch.cuda.get_device_properties(device).uuid`, with or without `GPU-`) or NVML's own index:
    the UUID is the safe one, because `CUDA_VISIBLE_DEVICES` renumbers torch's devices and not NVML's. *nvml* is the
    module to ask, `pynvml` unless told; it is imported when the first meter is made.
    """

    def __init__(self, device: int | str, nvml: Any = None) -> None:
        self._nvml = _import_pynvml() if nvml is None else nvml
        self._handle: Any = None
        if self._nvml is not None:
            self._open(device)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def read(self) -> GpuReading:
        """The device at this moment; takes well below a millisecond."""
        if self._handle is None:
            return GpuReading()
        rates = self._ask("nvmlDeviceGetUtilizationRates")
        memory = self._ask("nvmlDeviceGetMemoryInfo")
        return GpuReading(
            utilisation=None if rates is None else rates.gpu / 100,
            used_bytes=None if memory is None else int(memory.used),
        )

    def close(self) -> None:
        """Gives NVML back; a second call does nothing."""
        if self._handle is not None:
            self._handle = None
            self._nvml.nvmlShutdown()

    def _open(self, device: int | str) -> None:
        try:
            self._nvml.nvmlInit()
        except self._nvml.NVMLError:
            return
        try:
            self._handle = self._handle_of(device)
        except self._nvml.NVMLError:
            self._nvml.nvmlShutdown()

    def _handle_of(self, device: int | str) -> Any:
        if isinstance(device, int):
            return self._nvml.nvmlDeviceGetHandleByIndex(device)
        # torch leaves out the prefix that NVML asks for; a part of a card (MIG) has its own.
        known = device.startswith(("GPU-", "MIG-"))
        return self._nvml.nvmlDeviceGetHandleByUUID(device if known else f"GPU-{device}")

    def _ask(self, function: str) -> Any:
        """What *function* says of the device; None where the device does not support it."""
        try:
            return getattr(self._nvml, function)(self._handle)
        except self._nvml.NVMLError:
            return None


def _import_pynvml() -> Any:
    try:
        return import_module("pynvml")
    except ImportError:
        return None

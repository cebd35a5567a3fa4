"""What the probes of a check found: an observation of each, plain values that JSON can tell. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol


class Facts(Protocol):
    """The observations of one probe: plain values, which JSON can tell."""

    probe: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Driver:
    """NVIDIA's driver, and its names of the *gpus* that it runs; *cuda* is the newest CUDA that it takes, `12.4`.

    *silent* tells why its library says nothing, "" where it does; "" is also the version of one that is not there.
    """

    probe: ClassVar[str] = "driver"
    version: str = ""
    cuda: str = ""
    gpus: Sequence[str] = ()
    silent: str = ""


@dataclass(frozen=True, slots=True)
class Build:
    """What torch is, and the GPUs that it sees. *cuda* is "" for a build for CPUs; *said* is what it warned of."""

    probe: ClassVar[str] = "torch"
    version: str
    cuda: str
    nccl: str = ""
    names: Sequence[str] = ()
    total: Sequence[int] = ()
    free: Sequence[int] = ()
    capabilities: Sequence[str] = ()
    kernels: Sequence[str] = ()
    said: str = ""


@dataclass(frozen=True, slots=True)
class Links:
    """An all-reduce of *num_bytes* between *ranks*: *right* where every rank had the sum, *seconds* for one."""

    probe: ClassVar[str] = "links"
    backend: str
    ranks: int
    num_bytes: int
    seconds: float
    right: bool


@dataclass(frozen=True, slots=True)
class Halves:
    """Losses of the same steps in float32 and under float16, and a step whose gradients were made to overflow."""

    probe: ClassVar[str] = "halves"
    single: Sequence[float]
    half: Sequence[float]
    skipped: bool
    scale_before: float
    scale_after: float
    unchanged: bool


@dataclass(frozen=True, slots=True)
class Cap:
    """A GPU under a cap: whether what fits under it was given, and what does not was *refused*."""

    probe: ClassVar[str] = "cap"
    cap_bytes: int
    given: bool
    refused: bool


@dataclass(frozen=True, slots=True)
class Moments:
    """What is left of an error of 1 after the same steps of AdamW with exact moments, and with 8-bit ones."""

    probe: ClassVar[str] = "moments"
    exact: float
    eight_bit: float
    state_bytes: float
    """Of the 8-bit state, for each value."""


@dataclass(frozen=True, slots=True)
class Material:
    """What a training begins with: *parameters* of the model that was written, and *clips* of its store."""

    probe: ClassVar[str] = "material"
    parameters: int
    clips: int


@dataclass(frozen=True, slots=True)
class Training:
    """A short training as a user starts it: *losses* in order, the rates of its later half, what it left behind.

    *frames* is the budget of a micro-batch that was found, *plain_frames* that without recomputing; *vram_bytes* is the
    most that torch had in use, None on CPUs.
    """

    probe: ClassVar[str] = "training"
    ranks: int
    steps: int
    losses: Sequence[float]
    samples_per_second: float
    skipped: int
    vram_bytes: int | None
    frames: int
    plain_frames: int
    checkpoint_bytes: int
    checkpoint_step: int


@dataclass(frozen=True, slots=True)
class Export:
    """The checkpoint, read back and converted: bytes of the export, and what its files get wrong."""

    probe: ClassVar[str] = "export"
    num_bytes: int
    seconds: float
    problems: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Spoken:
    """The export in CTranslate2 on *device*, beside the checkpoint in torch; limits are what rounding explains."""

    probe: ClassVar[str] = "ctranslate2"
    device: str
    computed: str
    encoder_error: float
    divergence: float
    encoder_limit: float
    divergence_limit: float
    seconds: float


KINDS: Mapping[str, type[Facts]] = {
    kind.probe: kind for kind in (Driver, Build, Links, Halves, Cap, Moments, Material, Training, Export, Spoken)
}
"""The observations of each probe, by its name."""

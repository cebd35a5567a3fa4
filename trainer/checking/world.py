"""What a check knows of a machine: observations, each of one probe, and what they have been judged to mean. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, ClassVar, Protocol, Self, TypeVar


class Facts(Protocol):
    """The observations of one probe: plain values, which JSON can tell."""

    probe: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Any]]


F = TypeVar("F", bound=Facts)


@dataclass(frozen=True, slots=True)
class Machine:
    """What the system says by itself: NVIDIA's *cards* on the PCI bus, room, and CUDA_VISIBLE_DEVICES, if it is set."""

    cards: int = 0
    shm_bytes: int = 0
    disk_bytes: int = 0
    ram_bytes: int = 0
    cores: int = 1
    visible: str | None = None


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


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a probe: *facts*, or the *trouble* that ended it and, where that is known, a *remedy*.

    *said* is the end of what its processes printed, for a report.
    """

    facts: Facts | None = None
    trouble: str = ""
    remedy: str = ""
    seconds: float = 0.0
    said: str = ""

    @classmethod
    def of(cls, probe: str, answer: Mapping[str, Any], **more: Any) -> Self:
        """From a probe's *answer*: its facts, or trouble and remedy."""
        if "facts" not in answer:
            return cls(None, str(answer["trouble"]), str(answer.get("remedy", "")), **more)
        kind: Any = KINDS[probe]
        return cls(kind(**{entry.name: answer["facts"][entry.name] for entry in fields(kind)}), **more)


class State(StrEnum):
    """What a line says first."""

    OK = "ok"
    FIX = "FIX"
    LEFT_OUT = "-"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check came to, in *words*; *remedy* is what to do where it is to be fixed."""

    state: State
    words: str
    remedy: str = ""


def ok(words: str) -> Verdict:
    """All is well."""
    return Verdict(State.OK, words)


def fix(words: str, remedy: str) -> Verdict:
    """Something is to be done."""
    return Verdict(State.FIX, words, remedy)


def left_out(why: str) -> Verdict:
    """Not tried, and why."""
    return Verdict(State.LEFT_OUT, f"left out: {why}")


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user asked for: model size, ranks and bytes of a GPU; None where the machine decides."""

    size: str | None = None
    ranks: int | None = None
    vram_budget: int | None = None


@dataclass(frozen=True, slots=True)
class World:
    """All that is known so far: *outcomes* by probe, *verdicts* by the name of their check."""

    machine: Machine = field(default_factory=Machine)
    wishes: Wishes = field(default_factory=Wishes)
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)

    def facts(self, kind: type[F]) -> F | None:
        """The observations of *kind*; None where there are none."""
        outcome = self.outcomes.get(kind.probe)
        found = outcome.facts if outcome is not None else None
        return found if isinstance(found, kind) else None

    def failed(self, check: str) -> bool:
        """Whether *check* has something to fix."""
        verdict = self.verdicts.get(check)
        return verdict is not None and verdict.state is State.FIX

    @property
    def gpus(self) -> int:
        """GPUs that torch sees."""
        build = self.facts(Build)
        return len(build.names) if build is not None else 0

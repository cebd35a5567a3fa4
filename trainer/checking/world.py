"""All that a check knows of a machine: what it says by itself, what came of each probe, and what that means. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self, TypeVar

from trainer.checking.observations import KINDS, Build, Facts
from trainer.checking.verdict import State, Verdict

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

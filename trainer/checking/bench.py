"""The machine under a check: each probe in a process of its own, with its time, and the files that they share."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from time import monotonic
from typing import Any

from shared.errors import first_line
from shared.system.foreign_files import read_json
from trainer.checking.scope import FULL_CONTEXT_SHARE, Scope, scope_of
from trainer.checking.worker import (
    MODEL,
    OUTPUT,
    STORE,
    Task,
    Worker,
    child_environment,
    how_it_ended,
    run_within,
    said,
)
from trainer.checking.world import Outcome, World
from trainer.settings import TrainerSettings, TrainSettings

LIMITS = {
    "driver": 60.0,
    "torch": 180.0,
    "links": 120.0,
    "halves": 180.0,
    "cap": 60.0,
    "moments": 120.0,
    "material": 300.0,
    "training": 600.0,
    "export": 300.0,
    "ctranslate2": 300.0,
}
"""Seconds that a probe may take on GPUs, several times what it does: what is not there then hangs."""
_CPU_PATIENCE = 3
_PLACE = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RUN_ID")
_LOGGED = 4
"""Records of a training; the first, in which kernels and loss scale come to be, does not count."""
_MACHINES_OWN = {"HF_HOME", "HF_DATASETS_CACHE"}
_ERROR, _ARROW = "error: ", "  -> "
_NCCL_WARNING = re.compile(r"NCCL WARN (.+)")
_EXCEPTION = re.compile(r"(?:\[rank\d+\]: ?)?([\w.]*(?:Error|Exception|Interrupt): .+)")
"""An exception's own line, as Python and torch's ranks print it."""
_PRECISION = "fp16"
"""What a GPU has where nobody says; CPUs are slow at it, but go the same way."""


@dataclass(slots=True)
class Bench:
    """Runs probes with files in *folder*, under *limits*; whoever asks closes it."""

    folder: Path
    vram_budget: int | None = None
    limits: Mapping[str, float] = field(default_factory=lambda: LIMITS)
    worker: Worker = field(init=False)
    environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.environment = child_environment(os.environ, _settings_of_trainings(os.environ))
        self.worker = Worker(self.folder, self.environment)

    def __call__(self, probe: str, world: World) -> Outcome:
        """What comes of *probe* in the *world* as it is known: whatever goes wrong is told by it."""
        try:
            return self._outcome(probe, scope_of(world))
        except (OSError, ValueError, KeyError, TypeError) as error:
            return Outcome(trouble=f"it left no figures: {type(error).__name__}: {first_line(error)}")

    def _outcome(self, probe: str, scope: Scope) -> Outcome:
        match probe:
            case "links":
                return self._links(scope)
            case "training":
                return self._training(scope)
            case _:
                return self._asked(probe, scope)

    def close(self) -> None:
        """Ends what still runs."""
        self.worker.close()

    def _asked(self, probe: str, scope: Scope) -> Outcome:
        return self.worker.ask(Task(probe, scope, self.folder), self._limit(probe, scope))

    def _links(self, scope: Scope) -> Outcome:
        self._make_room(scope)
        file = self.folder / "links.json"
        found = self._run("links", scope, ["trainer.checking.probes.links", str(file), str(scope.ranks)])
        if found.trouble:
            return found
        return Outcome.of("links", {"facts": read_json(file)}, seconds=found.seconds, said=found.said)

    def _training(self, scope: Scope) -> Outcome:
        made = self._asked("material", scope)
        if made.trouble:
            return made
        self._make_room(scope)
        found = self._run("training", scope, ["trainer.train", *training_options(scope, self.vram_budget)])
        if found.trouble:
            return found
        facts = training_facts(self.folder / OUTPUT, scope)
        return Outcome.of("training", {"facts": facts}, seconds=found.seconds, said=found.said)

    def _make_room(self, scope: Scope) -> None:
        """The GPUs are for ranks alone; beside those of CPUs a worker that waits takes nothing."""
        if scope.cuda:
            self.worker.close()

    def _limit(self, probe: str, scope: Scope) -> float:
        """Seconds for *probe*: CPUs hardly hang, but others may have them too."""
        return self.limits[probe] * (1 if scope.cuda else _CPU_PATIENCE)

    def _run(self, probe: str, scope: Scope, arguments: Sequence[str]) -> Outcome:
        """An outcome without facts yet; its trouble is what the program said that it was."""
        log, started, limit = self.folder / f"{probe}.log", monotonic(), self._limit(probe, scope)
        code = run_within(arguments, self.folder, self.environment, limit, log)
        text, seconds = said(log), monotonic() - started
        if code == 0:
            return Outcome(seconds=seconds, said=text)
        message, remedy = complaint(text)
        ended = how_it_ended(code, limit)
        trouble = message if message and code is not None else ": ".join(filter(None, (ended, message)))
        return Outcome(None, trouble, remedy, seconds, text)


def training_options(scope: Scope, vram_budget: int | None) -> list[str]:
    """What `trainer.train` is told: a user's defaults, but for what leaves no trace outside the check's folder."""
    options = {
        "store": STORE,
        "model": f"./{MODEL}",
        "output": OUTPUT,
        "nproc-per-node": scope.ranks,
        "max-steps": scope.steps,
        "global-batch-size": scope.batch,
        "full-context-share": FULL_CONTEXT_SHARE,
        "precision": _PRECISION,
        "warmup-steps": 1,
        "logging-steps": scope.steps // _LOGGED,
        "save-steps": scope.steps,
        "report-to": "none",
        "tensorboard-port": "none",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return [*words, "--no-metrics", *(["--vram-budget", str(vram_budget)] if vram_budget else [])]


def training_facts(output: Path, scope: Scope) -> dict[str, Any]:
    """The fields of `Training`, from what a training left in *output*."""
    records = read_json(output / "metrics.json")["steps"]
    checkpoint = (output / "best").resolve()
    state = read_json(checkpoint / "training" / "state.json")
    counted = records[1:] or records
    used = [record["vram_bytes"] for record in records if record["vram_bytes"] is not None]
    return {
        "ranks": scope.ranks,
        "steps": scope.steps,
        "losses": [float("nan") if record["loss"] is None else record["loss"] for record in records],
        "samples_per_second": scope.batch / mean(record["seconds_per_step"] for record in counted),
        "skipped": sum(record["skipped_steps"] for record in records),
        "vram_bytes": max(used, default=None),
        "frames": state["frames"],
        "plain_frames": state["plain_frames"],
        "checkpoint_bytes": sum(path.stat().st_size for path in checkpoint.rglob("*") if path.is_file()),
        "checkpoint_step": state["step"],
    }


def complaint(text: str) -> tuple[str, str]:
    """The last error, with its remedy, that a command of ours told in *text*.

    Else what NCCL warned of, first of all, or the last exception; ("", "") where nothing of it is there.
    """
    lines = text.splitlines()
    told = [number for number, line in enumerate(lines) if line.startswith(_ERROR)]
    if told:
        below = lines[told[-1] + 1] if told[-1] + 1 < len(lines) else ""
        remedy = below.removeprefix(_ARROW) if below.startswith(_ARROW) else ""
        return lines[told[-1]].removeprefix(_ERROR), remedy
    warned = [match[1] for match in map(_NCCL_WARNING.search, lines) if match]
    raised = [match[1] for match in map(_EXCEPTION.match, lines) if match]
    return f"NCCL: {warned[0]}" if warned else raised[-1] if raised else "", ""


def _settings_of_trainings(environment: Mapping[str, str]) -> list[str]:
    """Names that would have the check train otherwise than it says."""
    own = TrainSettings.environment_names() - _MACHINES_OWN
    prefix = str(TrainerSettings.model_config["env_prefix"])
    return [*own, *_PLACE, *(name.upper() for name in environment if name.upper().startswith(prefix))]

"""The checkpoints of an output folder: which there are, which is the best, and what goes on from one.

`OUTPUT/checkpoint-00001000/` is a model folder that `WhisperForConditionalGeneration.from_pretrained` opens; in
`training/` lies what it takes to go on: the optimiser, the loss scale and the run's own state. `OUTPUT/best` is a link
to the one with the lowest WER. No generator's state is saved: all chance is told by seed, step and row.
"""

import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, Self

import torch

from shared.errors import SpeechPrepError, first_line
from shared.system.durable import fsync_directory
from shared.system.foreign_files import read_json
from shared.system.read_errors import refuse_unreadable

BEST = "best"
TRAINING = "training"
STATE = "state.json"
PARTIAL = ".partial-"
_NAME = re.compile(r"checkpoint-(\d{8})")


@dataclass(frozen=True, slots=True)
class TrainState:
    """Where a run stands after *step* optimiser steps.

    *identity* is what decides the order of clips and must stay the same; *frames* and *plain_frames* are the frame
    budget that was found. *best_wer* (raw, 1 is 100 %) was measured after *best_step*, the last evaluation after
    *evaluated_step*. The last *skipped* steps had no finite gradient, and updated nothing.
    """

    step: int
    identity: Mapping[str, Any]
    frames: int
    plain_frames: int
    best_wer: float | None = None
    best_step: int | None = None
    skipped: int = 0
    evaluated_step: int = 0

    @classmethod
    def read(cls, path: Path) -> Self:
        """From a checkpoint's `state.json`. Raises SpeechPrepError when it is damaged."""
        try:
            value = read_json(path)
            needed = [entry.name for entry in fields(cls) if entry.default is MISSING or entry.name in value]
            return cls(**{name: value[name] for name in needed})
        except (OSError, ValueError, KeyError, TypeError) as error:
            refuse_unreadable(path, error)
            remedy = "remove this checkpoint; the one before it is then used"
            raise SpeechPrepError(f"{path} cannot be read: {error!r}", remedy) from error


def checkpoints(output: Path) -> list[tuple[int, Path]]:
    """Step and folder of every whole checkpoint of *output*, in order."""
    found = ((_NAME.fullmatch(path.name), path) for path in output.glob("checkpoint-*"))
    return sorted((int(match[1]), path) for match, path in found if match and path.is_dir())


def latest(output: Path) -> Path | None:
    """The last checkpoint of *output* that training can go on from; None when there is none."""
    whole = resumable(output)
    return whole[-1] if whole else None


def resumable(output: Path) -> list[Path]:
    """The checkpoints of *output* that training can go on from, in order."""
    return [path for _, path in checkpoints(output) if (path / TRAINING / STATE).is_file()]


def points_at(output: Path, checkpoint: Path) -> bool:
    """Whether *checkpoint* is the best of *output*."""
    link = output / BEST
    return link.is_symlink() and link.readlink().name == checkpoint.name


def point_best_at(output: Path, checkpoint: Path) -> None:
    """Makes *checkpoint* the best of *output*, in one step."""
    aside = output / f"{PARTIAL}{BEST}-link"
    aside.unlink(missing_ok=True)
    aside.symlink_to(checkpoint.name)
    aside.rename(output / BEST)
    fsync_directory(output)


def load_training(checkpoint: Path) -> tuple[TrainState, dict[str, Any]]:
    """The run's state and {"optimiser", "scaler"} of *checkpoint*. Raises SpeechPrepError when it is damaged."""
    state = TrainState.read(checkpoint / TRAINING / STATE)
    path = checkpoint / TRAINING / "optimiser.pt"
    try:
        return state, torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises what the damage happens to break
        refuse_unreadable(path, error)
        message = f"{path} cannot be read: {first_line(error)}"
        raise SpeechPrepError(message, f"remove {checkpoint}; the one before it is then used") from error

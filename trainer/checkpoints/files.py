"""What one checkpoint consists of, and its files: all of them on the disk, or ResourceLimitError."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from shared.errors import ResourceLimitError
from shared.system.durable import fsync_tree, json_bytes
from shared.units import format_bytes
from trainer.checkpoints.checkpoint import STATE, TRAINING, TrainState
from trainer.model.whisper import TrainingModel

REMEDY = "make room, lower --keep-latest, or name another --output; the same command goes on"


@dataclass(frozen=True, slots=True)
class CheckpointContent:
    """A moment of the training on the CPU: *weights*, *optimiser* and *scaler* states, and the run's own."""

    state: TrainState
    weights: Mapping[str, torch.Tensor]
    optimiser: Mapping[str, Any]
    scaler: Mapping[str, Any]


def copy_to_cpu(value: Any) -> Any:
    """*value* with every tensor in it copied to the CPU, so that training can go on changing its own."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {key: copy_to_cpu(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(copy_to_cpu(entry) for entry in value)
    return value


def weights_to_save(model: TrainingModel) -> dict[str, torch.Tensor]:
    """The model's weights by name, each once: the output projection is the decoder's embedding in nearly all models."""
    whisper = model.whisper
    tied = whisper.proj_out.weight is whisper.model.decoder.embed_tokens.weight
    return {name: value for name, value in whisper.state_dict().items() if not (tied and name == "proj_out.weight")}


def write_files(folder: Path, content: CheckpointContent, files: Mapping[str, bytes]) -> None:
    """Writes *content* and the model's small *files* into the new *folder*, for good.

    Raises ResourceLimitError where the disk has no room, which is found out first, takes less than was reserved, or
    fails.
    """
    (folder / TRAINING).mkdir(parents=True)
    _reserve(folder, _size(content))
    try:
        _write(folder, content, files)
        fsync_tree(folder)
    except (OSError, RuntimeError, SafetensorError) as error:  # each of the three writers' own
        message = f"the checkpoint of step {content.state.step} cannot be written to {folder.parent}: {error}"
        raise ResourceLimitError(message, REMEDY) from error


def _write(folder: Path, content: CheckpointContent, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).write_bytes(data)
    training = {"optimiser": content.optimiser, "scaler": content.scaler}
    torch.save(training, folder / TRAINING / "optimiser.pt")
    (folder / TRAINING / STATE).write_bytes(json_bytes(asdict(content.state)))
    save_file(dict(content.weights), folder / "model.safetensors", metadata={"format": "pt"})
    # Its library lets nobody else read it; others may be to use the model.
    shutil.copymode(folder / TRAINING / STATE, folder / "model.safetensors")


def _size(content: CheckpointContent) -> int:
    """Bytes that *content* takes on disk, with room for the files' own structure."""
    return round(1.02 * (_tensor_bytes(content.weights) + _tensor_bytes(content.optimiser))) + (16 << 20)


def _tensor_bytes(value: Any) -> int:
    if isinstance(value, torch.Tensor):
        return value.nbytes
    if isinstance(value, Mapping):
        return sum(map(_tensor_bytes, value.values()))
    return sum(map(_tensor_bytes, value)) if isinstance(value, (list, tuple)) else 0


def _reserve(folder: Path, num_bytes: int) -> None:
    """Raises ResourceLimitError where *folder* has no room for *num_bytes*: before anything is written, not midway."""
    path = folder / "reserved"
    try:
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, num_bytes)
    except OSError as error:
        message = (
            f"a checkpoint takes {format_bytes(num_bytes)}, which {folder.parent} has no room for: {error.strerror}"
        )
        raise ResourceLimitError(message, REMEDY) from error
    finally:
        path.unlink(missing_ok=True)

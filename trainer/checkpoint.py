"""Checkpoints: whole or not there, written beside the training, of which the last ones and the best stay.

`OUTPUT/checkpoint-00001000/` is a model folder that `WhisperForConditionalGeneration.from_pretrained` opens; in
`training/` lies what it takes to go on: the optimiser, the loss scale and the run's own state. `OUTPUT/best` is a link
to the one with the lowest WER. No generator's state is saved: all chance is told by seed, step and row.
"""

import json
import os
import re
import shutil
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from shared.durable import fsync_directory, fsync_tree, json_bytes
from shared.errors import ResourceLimitError, SpeechPrepError
from shared.units import format_bytes

BEST = "best"
TRAINING = "training"
PARTIAL = ".partial-"
_REMEDY = "make room, lower --keep-latest, or name another --output; the same command goes on"
_NAME = re.compile(r"checkpoint-(\d{8})")


@dataclass(frozen=True, slots=True)
class TrainState:
    """Where a run stands after *step* optimiser steps.

    *identity* is what decides the order of clips and must stay the same; *frames* and *plain_frames* are the frame
    budget that was found. *best_wer* (raw, 1 is 100 %) was measured after *best_step*. The last *skipped* steps had no
    finite gradient, and updated nothing.
    """

    step: int
    identity: Mapping[str, Any]
    frames: int
    plain_frames: int
    best_wer: float | None = None
    best_step: int | None = None
    skipped: int = 0

    @classmethod
    def read(cls, path: Path) -> Self:
        """From a checkpoint's `state.json`. Raises SpeechPrepError when it is damaged."""
        try:
            value = json.loads(path.read_text())
            needed = [entry.name for entry in fields(cls) if entry.default is MISSING or entry.name in value]
            return cls(**{name: value[name] for name in needed})
        except (OSError, ValueError, KeyError, TypeError) as error:
            remedy = "remove this checkpoint: the one before it is used"
            raise SpeechPrepError(f"{path} cannot be read: {error!r}", remedy) from error


@dataclass(frozen=True, slots=True)
class Snapshot:
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


@dataclass(slots=True)
class Checkpoints:
    """The checkpoints of *output*. *files* are the model's small files by name, which every checkpoint gets.

    Used by rank 0 alone. `close` waits for what is being written.
    """

    output: Path
    files: Mapping[str, bytes]
    keep_latest: int
    best: tuple[float | None, int | None] = (None, None)
    """WER and step of the best one that was written."""
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="checkpoint"))
    _writing: Future[None] | None = None

    def poll(self) -> None:
        """Raises as `save` does where that is known by now."""
        if self._writing is not None and self._writing.done():
            self.wait()

    def save(self, snapshot: Snapshot) -> None:
        """Starts writing *snapshot*; what was being written before is finished first.

        Raises what went wrong with that one: ResourceLimitError for a full disk, OSError for others.
        """
        self.wait()
        self._writing = self._pool.submit(self._write, snapshot)

    def wait(self) -> None:
        """Returns when nothing is being written. Raises as `save` does."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def close(self) -> None:
        """Ends the thread that writes, after what it is at."""
        self._pool.shutdown()

    def clear_partial(self) -> None:
        """Removes what killed runs left half written."""
        for path in self.output.glob(f"{PARTIAL}*"):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    def mend_best(self, state: TrainState) -> TrainState:
        """*state*, from which a run goes on, with `OUTPUT/best` as it says; a best one that is gone is forgotten.

        A run that is killed between a checkpoint and its link leaves the link at the one before.
        """
        if state.best_step is None or not self.path(state.best_step).is_dir():
            return replace(state, best_wer=None, best_step=None)
        if not points_at(self.output, self.path(state.best_step)):
            point_best_at(self.output, self.path(state.best_step))
        self.best = state.best_wer, state.best_step
        return state

    def path(self, step: int) -> Path:
        """Where the checkpoint of *step* lies."""
        return self.output / f"checkpoint-{step:08d}"

    def _write(self, snapshot: Snapshot) -> None:
        final = self.path(snapshot.state.step)
        partial = self.output / f"{PARTIAL}{final.name}"
        shutil.rmtree(partial, ignore_errors=True)
        (partial / TRAINING).mkdir(parents=True)
        try:
            _reserve(partial, _size(snapshot))
            _fill(partial, snapshot, self.files)
            # The same step is written again by a run that was started afresh from an earlier one.
            shutil.rmtree(final, ignore_errors=True)
            partial.rename(final)
            fsync_directory(self.output)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        if snapshot.state.best_step == snapshot.state.step:
            point_best_at(self.output, final)
            self.best = snapshot.state.best_wer, snapshot.state.best_step
        self._rotate()

    def _rotate(self) -> None:
        """Removes all but the last ones; the best keeps its model, but not what only a resume needs."""
        for _, path in checkpoints(self.output)[: -self.keep_latest]:
            doomed = path / TRAINING if points_at(self.output, path) else path
            shutil.rmtree(doomed, ignore_errors=True)


def checkpoints(output: Path) -> list[tuple[int, Path]]:
    """Step and folder of every whole checkpoint of *output*, in order."""
    found = ((_NAME.fullmatch(path.name), path) for path in output.glob("checkpoint-*"))
    return sorted((int(match[1]), path) for match, path in found if match and path.is_dir())


def still_to_come(existing: int, to_write: int, keep_latest: int) -> int:
    """Checkpoints for which there must still be room: those kept, the best, and the one being written. Pure.

    *existing* are there, *to_write* will be written at most.
    """
    return min(to_write, max(1, keep_latest + 2 - existing))


def latest(output: Path) -> Path | None:
    """The last checkpoint of *output* that training can go on from; None when there is none."""
    whole = [path for _, path in checkpoints(output) if (path / TRAINING / "state.json").is_file()]
    return whole[-1] if whole else None


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
    state = TrainState.read(checkpoint / TRAINING / "state.json")
    path = checkpoint / TRAINING / "optimiser.pt"
    try:
        return state, torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises what the damage happens to break
        message = f"{path} cannot be read: {str(error).splitlines()[0]}"
        raise SpeechPrepError(message, f"remove {checkpoint}: the one before it is used") from error


def _fill(folder: Path, snapshot: Snapshot, files: Mapping[str, bytes]) -> None:
    """Raises ResourceLimitError where the disk takes less than was reserved, or fails."""
    try:
        _write_files(folder, snapshot, files)
        fsync_tree(folder)
    except (OSError, RuntimeError, SafetensorError) as error:  # each of the three writers' own
        message = f"the checkpoint of step {snapshot.state.step} cannot be written to {folder.parent}: {error}"
        raise ResourceLimitError(message, _REMEDY) from error


def _write_files(folder: Path, snapshot: Snapshot, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).write_bytes(content)
    training = {"optimiser": snapshot.optimiser, "scaler": snapshot.scaler}
    torch.save(training, folder / TRAINING / "optimiser.pt")
    (folder / TRAINING / "state.json").write_bytes(json_bytes(asdict(snapshot.state)))
    save_file(dict(snapshot.weights), folder / "model.safetensors", metadata={"format": "pt"})
    # Its library lets nobody else read it; others may be to use the model.
    shutil.copymode(folder / TRAINING / "state.json", folder / "model.safetensors")


def _size(snapshot: Snapshot) -> int:
    """Bytes that *snapshot* takes on disk, with room for the files' own structure."""
    return round(1.02 * (_tensor_bytes(snapshot.weights) + _tensor_bytes(snapshot.optimiser))) + (16 << 20)


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
        raise ResourceLimitError(message, _REMEDY) from error
    finally:
        path.unlink(missing_ok=True)

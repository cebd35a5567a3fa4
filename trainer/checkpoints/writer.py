"""Writes checkpoints beside the training: whole or not there, the best pointed at, old ones removed."""

import shutil
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from shared.errors import ResourceLimitError
from shared.system.durable import fsync_directory, json_bytes, write_durably
from trainer.checkpoints.checkpoint import (
    PARTIAL,
    STATE,
    TRAINING,
    TrainState,
    checkpoints,
    point_best_at,
    points_at,
    resumable,
)
from trainer.checkpoints.files import REMEDY, CheckpointContent, write_files
from trainer.telemetry.records import CheckpointRecord


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
    last: CheckpointRecord | None = None
    """The last one that this run wrote."""
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="checkpoint"))
    _writing: Future[None] | None = None

    def poll(self) -> None:
        """Raises as `save` does where that is known by now."""
        if self._writing is not None and self._writing.done():
            self.wait()

    def save(self, content: CheckpointContent) -> None:
        """Starts writing *content*; what was being written before is finished first.

        Raises what went wrong with that one: ResourceLimitError for a full disk, OSError for others.
        """
        self.wait()
        self._writing = self._pool.submit(self._write, content)

    def amend(self, state: TrainState) -> None:
        """Has the checkpoint of *state*'s step, saved before, tell what an evaluation has found since.

        It happens when that one is written, and not where it could not be. Errors come as `save`'s do.
        """
        self._writing = self._pool.submit(self._amend, self._writing, state)

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

    def _write(self, content: CheckpointContent) -> None:
        final = self.path(content.state.step)
        partial = self.output / f"{PARTIAL}{final.name}"
        began = time.perf_counter()
        shutil.rmtree(partial, ignore_errors=True)
        try:
            write_files(partial, content, self.files)
            # The same step is written again by a run that was started afresh from an earlier one.
            shutil.rmtree(final, ignore_errors=True)
            partial.rename(final)
            fsync_directory(self.output)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        self.last = replace(described(final, content.state.step), seconds=time.perf_counter() - began)
        self._written(content.state)

    def _amend(self, saving: Future[None] | None, state: TrainState) -> None:
        if saving is not None:
            # There is one thread: what was to be written before, is, or raises why not.
            saving.result()
        path = self.path(state.step) / TRAINING / STATE
        partial = path.with_name(f"{PARTIAL}{STATE}")
        try:
            partial.unlink(missing_ok=True)
            write_durably(path, json_bytes(asdict(state)), partial)
        except OSError as error:
            message = f"what the evaluation at step {state.step} found cannot be written to {path}: {error.strerror}"
            raise ResourceLimitError(message, REMEDY) from error
        self._written(state)

    def _written(self, state: TrainState) -> None:
        """The checkpoint of *state* is there: `best` points at it where it is that, and old ones go."""
        if state.best_step == state.step:
            point_best_at(self.output, self.path(state.step))
            self.best = state.best_wer, state.best_step
        self._rotate(self.path(state.step))

    def _rotate(self, newest: Path) -> None:
        """Removes all but the last ones and *newest*; the best keeps its model, but not what only a resume needs."""
        kept = {newest, *resumable(self.output)[-self.keep_latest :]}
        for path in (path for _, path in checkpoints(self.output) if path not in kept):
            doomed = path / TRAINING if points_at(self.output, path) else path
            shutil.rmtree(doomed, ignore_errors=True)


def described(path: Path, step: int) -> CheckpointRecord:
    """The checkpoint of *step* at *path* as it lies there."""
    num_bytes = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return CheckpointRecord(step, num_bytes, path.stat().st_mtime)


def still_to_come(existing: int, to_write: int, keep_latest: int) -> int:
    """Checkpoints for which there must still be room: those kept, the best, and the one being written. Pure.

    *existing* are there, *to_write* will be written at most.
    """
    return min(to_write, max(1, keep_latest + 2 - existing))

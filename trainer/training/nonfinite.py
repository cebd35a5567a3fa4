"""Steps without a finite gradient: their rows are written down to be looked at, and too many of them end a run."""

from collections.abc import Sequence
from pathlib import Path

from shared.errors import SpeechPrepError
from shared.system.durable import json_bytes
from shared.units import format_counted
from trainer.checkpoints.checkpoint import TrainState
from trainer.data.micro_batches import MicroBatch
from trainer.data.rows import JoinedRows

_FOLDER = "nonfinite"
MOST_SKIPPED = 50
"""Steps in a row without an update after which the run has diverged."""
SETTLING = 20
"""Steps in a row that a loss scale may take to settle: a new one needs about 10."""


def write_nonfinite(output: Path, split: JoinedRows, step: int, rank: int, bad: Sequence[MicroBatch]) -> Path:
    """Writes the rows of *bad*, micro-batches of *rank* in *step*, below *output*; where they are written."""
    rows = [
        {
            "store": str(split.root_of(row)),
            "row_id": int(split.row_id[row]),
            "piece": int(split.piece[row]),
            "frames": clip.frames,
            "padding": clip.padding.name.lower(),
        }
        for batch in bad
        for clip in batch.clips
        for row in ((clip.row,) if clip.window is None else clip.window.rows)
    ]
    folder = output / _FOLDER
    folder.mkdir(exist_ok=True)
    path = folder / f"step-{step:08d}-rank-{rank}.json"
    path.write_bytes(json_bytes({"step": step, "split": split.name, "rows": rows}))
    return path


def require_updates(state: TrainState, limit: int) -> None:
    """Raises SpeechPrepError where the last *limit* steps updated nothing: what is left is no trained model."""
    if state.skipped < limit:
        return
    remedy = (
        "lower --learning-rate, raise --warmup-steps, or try --precision bf16, with another --output or without "
        "the last checkpoints of this one; see OUTPUT/nonfinite"
    )
    message = f"{format_counted(state.skipped, 'step')} in a row gave no finite gradient, up to step {state.step}"
    raise SpeechPrepError(message, remedy)

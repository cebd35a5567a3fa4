"""Rows whose loss is no number, written down to be looked at."""

from collections.abc import Sequence
from pathlib import Path

from shared.durable import json_bytes
from shared.store import StoreSplit
from trainer.micro_batches import MicroBatch

FOLDER = "nonfinite"


def write_nonfinite(output: Path, split: StoreSplit, step: int, rank: int, bad: Sequence[MicroBatch]) -> Path:
    """Writes the rows of *bad*, micro-batches of *rank* in *step*, below *output*; where they are written."""
    rows = [
        {"row_id": int(split.row_id[clip.row]), "frames": clip.frames, "padding": clip.padding.name.lower()}
        for batch in bad
        for clip in batch.clips
    ]
    folder = output / FOLDER
    folder.mkdir(exist_ok=True)
    path = folder / f"step-{step:08d}-rank-{rank}.json"
    path.write_bytes(json_bytes({"step": step, "split": split.name, "rows": rows}))
    return path

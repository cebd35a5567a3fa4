"""Rows of the store to one padded micro-batch, as arrays. Pure; nothing is decoded, values keep the store's dtype.

Each clip is padded with its own floor value, to the longest clip of its micro-batch; where the model is to stay good at
Whisper's 30 s, to the whole window: with the floor (silence in the waveform) or with zeros (in the mel domain), the two
ways in which inference does it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.rows import STEP
from shared.schema import WINDOW_FRAMES
from shared.store import StoreSplit

FRAME_MULTIPLE = 16
"""Frames are rounded up to this: the encoder halves them, and tensor cores like multiples of 8."""
IGNORED = -100
"""A target that counts for nothing, as `torch.nn.functional.cross_entropy` has it."""


class Padding(StrEnum):
    """How far clips are padded, and with what."""

    OWN = "own"
    SILENCE = "silence"
    ZEROS = "zeros"


@dataclass(frozen=True, slots=True)
class Batch:
    """*features* [rows, frames, num_mel_bins] of the store's dtype (uint8: steps above *floor*, float32[rows]).

    *inputs* int64[rows, tokens] is what the decoder sees, from the start token on; *targets* int64[rows, tokens] is
    what it is to say next, `IGNORED` where that does not matter. *num_targets* counts the targets that matter.
    """

    features: NDArray[Any]
    floor: NDArray[np.float32]
    inputs: NDArray[np.int64]
    targets: NDArray[np.int64]
    num_targets: int


def collate(split: StoreSplit, rows: Sequence[int], padding: Padding = Padding.OWN) -> Batch:
    """The micro-batch of *rows* of *split*. Raises ValueError for no rows, or one that its window cannot hold."""
    if not rows:
        raise ValueError("a micro-batch needs at least one row")
    inputs, targets = _tokens([split.labels(row) for row in rows])
    return Batch(
        features=_features(split, rows, padding),
        floor=split.floor[list(rows)].astype(np.float32),
        inputs=inputs,
        targets=targets,
        num_targets=int((targets != IGNORED).sum()),
    )


def context_frames(longest: int, padding: Padding) -> int:
    """Frames of a micro-batch whose longest clip has *longest*. Raises ValueError where the window is too short."""
    if padding is Padding.OWN:
        return -(-longest // FRAME_MULTIPLE) * FRAME_MULTIPLE
    if longest > WINDOW_FRAMES:
        raise ValueError(f"a clip of {longest} frames does not fit the window of {WINDOW_FRAMES}")
    return WINDOW_FRAMES


def _features(split: StoreSplit, rows: Sequence[int], padding: Padding) -> NDArray[Any]:
    clips = [split.log_mel(row) for row in rows]
    frames = context_frames(max(map(len, clips)), padding)
    out = np.empty((len(clips), frames, split.spec.num_mel_bins), split.spec.dtype)
    for number, (row, clip) in enumerate(zip(rows, clips, strict=True)):
        out[number, : len(clip)] = clip
        out[number, len(clip) :] = _filler(split, row, padding)
    return out


def _filler(split: StoreSplit, row: int, padding: Padding) -> float | int:
    """What follows a clip, in the store's dtype."""
    floor = float(split.floor[row])
    value = 0.0 if padding is Padding.ZEROS else floor
    if split.spec.dtype == "uint8":
        return int(np.clip(np.rint((value - floor) / STEP), 0, 255))
    return value


def _tokens(labels: Sequence[NDArray[np.int32]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Decoder inputs and targets. The store's labels begin with the start token, which is an input and no target."""
    longest = max(map(len, labels)) - 1
    inputs = np.empty((len(labels), longest), np.int64)
    targets = np.full((len(labels), longest), IGNORED, np.int64)
    for number, tokens in enumerate(labels):
        count = len(tokens) - 1
        inputs[number, :count] = tokens[:-1]
        # The end token: a decoder that looks back only never sees it from a place that counts.
        inputs[number, count:] = tokens[-1]
        targets[number, :count] = tokens[1:]
    return inputs, targets

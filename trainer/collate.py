"""Rows of the store to one padded micro-batch, as arrays. Pure; nothing is decoded, values keep the store's dtype.

Each clip is padded with its own floor value (silence in the waveform), to the longest clip of its micro-batch. Where
the model is to stay good at Whisper's 30 s, the micro-batch is as long as the window, and some of its clips are padded
with zeros in the mel domain: the two ways in which inference does it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.rows import STEP
from shared.schema import WINDOW_FRAMES
from shared.store import StoreSplit
from trainer.buffers import Empty
from trainer.sampler import Clip, Padding

FRAME_MULTIPLE = 16
"""Frames are rounded up to this: the encoder halves them, and tensor cores like multiples of 8."""
IGNORED = -100
"""A target that counts for nothing, as `torch.nn.functional.cross_entropy` has it."""

Augment = Callable[[NDArray[Any], float | int, int], None]
"""Changes a clip's own frames [num_frames, num_mel_bins] in place; told the value of silence and the row."""


@dataclass(frozen=True, slots=True)
class Batch:
    """*features* [rows, frames, num_mel_bins] of the store's dtype (uint8: steps above *floor*, float32[rows]).

    *inputs* int64[rows, tokens] is what the decoder sees, from the start token on; *targets* int64[places] is what it
    is to say next, at those *places* int64 of its flattened output that matter.
    """

    features: NDArray[Any]
    floor: NDArray[np.float32]
    inputs: NDArray[np.int64]
    places: NDArray[np.int64]
    targets: NDArray[np.int64]


def collate(split: StoreSplit, clips: Sequence[Clip], augment: Augment | None = None, empty: Empty = np.empty) -> Batch:
    """The micro-batch of *clips* of *split*, as long as the longest; *augment* changes a clip's frames in place.

    *empty* makes the array of the features. Raises ValueError for no clips.
    """
    if not clips:
        raise ValueError("a micro-batch needs at least one row")
    inputs, targets = _tokens([split.labels(clip.row) for clip in clips])
    places = np.flatnonzero(targets != IGNORED)
    floor = split.floor[[clip.row for clip in clips]].astype(np.float32)
    return Batch(
        features=_features(split, clips, floor.tolist(), augment, empty),
        floor=floor,
        inputs=inputs,
        places=places,
        targets=targets.ravel()[places],
    )


def context_frames(longest: int) -> int:
    """Frames of a micro-batch whose longest clip has *longest*: a multiple that the hardware likes."""
    return -(-longest // FRAME_MULTIPLE) * FRAME_MULTIPLE


def _features(
    split: StoreSplit, clips: Sequence[Clip], floors: Sequence[float], augment: Augment | None, empty: Empty
) -> NDArray[Any]:
    # The window itself is no multiple of 16; it stays what inference has.
    longest = max(clip.frames for clip in clips)
    frames = longest if longest == WINDOW_FRAMES else context_frames(longest)
    out = empty((len(clips), frames, split.spec.num_mel_bins), split.spec.dtype)
    for own, clip, floor in zip(out, clips, floors, strict=True):
        log_mel = split.log_mel(clip.row)
        own[: len(log_mel)] = log_mel
        own[len(log_mel) :] = _stored(split, 0.0 if clip.padding is Padding.ZEROS else floor, floor)
        if augment is not None:
            augment(own[: len(log_mel)], _stored(split, floor, floor), clip.row)
    return out


def _stored(split: StoreSplit, value: float, floor: float) -> float | int:
    """*value* of a clip with *floor*, in the store's dtype."""
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

"""Rows of the store to one padded micro-batch, as arrays. Pure; nothing is decoded, values keep the store's dtype.

Each clip is padded with its own floor value (silence in the waveform), to the longest clip of its micro-batch. Where
the model is to stay good at Whisper's 30 s, the micro-batch is as long as the window, and some of its clips are padded
with zeros in the mel domain: the two ways in which inference does it.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from shared.rows import STEP
from shared.schema import WINDOW_FRAMES
from shared.store import StoreSplit
from trainer.buffers import Empty
from trainer.clips import Clips, Padding

# Rows are views of files, and nothing writes to the tensors that share their memory for the length of a call.
warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)

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


def collate(split: StoreSplit, clips: Clips, augment: Augment | None = None, empty: Empty = np.empty) -> Batch:
    """The micro-batch of *clips* of *split*, as `collate_many` forms it."""
    return collate_many(split, [clips], augment, empty)[0]


def collate_many(
    split: StoreSplit, micro_batches: Sequence[Clips], augment: Augment | None = None, empty: Empty = np.empty
) -> list[Batch]:
    """Micro-batches of clips of *split*, each as long as its longest; *augment* changes a clip's frames in place.

    *empty* makes the array of the features. Raises ValueError for a micro-batch without clips.
    """
    formed = [_without_rows(split, clips, empty) for clips in micro_batches]
    _copy_rows(split, micro_batches, formed)
    if augment is not None:
        for clips, batch in zip(micro_batches, formed, strict=True):
            _augment(split, clips, batch, augment)
    return formed


def context_frames(longest: int) -> int:
    """Frames of a micro-batch whose longest clip has *longest*: a multiple that the hardware likes."""
    return -(-longest // FRAME_MULTIPLE) * FRAME_MULTIPLE


def _without_rows(split: StoreSplit, clips: Clips, empty: Empty) -> Batch:
    """The micro-batch of *clips* with the padding, but not yet the rows' own frames."""
    if not len(clips):
        raise ValueError("a micro-batch needs at least one row")
    labels = split.padded_labels(clips.rows).astype(np.int64)
    # The store's labels begin with the start token, which is an input and no target. After the end token, which they
    # end with, nothing counts; and a decoder that looks back only never sees it from a place that counts.
    tokens = split.num_labels.take(clips.rows) - 1
    places = np.flatnonzero(np.arange(labels.shape[1] - 1) < tokens[:, np.newaxis])
    floor = split.floor.take(clips.rows)
    return Batch(
        features=_padding(split, clips, floor, empty),
        floor=floor,
        inputs=np.ascontiguousarray(labels[:, :-1]),
        places=places,
        targets=labels[:, 1:].ravel().take(places),
    )


def _padding(split: StoreSplit, clips: Clips, floor: NDArray[np.float32], empty: Empty) -> NDArray[Any]:
    # The window itself is no multiple of 16; it stays what inference has.
    longest = int(clips.frames.max())
    frames = longest if longest == WINDOW_FRAMES else context_frames(longest)
    out = empty((len(clips), frames, split.spec.num_mel_bins), split.spec.dtype)
    value = _stored(split, np.where(clips.padding == Padding.ZEROS, np.float32(0), floor), floor)
    shortest = int(split.num_frames.take(clips.rows).min())
    out[:, shortest:] = value[:, np.newaxis, np.newaxis]
    return out


def _copy_rows(split: StoreSplit, micro_batches: Sequence[Clips], formed: Sequence[Batch]) -> None:
    """Copies every row to the beginning of its clip.

    In one call, which does not hold the interpreter: other threads of Python, the training loop before all, go on.
    """
    targets, sources = [], []
    for clips, batch in zip(micro_batches, formed, strict=True):
        room = batch.features.view(np.uint8).reshape(len(clips), -1)
        for clip, payload in zip(room, split.payloads(clips.rows), strict=True):
            targets.append(torch.from_numpy(clip[: len(payload)]))
            sources.append(torch.from_numpy(payload))
    torch._foreach_copy_(targets, sources)  # the only one that copies many in one call


def _augment(split: StoreSplit, clips: Clips, batch: Batch, augment: Augment) -> None:
    frames = split.num_frames.take(clips.rows).tolist()
    silence = _stored(split, batch.floor, batch.floor).tolist()
    for log_mel, count, value, row in zip(batch.features, frames, silence, clips.rows.tolist(), strict=True):
        augment(log_mel[:count], value, row)


def _stored(split: StoreSplit, values: NDArray[np.float32], floor: NDArray[np.float32]) -> NDArray[Any]:
    """*values* of clips with *floor*, in the store's dtype."""
    if split.spec.dtype == "uint8":
        values = np.clip(np.rint((values - floor) / STEP), 0, 255)
    stored: NDArray[Any] = values.astype(split.spec.dtype)
    return stored

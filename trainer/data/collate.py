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
from trainer.data.buffers import Empty
from trainer.data.clips import Clips, Padding
from trainer.data.fill import fill_features, fill_labels
from trainer.data.rows import Rows

FRAME_MULTIPLE = 16
"""Frames are rounded up to this: the encoder halves them, and tensor cores like multiples of 8."""

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


def collate(split: Rows, clips: Clips, augment: Augment | None = None, *, window: int = WINDOW_FRAMES) -> Batch:
    """The micro-batch of *clips* of *split*, as `collate_many` forms it; *augment* changes a clip's frames in place."""
    batch = collate_many(split, [clips], window=window)[0]
    if augment is not None:
        augment_batch(split, clips, batch, augment)
    return batch


def collate_many(
    split: Rows, micro_batches: Sequence[Clips], empty: Empty = np.empty, *, window: int = WINDOW_FRAMES
) -> list[Batch]:
    """Micro-batches of clips of *split*, each as long as its longest, for a model whose window has *window* frames.

    *empty* makes the array of the features. Raises ValueError for a micro-batch without clips, and StoreError as
    `StoreSplit.payloads` and `StoreSplit.check_copies` do.
    """
    counts = np.array([len(clips) for clips in micro_batches])
    if not counts.all():
        raise ValueError("a micro-batch needs at least one row")
    clips = Clips.joined(micro_batches)
    floor = split.floor.take(clips.rows)
    features = [empty(_shape(split, some, window), split.spec.dtype) for some in micro_batches]
    _fill_features(split, clips, floor, features)
    labels = _labels(split, clips.rows, counts)
    return [Batch(*arrays) for arrays in zip(features, _parts(floor, counts), *labels, strict=True)]


def augment_batch(split: Rows, clips: Clips, batch: Batch, augment: Augment) -> None:
    """Lets *augment* change every clip's own frames in *batch*."""
    frames = split.num_frames.take(clips.rows).tolist()
    silence = _stored(split, batch.floor, batch.floor).tolist()
    for log_mel, count, value, row in zip(batch.features, frames, silence, clips.rows.tolist(), strict=True):
        augment(log_mel[:count], value, row)


def context_frames(longest: int, window: int = WINDOW_FRAMES) -> int:
    """Frames of a micro-batch whose longest clip has *longest*: a multiple that the hardware likes.

    The window itself, which is none, stays what inference has; no clip that fits in it gets a longer one.
    """
    rounded = -(-longest // FRAME_MULTIPLE) * FRAME_MULTIPLE
    return min(rounded, window) if longest <= window else rounded


def _shape(split: Rows, clips: Clips, window: int) -> tuple[int, int, int]:
    return len(clips), context_frames(int(clips.frames.max()), window), split.spec.num_mel_bins


def _fill_features(split: Rows, clips: Clips, floor: NDArray[np.float32], features: Sequence[NDArray[Any]]) -> None:
    """Copies the rows of *clips* to where *features* have room for them, checks the copies, and pads them."""
    blocks = np.concatenate([array.ctypes.data + array.strides[0] * np.arange(len(array)) for array in features])
    rooms = np.repeat([array.strides[0] for array in features], [len(array) for array in features])
    payloads, sizes = split.payloads(clips.rows)
    value = _stored(split, np.where(clips.padding == Padding.ZEROS, np.float32(0), floor), floor)
    frames = np.repeat(value[:, np.newaxis], split.spec.num_mel_bins, axis=1)
    fill_features(blocks, rooms, payloads, sizes, frames.view(np.uint8))
    # What was copied is what is trained on; the file may change between two looks at it.
    filled = (clip for array in features for clip in array.view(np.uint8).reshape(len(array), -1))
    split.check_copies(clips.rows, (clip[:size].data for clip, size in zip(filled, sizes.tolist(), strict=True)))


def _labels(split: Rows, rows: NDArray[np.int64], counts: NDArray[np.int64]) -> tuple[list[NDArray[np.int64]], ...]:
    """Inputs, places and targets of micro-batches that have *counts* of *rows*.

    The store's labels begin with the start token, which is an input and no target. After the end token, which they end
    with, nothing counts; and a decoder that looks back only never sees it from a place that counts.
    """
    # Rows of labels S a b E and S c E: inputs are S a b and S c E, targets a b E c E at the places 0 1 2 3 4.
    num_labels = split.num_labels.take(rows).astype(np.int64)
    begins = np.cumsum(counts) - counts
    most = np.maximum.reduceat(num_labels, begins) - 1
    widths = np.repeat(most, counts)
    firsts = widths * (np.arange(len(rows)) - np.repeat(begins, counts))
    inputs = np.empty(widths.sum(), np.int64)
    places, targets = np.empty((2, num_labels.sum() - len(rows)), np.int64)
    by_row = np.stack([split.label_offsets.take(rows), num_labels, widths, firsts])
    fill_labels(split.label_values, by_row, inputs, places, targets)
    tokens = np.add.reduceat(num_labels - 1, begins)
    shapes = np.stack([counts, most], axis=1).tolist()
    shaped = [part.reshape(shape) for part, shape in zip(_parts(inputs, counts * most), shapes, strict=True)]
    return shaped, _parts(places, tokens), _parts(targets, tokens)


def _parts(values: NDArray[Any], sizes: NDArray[np.int64]) -> list[NDArray[Any]]:
    """*values* cut into parts of *sizes*."""
    ends = np.cumsum(sizes).tolist()
    return [values[end - size : end] for end, size in zip(ends, sizes.tolist(), strict=True)]


def _stored(split: Rows, values: NDArray[np.float32], floor: NDArray[np.float32]) -> NDArray[Any]:
    """*values* of clips with *floor*, in the store's dtype."""
    if split.spec.dtype == "uint8":
        values = np.clip(np.rint((values - floor) / STEP), 0, 255)
    stored: NDArray[Any] = values.astype(split.spec.dtype)
    return stored

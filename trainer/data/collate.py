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
from trainer.data.timed_labels import LabelRows, TimeTokens, timed_labels
from trainer.data.window_parts import Parts, floor_by_frame, window_floor

FRAME_MULTIPLE = 16
"""Frames are rounded up to this: the encoder halves them, and tensor cores like multiples of 8."""

Augment = Callable[[NDArray[Any], float | int, int], None]
"""Changes a clip's own frames [num_frames, num_mel_bins] in place; told the value of silence and the row."""


@dataclass(frozen=True, slots=True)
class Batch:
    """*features* [rows, frames, num_mel_bins] of the store's dtype (uint8: steps above *floor*, float32[rows]).

    Where some are windows of several clips, *floor* is of every frame, float32[rows, frames], and what is below a
    window's largest is to be raised to that. *inputs* int64[rows, tokens] is what the decoder sees, from the start
    token or a prompt on; *targets* int64[places] is what it is to say next, at those *places* int64 of its flattened
    output that matter.
    """

    features: NDArray[Any]
    floor: NDArray[np.float32]
    inputs: NDArray[np.int64]
    places: NDArray[np.int64]
    targets: NDArray[np.int64]


def collate(
    split: Rows,
    clips: Clips,
    augment: Augment | None = None,
    *,
    window: int = WINDOW_FRAMES,
    times: TimeTokens | None = None,
) -> Batch:
    """The micro-batch of *clips* of *split*, as `collate_many` forms it; *augment* changes a clip's frames in place."""
    batch = collate_many(split, [clips], window=window, times=times)[0]
    if augment is not None:
        augment_batch(split, clips, batch, augment)
    return batch


def collate_many(
    split: Rows,
    micro_batches: Sequence[Clips],
    empty: Empty = np.empty,
    *,
    window: int = WINDOW_FRAMES,
    times: TimeTokens | None = None,
) -> list[Batch]:
    """Micro-batches of clips of *split*, each as long as its longest, for a model whose window has *window* frames.

    *empty* makes the array of the features; clips with windows want *times*. Raises ValueError for a micro-batch
    without clips, and StoreError as `StoreSplit.payloads` and `StoreSplit.check_copies` do.
    """
    counts = np.array([len(clips) for clips in micro_batches])
    if not counts.all():
        raise ValueError("a micro-batch needs at least one row")
    clips = Clips.joined(micro_batches)
    parts = Parts.of(clips)
    floor = window_floor(split.floor.take(parts.rows), parts)
    features = [empty(_shape(split, some, window), split.spec.dtype) for some in micro_batches]
    _fill_features(split, clips, parts, floor, features)
    labels = _labels(split, clips, counts, times)
    floors = [
        floor_by_frame(split, Parts.of(some), own, array.shape[1])
        for some, own, array in zip(micro_batches, _parts(floor, counts), features, strict=True)
    ]
    return [Batch(*arrays) for arrays in zip(features, floors, *labels, strict=True)]


def augment_batch(split: Rows, clips: Clips, batch: Batch, augment: Augment) -> None:
    """Lets *augment* change every clip's own frames in *batch*, those of each clip in a window by themselves."""
    parts = Parts.of(clips)
    floor = split.floor.take(parts.rows)
    silence, frames = _stored(split, floor, floor).tolist(), split.num_frames.take(parts.rows)
    ends = np.minimum(parts.starts + frames, batch.features.shape[1]).tolist()
    for of, start, end, value, row in zip(*parts.lists(), ends, silence, parts.rows.tolist(), strict=True):
        augment(batch.features[of, start:end], value, row)


def context_frames(longest: int, window: int = WINDOW_FRAMES) -> int:
    """Frames of a micro-batch whose longest clip has *longest*: a multiple that the hardware likes.

    The window itself, which is none, stays what inference has; no clip that fits in it gets a longer one.
    """
    rounded = -(-longest // FRAME_MULTIPLE) * FRAME_MULTIPLE
    return min(rounded, window) if longest <= window else rounded


def _shape(split: Rows, clips: Clips, window: int) -> tuple[int, int, int]:
    return len(clips), context_frames(int(clips.frames.max()), window), split.spec.num_mel_bins


def _fill_features(
    split: Rows, clips: Clips, parts: Parts, floor: NDArray[np.float32], features: Sequence[NDArray[Any]]
) -> None:
    """Copies the rows of *clips* to where *features* have room for them, checks the copies, and pads them."""
    blocks = np.concatenate([array.ctypes.data + array.strides[0] * np.arange(len(array)) for array in features])
    rooms = np.repeat([array.strides[0] for array in features], [len(array) for array in features])
    begins, ends = parts.within(rooms, split.spec.payload_bytes(1))
    payloads, sizes = split.payloads(parts.rows)
    value = _stored(split, np.where(clips.padding == Padding.ZEROS, np.float32(0), floor), floor)[parts.clip]
    frames = np.repeat(value[:, np.newaxis], split.spec.num_mel_bins, axis=1)
    cut = np.flatnonzero(parts.cut)
    # What is cut off is compared with its checksum whole, and so copied whole at first.
    whole = [np.empty(size, np.uint8) for size in sizes[cut].tolist()]
    for place, copy in zip(cut.tolist(), whole, strict=True):
        one = slice(place, place + 1)
        fill_features(np.array([copy.ctypes.data]), sizes[one], payloads[one], sizes[one], frames[one].view(np.uint8))
        payloads[place] = copy.ctypes.data
    copied = sizes.copy()
    copied[cut] = (ends - begins)[cut]
    fill_features(blocks[parts.clip] + begins, ends - begins, payloads, copied, frames.view(np.uint8))
    # What was copied is what is trained on; the file may change between two looks at it.
    filled = [clip for array in features for clip in array.view(np.uint8).reshape(len(array), -1)]
    copies: list[NDArray[np.uint8]] = [
        filled[of][begin : begin + size]
        for of, begin, size in zip(parts.clip.tolist(), begins.tolist(), copied.tolist(), strict=True)
    ]
    for place, copy in zip(cut.tolist(), whole, strict=True):
        copies[place] = copy
    split.check_copies(parts.rows, (copy.data for copy in copies))


def _labels(
    split: Rows, clips: Clips, counts: NDArray[np.int64], times: TimeTokens | None
) -> tuple[list[NDArray[np.int64]], ...]:
    """Inputs, places and targets of micro-batches that have *counts* of *clips*.

    The store's labels begin with the start token, which is an input and no target. After the end token, which they end
    with, nothing counts; and a decoder that looks back only never sees it from a place that counts.
    """
    # Rows of labels S a b E and S c E: inputs are S a b and S c E, targets a b E c E at the places 0 1 2 3 4.
    if times is not None and (clips.windows != None).any():  # noqa: E711 - of every element
        rows = timed_labels(split, clips, times)
    else:
        taken = split.label_offsets.take(clips.rows), split.num_labels.take(clips.rows).astype(np.int64)
        rows = LabelRows(split.label_values, *taken, np.zeros(len(clips), np.int64))
    learned = rows.counts - 1 - rows.passed
    begins = np.cumsum(counts) - counts
    most = np.maximum.reduceat(rows.counts, begins) - 1
    widths = np.repeat(most, counts)
    firsts = widths * (np.arange(len(clips)) - np.repeat(begins, counts))
    inputs = np.empty(widths.sum(), np.int64)
    places, targets = np.empty((2, learned.sum()), np.int64)
    fill_labels(rows.values, np.stack([rows.begins, rows.counts, widths, firsts, rows.passed]), inputs, places, targets)
    tokens = np.add.reduceat(learned, begins)
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

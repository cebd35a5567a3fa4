"""What a micro-batch's arrays hold, filled in row by row: the loops for which Python takes longer than for the bytes.

Compiled when the module is imported, which takes half a second, lest training waits for it. It runs without the
interpreter: other threads of Python, the training loop before all, go on.
"""

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

_Longs = NDArray[np.int64]

_INTS = types.int64[::1]
_LABELS = types.Array(types.int32, 1, "C", readonly=True)
_memcpy = types.ExternalFunction("memcpy", types.intp(types.intp, types.intp, types.intp))


@njit(types.void(_INTS, _INTS, _INTS, _INTS, types.uint8[:, ::1]), nogil=True)
def fill_features(blocks: _Longs, rooms: _Longs, payloads: _Longs, sizes: _Longs, padding: NDArray[np.uint8]) -> None:
    """Row by row: *sizes* bytes at the address *payloads*, then *padding* [rows, bytes of a frame], into a block.

    A block begins at the address *blocks* and has *rooms* bytes, whole frames as *sizes* are: raises ValueError before
    anything is written where it has not. That the addresses hold is `StoreSplit.payloads`' promise.
    """
    frame = padding.shape[1]
    for row in range(len(blocks)):
        if sizes[row] < 0 or sizes[row] > rooms[row] or sizes[row] % frame or rooms[row] % frame:
            raise ValueError("a clip must have as many frames as its row, at least, and whole ones")
    for row in range(len(blocks)):
        _memcpy(blocks[row], payloads[row], sizes[row])
        for start in range(sizes[row], rooms[row], frame):
            _memcpy(blocks[row] + start, padding[row].ctypes.data, frame)


@njit(types.void(_LABELS, types.int64[:, ::1], _INTS, _INTS, _INTS), nogil=True)
def fill_labels(labels: NDArray[np.int32], rows: _Longs, inputs: _Longs, places: _Longs, targets: _Longs) -> None:
    """Row by row, from *rows* int64[5, rows]: where its *labels* start, their number, inputs, first place, what passes.

    A row has that many *inputs*, the last of its labels repeated where they are fewer, and all of its labels but the
    first ones that pass and one more as *targets*, at *places* counted from the first. These are filled from row to
    row without a gap. Raises ValueError before anything is written where labels, inputs or targets would not suffice.
    """
    all_inputs = all_targets = 0
    for start, count, width, _, passed in rows.T:
        if start < 0 or count < 1 or count > len(labels) - start or width < 0 or passed < 0 or passed >= count:
            raise ValueError("a row has labels that the split does not have")
        all_inputs += width
        all_targets += count - 1 - passed
    if all_inputs > len(inputs) or all_targets > min(len(targets), len(places)):
        raise ValueError("the rows have more labels than there is room for")
    inputs_done = targets_done = 0
    for start, count, width, first, passed in rows.T:
        for place in range(width):
            inputs[inputs_done + place] = labels[start + min(place, count - 1)]
        for place in range(passed, count - 1):
            places[targets_done + place - passed] = first + place
            targets[targets_done + place - passed] = labels[start + place + 1]
        inputs_done += width
        targets_done += count - 1 - passed


@njit(types.void(_LABELS, types.int64[:, ::1], types.int32[::1]), nogil=True)
def fill_spans(labels: NDArray[np.int32], spans: _Longs, values: NDArray[np.int32]) -> None:
    """Span by span, from *spans* int64[4, spans]: where its *labels* start, how many, one label before, one after them.

    Labels before or after that are negative are left out. Raises ValueError before anything is written where the
    labels are not there, or *values* have another length than all spans.
    """
    total = 0
    for start, count, before, after in spans.T:
        if start < 0 or count < 0 or count > len(labels) - start:
            raise ValueError("a span has labels that the split does not have")
        total += count + (before >= 0) + (after >= 0)
    if total != len(values):
        raise ValueError("the spans have other labels than there is room for")
    done = 0
    for start, count, before, after in spans.T:
        if before >= 0:
            values[done] = before
            done += 1
        for place in range(count):
            values[done + place] = labels[start + place]
        done += count
        if after >= 0:
            values[done] = after
            done += 1

"""One row's payload: reading its values without a copy, and rebuilding Whisper's padded input from it.

A payload is `num_frames x num_mel_bins` values in C order: little-endian float16, or uint8 steps of `STEP` above the
row's `floor`. Needs numpy alone.
"""

import numpy as np
from numpy.typing import NDArray

from shared.errors import StoreError
from shared.schema import FEATURE_RANGE, WINDOW_FRAMES, FeatureSpec
from shared.units import format_counted

STEP = np.float32(FEATURE_RANGE / 255)
"""What one uint8 step is worth; the clamp makes a row's range exactly `FEATURE_RANGE`, so 255 steps span it."""

Payload = bytes | bytearray | memoryview


def view(payload: Payload, spec: FeatureSpec, num_frames: int) -> NDArray[np.float16] | NDArray[np.uint8]:
    """The payload's stored values `[num_frames, num_mel_bins]`, sharing its memory.

    Raises `StoreError` where the payload has not exactly the bytes that *spec* and *num_frames* ask for.
    """
    expected = spec.payload_bytes(num_frames)
    num_bytes = memoryview(payload).nbytes
    if num_bytes != expected:
        raise StoreError(
            f"a log_mel payload has {num_bytes:,} bytes; {format_counted(num_frames, 'frame')} x "
            f"{spec.num_mel_bins} bins of "
            f"{spec.dtype} are {expected:,}",
            "run `python -m preprocess.verify` on the store",
        )
    values: NDArray[np.float16] | NDArray[np.uint8]
    values = np.frombuffer(payload, dtype="<f2" if spec.dtype == "float16" else np.uint8)
    return values.reshape(num_frames, spec.num_mel_bins)


def dequantise(payload: Payload, spec: FeatureSpec, num_frames: int, floor: float) -> NDArray[np.float32]:
    """The payload's log-mel as float32 `[num_frames, num_mel_bins]`; uint8 errs by at most half a `STEP` (0.0040).

    Raises `StoreError` as `view` does.
    """
    out = np.empty((num_frames, spec.num_mel_bins), np.float32)
    _dequantise_into(out, payload, spec, floor)
    return out


def rebuild(
    payload: Payload, spec: FeatureSpec, num_frames: int, floor: float, window_frames: int = WINDOW_FRAMES
) -> NDArray[np.float32]:
    """Whisper's padded input, float32 `[window_frames, num_mel_bins]`: the row's frames, then *floor*.

    Transposed it is what `WhisperFeatureExtractor` returns. Raises `StoreError` as `view` does, and where the row has
    more frames than the window.
    """
    if num_frames > window_frames:
        raise StoreError(
            f"a row of {format_counted(num_frames, 'frame')} does not fit a window of {window_frames}",
            "use a window as long as the longest row, or preprocess with a shorter --max-duration",
        )
    out = np.empty((window_frames, spec.num_mel_bins), np.float32)
    _dequantise_into(out[:num_frames], payload, spec, floor)
    out[num_frames:] = floor
    return out


def _dequantise_into(out: NDArray[np.float32], payload: Payload, spec: FeatureSpec, floor: float) -> None:
    stored = view(payload, spec, len(out))
    if stored.dtype == np.uint8:
        np.multiply(stored, STEP, out=out)
        out += np.float32(floor)
    else:
        out[:] = stored

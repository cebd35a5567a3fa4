"""Samples to log-mel as Whisper computes it, for the frames that carry signal and no others.

The maths is `WhisperFeatureExtractor`'s: a centred, reflected STFT (400-point periodic Hann window, hop 160) without
its last frame, power, mel, log10, a clamp 8 decades below the maximum, `(x + 4) / 4`.
"""

import hashlib
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from preprocess.features.kernel import SILENCE, SPARE_ROWS, halves, log_mel
from preprocess.features.mel import mel_filters
from preprocess.features.spectrum import BINS, FRAMES
from shared.schema import FEATURE_RANGE, HOP_LENGTH, N_FFT, WINDOW_FRAMES, FeatureDtype, num_frames_of

_PAD = N_FFT // 2
_HOPS_AFTER = 2
"""A frame reaches into so many hops after its own."""


class Features(NamedTuple):
    """What a row stores of its clip; `quantise` tells of the *payload*, `floor_of` of the *floor*."""

    payload: bytes
    num_frames: int
    floor: np.float32


class LogMel:
    """Computes log-mel with one filter bank `[num_mel_bins, 201]` for a model of *window_frames*.

    Same samples, same bytes, whatever came before and on whatever CPU.
    """

    def __init__(self, filters: NDArray[np.float32], window_frames: int = WINDOW_FRAMES) -> None:
        if filters.ndim != 2 or filters.shape[1] != BINS:  # noqa: PLR2004 - a matrix
            raise ValueError(f"a filter bank of shape {filters.shape}; expected [num_mel_bins, {BINS}]")
        self.num_mel_bins = len(filters)
        self._window_frames = window_frames
        self._window = np.hanning(N_FFT + 1)[:-1].astype(np.float32)
        self._first, self._quads, self._filters = _packed(filters)

    def __call__(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Log-mel `[num_frames_of(num_samples), num_mel_bins]`, float32, of finite 16 kHz mono *samples*.

        Every value lies between `floor_of` the result and `FEATURE_RANGE` above it. Raises `TypeError` for samples that
        are not float32 `[num_samples]`.
        """
        if samples.dtype != np.float32 or samples.ndim != 1:
            raise TypeError(f"samples are {samples.dtype} {samples.shape}; expected float32 [num_samples]")
        values = np.empty((num_frames_of(len(samples), self._window_frames), self.num_mel_bins), np.float32)
        signal = _padded(samples, len(values), self._window_frames)
        log_mel(signal, self._window, self._first, self._quads, self._filters, values)
        # Scaling first and clamping after is the same function; it makes the clamp the very `floor` that a row stores.
        return np.maximum(values, floor_of(values), out=values)

    def features(self, samples: NDArray[np.float32], dtype: FeatureDtype) -> Features:
        """The log-mel of *samples* as a row stores it."""
        values = self(samples)
        floor = floor_of(values)
        return Features(quantise(values, floor, dtype), len(values), floor)


def _packed(filters: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Of each filter the first bin that it weighs and how many fours of bins it takes, and the weights of all of these.

    A quarter of them, since they are of powers that count four times; only the ends of a spectrum count once.
    """
    quarter = filters * np.where(np.isin(np.arange(BINS), (0, BINS - 1)), np.float32(1), np.float32(0.25))
    used = [np.flatnonzero(row) for row in filters]
    first = np.array([bins[0] if len(bins) else 0 for bins in used], np.int64)
    quads = np.array([(bins[-1] - bins[0] + 4) // 4 if len(bins) else 0 for bins in used], np.int64)
    spare = np.pad(quarter, ((0, 0), (0, SPARE_ROWS)))
    parts = [row[start : start + 4 * count] for row, start, count in zip(spare, first, quads, strict=True)]
    return first, quads, np.concatenate(parts)


def _padded(samples: NDArray[np.float32], num_frames: int, window_frames: int) -> NDArray[np.float32]:
    """The samples of all frames, those of a last block's that nobody asked for as well: *samples* in the model's window
    (where they are longer, rounded up to a hop), which is mirrored at its borders.
    """
    hops = -(-num_frames // FRAMES) * FRAMES + _HOPS_AFTER
    signal = np.zeros(max(hops * HOP_LENGTH, 2 * _PAD + 1), np.float32)
    inside = signal[_PAD:]
    inside[: len(samples)] = samples[: len(inside)]
    signal[:_PAD] = signal[2 * _PAD : _PAD : -1]
    end = _PAD + max(window_frames, -(-len(samples) // HOP_LENGTH)) * HOP_LENGTH
    beyond = signal[end : end + _PAD]
    beyond[:] = signal[end - 2 : end - 2 - len(beyond) : -1]
    return signal


def floor_of(log_mel: NDArray[np.float32]) -> np.float32:
    """The one value of every frame after the row's own: the clamp, or digital silence where that is higher."""
    return np.float32(max(log_mel.max() - np.float32(FEATURE_RANGE), SILENCE))


def quantise(log_mel: NDArray[np.float32], floor: np.float32, dtype: FeatureDtype) -> bytes:
    """The row's payload in C order: float16, or uint8 steps of 2 / 255 above *floor*. `shared.rows` reads it back."""
    values: NDArray[Any]
    if dtype == "float16":
        flat, scratch = np.ascontiguousarray(log_mel).reshape(-1), np.empty(log_mel.size, np.float32)
        values = np.empty(log_mel.size, np.uint16)
        halves(flat, flat.view(np.int32), scratch, scratch.view(np.int32), values)
    else:
        steps = (log_mel - floor) * np.float32(255 / FEATURE_RANGE)
        values = np.rint(steps, out=steps).astype(np.uint8)
    return values.tobytes()


def fixed_clip_digest() -> str:
    """16 digits for the log-mel of one fixed clip: machines that make one store must agree in it to the last bit."""
    samples = np.sin(np.arange(20_000, dtype=np.float64) ** 1.5 / 500).astype(np.float32)
    return hashlib.blake2b(LogMel(mel_filters(128))(samples).tobytes(), digest_size=8).hexdigest()

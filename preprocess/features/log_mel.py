"""Samples to log-mel as Whisper computes it, for the frames that carry signal and no others.

The maths is `WhisperFeatureExtractor`'s: a centred, reflected STFT (400-point periodic Hann window, hop 160) without
its last frame, power, mel, log10, a clamp 8 decades below the maximum, `(x + 4) / 4`.
"""

from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from shared.schema import (
    FEATURE_RANGE,
    HOP_LENGTH,
    N_FFT,
    SAMPLING_RATE,
    WINDOW_FRAMES,
    FeatureDtype,
    num_frames_of,
)

SILENCE = np.float32(-1.5)
"""A frame of digital silence: `(log10(1e-10) + 4) / 4`."""

_HZ_PER_MEL, _LOG_HZ = 200.0 / 3, 1_000.0
_LOG_MEL, _LOG_STEP = _LOG_HZ / _HZ_PER_MEL, np.log(6.4) / 27
_PAD = N_FFT // 2
_NUM_BINS = N_FFT // 2 + 1
_MIN_POWER = np.float32(1e-10)
# Block, spectrum and power of 128 frames are 0.5 MB and stay in the L2 cache; the last block of a clip is shorter.
# The boundaries depend on the clip alone, so the same clip always gives the same bytes.
_BLOCK_FRAMES = 128
_BLOCK_SAMPLES = (_BLOCK_FRAMES - 1) * HOP_LENGTH + N_FFT
# Filters of one matrix product. A filter touches few neighbouring bins, so a product over 32 filters needs a third of
# the bins on average; fewer filters save flops and lose more to call overhead.
_GROUP_FILTERS = 32


def mel_frequencies(count: int) -> NDArray[np.float64]:
    """*count* frequencies in Hz, 0 to 8,000, even on Slaney's mel scale: linear below 1 kHz, logarithmic above."""
    top = _LOG_MEL + np.log(SAMPLING_RATE / 2 / _LOG_HZ) / _LOG_STEP
    mels = np.linspace(0.0, top, count)
    logarithmic = _LOG_HZ * np.exp(_LOG_STEP * (mels - _LOG_MEL))
    return np.where(mels >= _LOG_MEL, logarithmic, _HZ_PER_MEL * mels)


def mel_filters(num_mel_bins: int) -> NDArray[np.float32]:
    """Whisper's filter bank, `[num_mel_bins, 201]`: Slaney scale and norm, 0 to 8,000 Hz; librosa's to the last bit."""
    edges = mel_frequencies(num_mel_bins + 2)
    widths = np.diff(edges)[:, None]
    ramps = np.subtract.outer(edges, np.fft.rfftfreq(N_FFT, 1 / SAMPLING_RATE))
    triangles = np.maximum(0, np.minimum(-ramps[:-2] / widths[:-1], ramps[2:] / widths[1:])).astype(np.float32)
    # librosa rounds before the norm, which gives each filter the area 1, and after it.
    norm = 2.0 / (edges[2:] - edges[:-2])
    bank: NDArray[np.float32] = (triangles * norm[:, None]).astype(np.float32)
    return bank


class LogMel:
    """Computes log-mel with one filter bank `[num_mel_bins, 201]` for a model of *window_frames*; keeps its scratch.

    Not safe to share between threads. Same samples, same bytes, whatever came before.
    """

    def __init__(self, filters: NDArray[np.float32], window_frames: int = WINDOW_FRAMES) -> None:
        if filters.ndim != 2 or filters.shape[1] != _NUM_BINS:  # noqa: PLR2004 - a matrix
            raise ValueError(f"a filter bank of shape {filters.shape}; expected [num_mel_bins, {_NUM_BINS}]")
        self.num_mel_bins = len(filters)
        self._window_frames = window_frames
        self._window = np.hanning(N_FFT + 1)[:-1].astype(np.float32)
        self._groups = _grouped(filters)
        self._edge = np.empty(_BLOCK_SAMPLES, np.float32)
        self._frames = np.empty((_BLOCK_FRAMES, N_FFT), np.float32)
        self._power = np.empty((_BLOCK_FRAMES, _NUM_BINS), np.float32)

    def __call__(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Log-mel `[num_frames_of(num_samples), num_mel_bins]`, float32, of finite 16 kHz mono *samples*.

        Every value lies between `floor_of` the result and `FEATURE_RANGE` above it. Raises `TypeError` for samples that
        are not float32 `[num_samples]`.
        """
        if samples.dtype != np.float32 or samples.ndim != 1:
            raise TypeError(f"samples are {samples.dtype} {samples.shape}; expected float32 [num_samples]")
        samples = np.ascontiguousarray(samples)
        log_mel = np.empty((num_frames_of(len(samples), self._window_frames), self.num_mel_bins), np.float32)
        for start in range(0, len(log_mel), _BLOCK_FRAMES):
            self._mel_block(samples, start, log_mel[start : start + _BLOCK_FRAMES])
        return _scaled_log(log_mel)

    def _mel_block(self, samples: NDArray[np.float32], start: int, out: NDArray[np.float32]) -> None:
        """Mel power of the frames from *start* on, into *out* `[block, num_mel_bins]`."""
        count = len(out)
        signal = self._signal(samples, start * HOP_LENGTH - _PAD, (count - 1) * HOP_LENGTH + N_FFT)
        frames, power = self._frames[:count], self._power[:count]
        # Overlapping frames of one buffer. numpy's as_strided does the same, slowly, and without checking bounds.
        hops = np.ndarray(frames.shape, np.float32, signal, strides=(HOP_LENGTH * signal.itemsize, signal.itemsize))
        np.multiply(hops, self._window, out=frames)
        np.abs(scipy.fft.rfft(frames, axis=1, workers=1), out=power)
        np.multiply(power, power, out=power)
        for bins, mels, weights in self._groups:
            np.matmul(power[:, bins], weights, out=out[:, mels])

    def _signal(self, samples: NDArray[np.float32], first: int, count: int) -> NDArray[np.float32]:
        """*count* samples of the padded window from position *first*: a view inside the clip, scratch at its edges."""
        end = first + count
        if first >= 0 and end <= len(samples):
            return samples[first:end]
        edge = self._edge[:count]
        inside = samples[max(first, 0) : end]
        head = max(-first, 0)
        edge[:head] = 0.0
        edge[head : head + len(inside)] = inside
        edge[head + len(inside) :] = 0.0
        _reflect(edge, head, end - _window_samples(len(samples), self._window_frames))
        return edge


def _grouped(filters: NDArray[np.float32]) -> list[tuple[slice, slice, NDArray[np.float32]]]:
    """Neighbouring filters with the bins that any of them weighs: (bins, filters, weights `[bins, filters]`)."""
    groups = []
    for start in range(0, len(filters), _GROUP_FILTERS):
        group = filters[start : start + _GROUP_FILTERS]
        used = np.flatnonzero(group.any(axis=0))
        bins = slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 1)
        groups.append((bins, slice(start, start + len(group)), np.ascontiguousarray(group[:, bins].T)))
    return groups


def _window_samples(num_samples: int, window_frames: int) -> int:
    """The padded window: the model's, or the clip rounded up to a hop where that is longer."""
    return max(window_frames, -(-num_samples // HOP_LENGTH)) * HOP_LENGTH


def _reflect(edge: NDArray[np.float32], head: int, tail: int) -> None:
    """Mirrors *edge* at the window's borders: its first *head* and last *tail* values lie outside."""
    if head:
        edge[:head] = edge[2 * head : head : -1]
    if tail > 0:
        border = len(edge) - tail
        edge[border:] = edge[border - 2 : border - 2 - tail : -1]


def _scaled_log(mel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mel power to Whisper's scaled and clamped log10, in place.

    Scaling first and clamping after is the same function; it makes the clamp the very `floor` that a row stores.
    """
    np.maximum(mel, _MIN_POWER, out=mel)
    np.log10(mel, out=mel)
    np.multiply(mel, np.float32(0.25), out=mel)
    np.add(mel, np.float32(1.0), out=mel)
    return np.maximum(mel, floor_of(mel), out=mel)


def floor_of(log_mel: NDArray[np.float32]) -> np.float32:
    """The one value of every frame after the row's own: the clamp, or digital silence where that is higher."""
    return np.float32(max(log_mel.max() - np.float32(FEATURE_RANGE), SILENCE))


def quantise(log_mel: NDArray[np.float32], floor: np.float32, dtype: FeatureDtype) -> bytes:
    """The row's payload in C order: float16, or uint8 steps of 2 / 255 above *floor*. `shared.rows` reads it back."""
    if dtype == "float16":
        values: NDArray[Any] = log_mel.astype("<f2")
    else:
        steps = (log_mel - floor) * np.float32(255 / FEATURE_RANGE)
        values = np.rint(steps, out=steps).astype(np.uint8)
    return values.tobytes()

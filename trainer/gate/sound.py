"""A clip made audible again from its log-mel, for what takes sound alone: the VAD filter, and a whole call.

Stores hold no audio. A mel band says how loud its frequencies were together, and nothing of their phase: what comes out
is a hoarse voice that says the same (Griffin and Lim 1984).
"""

import numpy as np
from faster_whisper.feature_extractor import FeatureExtractor
from numpy.typing import NDArray

from shared.schema import HOP_LENGTH, N_FFT, SAMPLING_RATE

_ROUNDS = 8
_LOUD = 0.5
_EPSILON = 1e-8


def audible(log_mel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Samples, 16 kHz mono, of *log_mel* float32[mel bins, frames] as Whisper's extractor makes it."""
    filters = np.asarray(FeatureExtractor.get_mel_filters(SAMPLING_RATE, N_FFT, len(log_mel)), np.float64)
    power = np.linalg.pinv(filters) @ 10.0 ** (4.0 * log_mel.astype(np.float64) - 4.0)
    loudness = np.sqrt(np.maximum(power, 0.0)).T
    spectrum = loudness.astype(np.complex128)
    for _ in range(_ROUNDS):
        again = _spectrum(_samples(spectrum))
        spectrum = loudness * again / np.maximum(np.abs(again), _EPSILON)
    samples = _samples(spectrum)
    found: NDArray[np.float32] = (samples * (_LOUD / max(np.abs(samples).max(), _EPSILON))).astype(np.float32)
    return found


_WINDOW = np.hanning(N_FFT + 1)[:-1]


def _samples(spectrum: NDArray[np.complex128]) -> NDArray[np.float64]:
    """What windows of *spectrum* [frames, frequencies] add up to, without the half window before the first."""
    count = len(spectrum)
    frames = np.fft.irfft(spectrum, N_FFT) * _WINDOW
    places = (np.arange(count)[:, None] * HOP_LENGTH + np.arange(N_FFT)).ravel()
    total = np.bincount(places, frames.ravel())
    weight = np.bincount(places, np.tile(_WINDOW**2, count)) + _EPSILON
    found: NDArray[np.float64] = (total / weight)[N_FFT // 2 : N_FFT // 2 + count * HOP_LENGTH]
    return np.pad(found, (0, count * HOP_LENGTH - len(found)))


def _spectrum(samples: NDArray[np.float64]) -> NDArray[np.complex128]:
    """The spectrum of windows around every `HOP_LENGTH`th of *samples*."""
    padded = np.pad(samples, N_FFT // 2)
    windows = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP_LENGTH][: len(samples) // HOP_LENGTH]
    return np.fft.rfft(windows * _WINDOW)

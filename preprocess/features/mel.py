"""Whisper's filter bank: triangles that are even on Slaney's mel scale, each of area 1."""

import numpy as np
from numpy.typing import NDArray

from shared.schema import N_FFT, SAMPLING_RATE

_HZ_PER_MEL, _LOG_HZ = 200.0 / 3, 1_000.0
_LOG_MEL, _LOG_STEP = _LOG_HZ / _HZ_PER_MEL, np.log(6.4) / 27


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

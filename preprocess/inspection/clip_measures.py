"""What can be told of a clip's sound by arithmetic alone: level, clipping, silence. Pure."""

import numpy as np
from numpy.typing import NDArray

QUIETEST_DB = -120.0
"""What digital silence counts as."""
_FULL_SCALE = 0.999
_FRAME_SECONDS = 0.02
_BELOW_LOUDEST_DB = 40.0
_SILENT_DB = -60.0


def level_db(samples: NDArray[np.float32]) -> float:
    """The mean level of *samples* (-1 to 1) in dB of full scale, as ffmpeg's volumedetect has it."""
    return _decibels(float(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else QUIETEST_DB


def clipped_share(samples: NDArray[np.float32]) -> float:
    """The share (0 to 1) of samples that stand at full scale with both of their neighbours: a cut-off wave's top."""
    full = np.abs(samples) >= _FULL_SCALE
    return float(np.count_nonzero(full[1:-1] & full[:-2] & full[2:])) / max(1, len(samples))


def silent_share(samples: NDArray[np.float32], sampling_rate: int) -> float:
    """The share (0 to 1) of 20 ms frames that lie 40 dB below the loudest one, or below -60 dB of full scale."""
    size = max(1, round(_FRAME_SECONDS * sampling_rate))
    frames = samples[: len(samples) // size * size].reshape(-1, size)
    if not len(frames):
        return 0.0
    powers = np.mean(np.square(frames, dtype=np.float64), axis=1)
    limit = max(10 ** (_SILENT_DB / 10), float(powers.max()) * 10 ** (-_BELOW_LOUDEST_DB / 10))
    return float(np.mean(powers < limit))


def _decibels(power: float) -> float:
    return max(QUIETEST_DB, 10 * np.log10(power)) if power > 0 else QUIETEST_DB

"""Decoded audio at its own rate; joined where a file holds several, and resampled."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import soxr
from numpy.typing import NDArray

from shared.schema import SAMPLING_RATE


class Clip(NamedTuple):
    """Mono *samples* at *sampling_rate* Hz, of which a codec may have added up to *padding*.

    *cancelled* says that channels of opposite phase were mixed, so that nearly nothing of them is left.
    """

    samples: NDArray[np.float32]
    sampling_rate: int
    padding: int = 0
    cancelled: bool = False

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.samples) / self.sampling_rate


def joined(clips: Sequence[Clip]) -> Clip:
    """*clips*, one or more, one after the other; at 16 kHz, each resampled by itself, where their rates differ."""
    if len(clips) == 1:
        return clips[0]
    if len({clip.sampling_rate for clip in clips}) > 1:
        clips = [_at_16_khz(clip) for clip in clips]
    samples = np.concatenate([clip.samples for clip in clips])
    cancelled = any(clip.cancelled for clip in clips)
    return Clip(samples, clips[0].sampling_rate, sum(clip.padding for clip in clips), cancelled)


def resample(samples: NDArray[np.float32], sampling_rate: int) -> NDArray[np.float32]:
    """Mono *samples* at 16 kHz: soxr HQ with the length that `librosa.resample` gives, `ceil(n * 16000 / rate)`."""
    if sampling_rate == SAMPLING_RATE:
        return samples
    out: NDArray[np.float32] = soxr.resample(samples, sampling_rate, SAMPLING_RATE, quality="soxr_hq")
    num_samples = -(-len(samples) * SAMPLING_RATE // sampling_rate)
    return out[:num_samples] if len(out) >= num_samples else np.pad(out, (0, num_samples - len(out)))


def _at_16_khz(clip: Clip) -> Clip:
    padding = -(-clip.padding * SAMPLING_RATE // clip.sampling_rate)
    return Clip(resample(clip.samples, clip.sampling_rate), SAMPLING_RATE, padding, clip.cancelled)

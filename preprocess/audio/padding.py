"""The limit of seconds for codecs that add a little: what they added is told apart from audio, and cut off."""

import numpy as np

from preprocess.audio.clip import Clip
from preprocess.audio.limits import DecodeLimits, too_long
from shared.schema import SAMPLING_RATE, WINDOW_SAMPLES

LOSSY = 6_144
"""Samples: an encoder's delay and what fills its last frame. HE-AAC adds most, three frames of 2,048; MP3 3,409."""
_QUIET_SHARE = 0.02
"""What is cut off may have this share of the clip's mean power: an encoder's echo of what it stands beside."""


def fitted(clip: Clip, limits: DecodeLimits) -> Clip:
    """*clip* within the limit of seconds. Padding that leads beyond it, or beyond Whisper's window, is cut off.

    Raises `RowRejectedError`, `too_long`, where audio leads beyond the limit.
    """
    window = WINDOW_SAMPLES / SAMPLING_RATE
    if window < limits.max_seconds:
        clip = _cut(clip, int(window * clip.sampling_rate))
    if clip.seconds <= limits.max_seconds:
        return clip
    clip = _cut(clip, int(limits.max_seconds * clip.sampling_rate))
    if clip.seconds > limits.max_seconds:
        raise too_long(f"{clip.seconds:,.3f} s", limits)
    return clip


def _cut(clip: Clip, num_samples: int) -> Clip:
    """The loudest *num_samples* in a row of *clip* where only padding lies around them, else *clip* itself."""
    excess = len(clip.samples) - num_samples
    if not 0 < excess <= clip.padding:
        return clip
    squares = np.square(clip.samples, dtype=np.float64)
    # What is left out with 0, 1, ... samples cut off at the beginning and the rest at the end.
    heads = np.concatenate([[0.0], np.cumsum(squares[:excess])])
    tails = np.concatenate([[0.0], np.cumsum(squares[::-1][:excess])])[::-1]
    lost = heads + tails
    first = int(np.argmin(lost))
    if not lost[first] / excess <= _QUIET_SHARE * squares.mean():
        return clip
    return clip._replace(samples=clip.samples[first : first + num_samples], padding=0)

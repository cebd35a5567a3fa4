"""Where a recording pauses, by energy: the places at which it may be cut. Pure."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.schema import HOP_LENGTH, SAMPLING_RATE

MIN_PAUSE_SECONDS = 0.06
"""Shorter dips are closures within words."""
_SMOOTHED = 3
"""Hops (10 ms each) whose power is averaged: a pitch period of a low voice is 12 ms."""
_RANGE_DB = 50.0
"""What lies further below speech is silence, however quiet it is."""
_LEAST_DB = 6.0
"""Sound that does not vary by this much has no pauses in it."""
_RISE = 0.3
"""Of the way from the quietest to speech: the edge of a pause."""
_QUIET_HOPS, _LOUD = 20, 90
"""The 0.2 s with the least power stand for the quietest, this percentile for speech."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Samples *start* (inclusive) to *stop* (exclusive) of a recording at 16 kHz in which nothing is said."""

    start: int
    stop: int

    @property
    def num_samples(self) -> int:
        """Its length."""
        return self.stop - self.start

    @property
    def middle(self) -> int:
        """The sample at which a cut is made."""
        return (self.start + self.stop) // 2


def find_pauses(
    samples: NDArray[np.float32], min_samples: int = round(MIN_PAUSE_SECONDS * SAMPLING_RATE)
) -> list[Pause]:
    """The pauses of *samples* (float32 mono at 16 kHz) of *min_samples* and more, in order, edges to 10 ms.

    What is quiet at the recording's very beginning or end is no pause between words and is left out.
    """
    power = _power(samples)
    if len(power) < 2:  # noqa: PLR2004 - an edge has two sides
        return []
    level = 10 * np.log10(power + 1e-12)
    quiet = np.sort(level)[:_QUIET_HOPS][-1]
    loud = np.percentile(level, _LOUD)
    if loud - quiet < _LEAST_DB:
        return []
    quiet = max(quiet, loud - _RANGE_DB)
    below = level < quiet + _RISE * (loud - quiet)
    edges = np.flatnonzero(np.diff(below)) + 1
    starts = [edge for edge in edges.tolist() if below[edge]]
    stops = [edge for edge in edges.tolist() if not below[edge]]
    if below[0]:
        stops = stops[1:]
    pauses = (Pause(start * HOP_LENGTH, stop * HOP_LENGTH) for start, stop in zip(starts, stops, strict=False))
    return [pause for pause in pauses if pause.num_samples >= min_samples]


def _power(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean square of each whole hop, averaged over its neighbours."""
    hops = samples[: len(samples) // HOP_LENGTH * HOP_LENGTH].reshape(-1, HOP_LENGTH)
    power: NDArray[np.float64] = np.einsum("ij,ij->i", hops, hops, dtype=np.float64) / HOP_LENGTH
    if len(power) < _SMOOTHED:
        return power
    padded = np.pad(power, _SMOOTHED // 2, mode="edge")
    found: NDArray[np.float64] = np.convolve(padded, np.full(_SMOOTHED, 1 / _SMOOTHED), mode="valid")
    return found

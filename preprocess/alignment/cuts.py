"""Which pauses a recording is cut at: as few pieces as can be, at the longest pauses. Pure."""

from collections.abc import Sequence
from itertools import pairwise

from preprocess.alignment.pauses import Pause
from shared.schema import SAMPLING_RATE

SHORTEST = 3 * SAMPLING_RATE
"""Samples of a piece at least: less tells a model, and a trainer, little."""
LONGEST = 59 * SAMPLING_RATE // 2
"""29.5 s at most: within Whisper's window, whatever a resampler adds."""


def choose_cuts(
    num_samples: int, pauses: Sequence[Pause], shortest: int = SHORTEST, longest: int = LONGEST
) -> list[int] | None:
    """The samples at which pieces of *shortest* to *longest* samples end, the last at *num_samples*; None for no way.

    Of the ways with the fewest pieces the one with the least sum of 1 / pause, which keeps clear of short ones. By
    dynamic programming: the best way to end a piece here is the best way to end one earlier, and a piece.
    """
    places = [0, *(pause.middle for pause in pauses), num_samples]
    costs = [0.0, *(SAMPLING_RATE / pause.num_samples for pause in pauses), 0.0]
    best: list[tuple[int, float, int] | None] = [(0, 0.0, -1), *([None] * (len(places) - 1))]
    first = 0
    for end in range(1, len(places)):
        while places[end] - places[first] > longest:
            first += 1
        ways = []
        for begin in range(first, end):
            before = best[begin]
            if before is not None and places[end] - places[begin] >= shortest:
                ways.append((before[0] + 1, before[1] + costs[end], begin))
        best[end] = min(ways, default=None)
    return _way_back(places, best)


def _way_back(places: Sequence[int], best: Sequence[tuple[int, float, int] | None]) -> list[int] | None:
    """The places of the best way to the last one."""
    found, at = [], len(places) - 1
    while at > 0:
        way = best[at]
        if way is None:
            return None
        found.append(places[at])
        at = way[2]
    return found[::-1]


def pieces_of(stops: Sequence[int]) -> list[tuple[int, int]]:
    """(start, stop) of the pieces that end at *stops*."""
    return list(pairwise([0, *stops]))

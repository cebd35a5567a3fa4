"""One recording and its transcript to pieces, or the reason why not. Pure but for the decoder, which is handed in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from preprocess.alignment.assignment import Assignment, assign
from preprocess.alignment.cuts import LONGEST, SHORTEST, choose_cuts, pieces_of
from preprocess.alignment.pauses import find_pauses
from preprocess.alignment.words import texts_of, words_of
from shared.schema import SAMPLING_RATE

Decode = Callable[[Sequence[NDArray[np.float32]]], Sequence[str]]
"""What is said in each of some pieces, float32 mono at 16 kHz."""

ATTEMPTS = 4
"""How often other pauses are tried where a cut is in doubt."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How a recording is cut and what is believed: pieces of *shortest* to *longest* samples, a decoding that is off by
    at most *max_cer* over all and *max_piece_cer* in the worst piece, cuts that beat the next best place in the text by
    at least *min_margin* characters.
    """

    shortest: int = SHORTEST
    longest: int = LONGEST
    max_cer: float = 0.45
    max_piece_cer: float = 0.6
    min_margin: int = 2


@dataclass(frozen=True, slots=True)
class RowCuts:
    """Row *row_id* cut into pieces that end at *stops* (samples at 16 kHz; the first begins at 0), each with its text.

    *cer* and *margin* (characters) are what it was judged by. A row with a *problem* has no texts and cannot be split.
    """

    row_id: int
    stops: tuple[int, ...]
    texts: tuple[str, ...] = ()
    cer: float = 0.0
    margin: int = 0
    problem: str = ""

    @property
    def num_samples(self) -> int:
        """Of the recording."""
        return self.stops[-1]


def cut_recording(
    row_id: int, samples: NDArray[np.float32], transcript: str, decode: Decode, rules: Rules | None = None
) -> RowCuts:
    """The pieces of a recording (*samples*, float32 mono at 16 kHz) that says *transcript*; raises what decoding does.

    Where a cut's place in the text is in doubt, as beside a word that is written and not said, another pause is taken
    instead; what was decoded before is not decoded again.
    """
    rules, words = rules or Rules(), words_of(transcript)
    pauses, refused = find_pauses(samples), RowCuts(row_id, (len(samples),))
    heard: dict[tuple[int, int], str] = {}
    for attempt in range(ATTEMPTS):
        stops = choose_cuts(len(samples), pauses, rules.shortest, rules.longest)
        if stops is None:
            longest = f"{rules.longest / SAMPLING_RATE:g} s"
            return (
                refused
                if attempt
                else replace(refused, problem=f"no pauses to cut it at, into pieces of at most {longest}")
            )
        pieces = pieces_of(stops)
        new = [piece for piece in pieces if piece not in heard]
        heard |= zip(new, decode([samples[start:stop] for start, stop in new]), strict=True)
        found = assign(words, [heard[piece] for piece in pieces])
        cer, margin = round(found.cer, 4), min(found.margins, default=0)
        problem = doubt(found, rules)
        if not problem:
            return RowCuts(row_id, tuple(stops), tuple(texts_of(transcript, words, found.bounds)), cer, margin)
        refused = replace(refused, cer=cer, margin=margin, problem=problem)
        doubtful = {stop for stop, own in zip(stops, found.margins, strict=False) if own < rules.min_margin}
        if not doubtful or found.cer > rules.max_cer:
            return refused
        pauses = [pause for pause in pauses if pause.middle not in doubtful]
    return refused


def doubt(found: Assignment, rules: Rules) -> str:
    """Why *found* is not to be believed, with the figure; '' where it is."""
    if found.cer > rules.max_cer:
        return f"its text is not what is heard: CER {found.cer:.2f}, at most {rules.max_cer:g}"
    for number, (first, stop) in enumerate(pairwise(found.bounds)):
        if first == stop:
            return f"no word of its text is heard in piece {number}"
    if found.worst_cer > rules.max_piece_cer:
        return f"a piece's text is not what is heard: CER {found.worst_cer:.2f}, at most {rules.max_piece_cer:g}"
    if found.margins and min(found.margins) < rules.min_margin:
        margin = min(found.margins)
        return f"two places in its text fit a cut as well: margin {margin}, at least {rules.min_margin} characters"
    return ""

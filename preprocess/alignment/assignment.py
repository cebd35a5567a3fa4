"""Which words of a transcript belong to which piece, by character edit distance to what was decoded of each. Pure.

The whole transcript is laid against all decodings at once (Wagner & Fischer 1974, a row of numpy at a time); words stay
in order and each goes to one piece, so none can be lost, doubled or moved. The sum of the distance up to a cut and of
the distance after it, for every word at which the transcript might be cut there, gives the best place and by how many
characters it beats the next.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preprocess.alignment.words import Word, heard

_FAR = 1 << 28
"""More than any distance."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """Piece k has the words from *bounds*[k] to *bounds*[k + 1] (exclusive).

    *distances* are characters by which each piece's words and decoding differ, *lengths* those of its words;
    *margins* by how many characters each cut's place beats the next best.
    """

    bounds: tuple[int, ...]
    distances: tuple[int, ...]
    lengths: tuple[int, ...]
    margins: tuple[int, ...]

    @property
    def cer(self) -> float:
        """Character error rate of the decoding, over the whole recording."""
        return sum(self.distances) / max(1, sum(self.lengths))

    @property
    def worst_cer(self) -> float:
        """That of the worst piece."""
        pairs = zip(self.distances, self.lengths, strict=True)
        return max(distance / max(1, length) for distance, length in pairs)


def assign(words: Sequence[Word], decoded: Sequence[str]) -> Assignment:
    """The words of each of the pieces that were *decoded* so. Time and room grow with the product of the lengths."""
    text = _codes("".join(word.heard for word in words))
    ends = np.cumsum([0, *(len(word.heard) for word in words)])
    pieces = [_codes(f"{heard(piece)} " if heard(piece) else "") for piece in decoded]
    up_to = _distances(text, ends, pieces)
    after = _distances(text[::-1], (ends[-1] - ends)[::-1], [piece[::-1] for piece in pieces[::-1]])[::-1, ::-1]
    sums = (up_to + after)[1:-1]
    inner = np.maximum.accumulate(np.argmin(sums, axis=1)) if len(sums) else np.empty(0, np.int64)
    bounds = [0, *inner.tolist(), len(words)]
    reached = up_to[np.arange(len(bounds)), bounds]
    return Assignment(
        tuple(bounds),
        tuple(np.diff(reached).tolist()),
        tuple(np.diff(ends[bounds]).tolist()),
        tuple(_margins(sums)),
    )


def _margins(sums: NDArray[np.int64]) -> list[int]:
    if not sums.shape[1] > 1:
        return [0] * len(sums)
    nearest = np.partition(sums, 1, axis=1)[:, :2]
    found: list[int] = (nearest[:, 1] - nearest[:, 0]).tolist()
    return found


def _codes(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)


def _distances(
    text: NDArray[np.uint32], ends: NDArray[np.int64], pieces: Sequence[NDArray[np.uint32]]
) -> NDArray[np.int64]:
    """int64[pieces + 1, words + 1]: the least distance of so many pieces to so many words."""
    steps = np.arange(len(text) + 1)
    at = np.full(len(ends), _FAR)
    at[0] = 0
    found = [at]
    for piece in pieces:
        row = np.full(len(text) + 1, _FAR)
        # A word with nothing to hear ends where the one before it does.
        np.minimum.at(row, ends, at)
        row = _with_insertions(row, steps)
        for code in piece:
            taken = row + 1
            np.minimum(taken[1:], row[:-1] + (text != code), out=taken[1:])
            row = _with_insertions(taken, steps)
        at = np.minimum(row[ends], _FAR)
        found.append(at)
    return np.stack(found)


def _with_insertions(row: NDArray[np.int64], steps: NDArray[np.int64]) -> NDArray[np.int64]:
    """*row* where each place may also be reached from any before it, at 1 a step."""
    found: NDArray[np.int64] = np.minimum.accumulate(row - steps) + steps
    return found

"""Units planned over pieces: a recording that is split weighs as many rows as it has pieces. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Self

import numpy as np
from numpy.typing import NDArray

from preprocess.sources.base import Block


@dataclass(frozen=True, slots=True)
class PieceCounts:
    """The recordings *rows* int64[n], in order, are split; *further* int64[n + 1] pieces come before each, and in all.

    What is further is beyond the one that every row is.
    """

    rows: NDArray[np.int64]
    further: NDArray[np.int64]

    @classmethod
    def of(cls, num_pieces: Mapping[int, int]) -> Self:
        """From the number of pieces by row id."""
        rows = sorted(num_pieces)
        further = [0, *accumulate(num_pieces[row] - 1 for row in rows)]
        return cls(np.array(rows, np.int64), np.array(further, np.int64))

    def before(self, row: int) -> int:
        """Pieces of all rows before *row*."""
        return row + int(self.further[np.searchsorted(self.rows, row)])

    def further_of(self, start: int, selected: NDArray[np.bool_]) -> int:
        """Pieces beyond one a row, of those rows from *start* on that are *selected*."""
        first, stop = np.searchsorted(self.rows, (start, start + len(selected)))
        return int(np.diff(self.further)[first:stop][selected[self.rows[first:stop] - start]].sum())

    def row_at(self, piece: int) -> int:
        """The row whose pieces begin at *piece* or, where that lies among them, before it."""
        firsts = self.rows + self.further[:-1]
        at = int(np.searchsorted(firsts, piece, side="right"))
        return max(int(self.rows[at - 1]), piece - int(self.further[at])) if at else piece

    def spread(self, blocks: Sequence[Block]) -> list[Block]:
        """*blocks* with pieces in place of rows."""
        edges = [self.before(row) for row in (0, *accumulate(block.num_rows for block in blocks))]
        return [replace(block, num_rows=edges[n + 1] - edges[n]) for n, block in enumerate(blocks)]

    def row_ranges(self, ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Ranges of pieces as ranges of whole rows; those in which no row begins are left out."""
        rows = [(self.row_at(start), self.row_at(stop)) for start, stop in ranges]
        return [(start, stop) for start, stop in rows if stop > start]

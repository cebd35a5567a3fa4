"""Where a range of rows lies among a split's blocks: pure arithmetic that every source shares."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from preprocess.sources.base import Block, SplitLayout
from shared.errors import SourceError


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows *start* (inclusive) to *stop* (exclusive) of block number *block*, counted inside it."""

    block: int
    start: int
    stop: int


def pieces(blocks: Sequence[Block], start: int, stop: int) -> list[Piece]:
    """The non-empty parts of *blocks* that make rows *start* to *stop* of the split, in order.

    Raises:
        IndexError: the range is not inside the split.
    """
    ends = list(accumulate(block.num_rows for block in blocks))
    total = ends[-1] if ends else 0
    if not 0 <= start <= stop <= total:
        raise IndexError(f"rows {start} to {stop} of a split with {total} rows")
    found: list[Piece] = []
    # A large data set has ten thousand blocks, and a range lies in a few of them.
    for number in range(bisect_right(ends, start), bisect_left(ends, stop) + 1 if start < stop else 0):
        first = ends[number] - blocks[number].num_rows
        low, high = max(start - first, 0), min(stop - first, blocks[number].num_rows)
        if low < high:
            found.append(Piece(number, low, high))
    return found


def ordered_splits(names: Sequence[str]) -> list[str]:
    """*names* with train, validation and test first, as `datasets` orders them, and the rest as they came."""
    known = [name for name in ("train", "validation", "test") if name in names]
    return known + [name for name in names if name not in known]


def split_named(splits: Mapping[str, SplitLayout], name: str, uri: str) -> SplitLayout:
    """The layout of split *name*.

    Raises:
        SourceError: there is none; the message names those that there are.
    """
    if name not in splits:
        raise SourceError(f"{uri} has no split {name!r}", f"pass --split with one of: {', '.join(splits)}")
    return splits[name]

"""Where a range of rows lies among a split's blocks: pure arithmetic that every source shares."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
    total = sum(block.num_rows for block in blocks)
    if not 0 <= start <= stop <= total:
        raise IndexError(f"rows {start} to {stop} of a split with {total} rows")
    found: list[Piece] = []
    first = 0
    for number, block in enumerate(blocks):
        low, high = max(start - first, 0), min(stop - first, block.num_rows)
        if low < high:
            found.append(Piece(number, low, high))
        first += block.num_rows
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

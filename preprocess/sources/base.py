"""What every source offers: splits made of blocks, and a picklable reader for any range of rows.

A source opens files only to learn their metadata; a reader opens them in the actor that reads.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

BATCH_BYTES = 8 * 1024**2
"""Audio bytes that one batch of rows aims at."""
SMALL_BATCH_BYTES = BATCH_BYTES // 8
"""The same while memory is short."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The data set's own names for what we read. The defaults are the German data set's and part of the data."""

    audio: str = "audio"
    text: str = "transkription"
    source: str = "source"


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One row as the source holds it; nothing is decoded yet.

    *audio* is the encoded file's bytes, or None with the reason in *problem* (a `QuarantineReason` value) and
    *problem_message*. *path* is the source's own name for the clip, '' where it has none.
    """

    row_id: int
    audio: bytes | None
    path: str
    transkription: str | None
    source: str
    problem: str = ""
    problem_message: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    """Rows that are cheapest to read together (a row group, a record batch); *num_bytes* is their encoded audio.

    *held_bytes* is the most that a reader may have to hold of it at once, beyond a batch of rows.
    """

    num_rows: int
    num_bytes: int
    held_bytes: int = 0


@dataclass(frozen=True, slots=True)
class SplitLayout:
    """One split as planning sees it: its blocks in row order and a fingerprint of files, sizes and revision."""

    name: str
    blocks: tuple[Block, ...]
    fingerprint: str

    @property
    def num_rows(self) -> int:
        """Rows of the split."""
        return sum(block.num_rows for block in self.blocks)

    @property
    def num_bytes(self) -> int:
        """Encoded audio bytes of the split."""
        return sum(block.num_bytes for block in self.blocks)


class RowReader(Protocol):
    """Yields a contiguous range of one split's rows, in order. Picklable; opens nothing before `rows` is called."""

    def rows(self, batch_bytes: int = BATCH_BYTES) -> Iterator[SourceRow]:
        """The rows; memory stays bounded by a batch of *batch_bytes* and what their blocks' `held_bytes` say."""
        ...


class Source(Protocol):
    """A data set, opened: its columns were checked and its splits are known."""

    @property
    def uri(self) -> str:
        """What the user named, with the revision where there is one."""
        ...

    @property
    def splits(self) -> Mapping[str, SplitLayout]:
        """Layouts by split name, in the data set's own order."""
        ...

    def reader(self, split: str, start: int, stop: int) -> RowReader:
        """A reader for rows *start* (inclusive) to *stop* (exclusive) of *split*."""
        ...

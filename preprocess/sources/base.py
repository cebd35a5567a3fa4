"""What every source offers: splits made of blocks, and a picklable reader for any range of rows among them.

A source opens files only to learn their metadata; a reader opens them in the actor that reads.
"""

import os
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol, Self, TypeVar

from shared.errors import SourceError, SpeechPrepError, UnreadableError
from shared.units import format_counted

BATCH_BYTES = 8 * 1024**2
"""Audio bytes that one batch of rows aims at."""
SMALL_BATCH_BYTES = BATCH_BYTES // 8
"""The same while memory is short."""
_Opened = TypeVar("_Opened")
_OPTIONS = {
    **{name: f"{name}_column" for name in ("audio", "text", "source", "offset", "duration", "end", "split")},
    **{name: name for name in ("encoding", "separator")},
}
"""The settings that name a field of `Columns`."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The data set's own names for what we read. The defaults are the German data set's and part of the data.

    What follows *source* is for tables and lists that a person wrote: how they are written and which columns say what
    part of a recording is meant; '' as they tell themselves, 'none' for a column that is not to be used.
    """

    audio: str = "audio"
    text: str = "transkription"
    source: str = "source"
    encoding: str = ""
    separator: str = ""
    offset: str = ""
    duration: str = ""
    end: str = ""
    split: str = ""

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """Those that *settings* state under their options' names; the defaults for what they do not."""
        return cls(**{name: settings[option] for name, option in _OPTIONS.items() if option in settings})

    def settings(self) -> dict[str, str]:
        """By their options' names; what tells itself is left out, and so is part of no earlier plan."""
        values = {option: str(getattr(self, name)) for name, option in _OPTIONS.items()}
        return {option: value for option, value in values.items() if value}


@dataclass(frozen=True, slots=True)
class Access:
    """Which part of a data set is meant, and what may be read beside its folder.

    *config_name* is a config of its card. Links that lead out of the folder are read where *follow_links* says so, and
    names that are absolute or climb out of it where they lie under *audio_root* (a real path), where relative names
    are looked for as well.
    """

    config_name: str | None = None
    follow_links: bool = False
    audio_root: str | None = None


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
    """One split as planning sees it: its blocks in row order and a fingerprint of files, sizes and revision.

    *num_files* is what `inspect` shows.
    """

    name: str
    blocks: tuple[Block, ...]
    fingerprint: str
    num_files: int = 1

    @property
    def num_rows(self) -> int:
        """Rows of the split."""
        return sum(block.num_rows for block in self.blocks)

    @property
    def num_bytes(self) -> int:
        """Encoded audio bytes of the split."""
        return sum(block.num_bytes for block in self.blocks)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that rows are read from: its name in the data set, bytes, and time of its last change in ns; -1 unknown.

    Hints: another size or time is another file, most likely; the same need not be the same content.
    """

    name: str
    num_bytes: int = -1
    mtime_ns: int = -1

    @classmethod
    def at(cls, path: str, name: str) -> "SourceFile":
        """As it is at *path* now; a file that cannot be looked at is unknown."""
        try:
            status = os.stat(path)  # noqa: PTH116 - a string, and there may be a million
        except (OSError, ValueError):
            return cls(name)
        return cls(name, status.st_size, status.st_mtime_ns)


class RowReader(Protocol):
    """Yields a contiguous range of one split's rows, in order. Picklable; opens nothing before `rows` is called."""

    def rows(self, batch_bytes: int = BATCH_BYTES) -> Iterator[SourceRow]:
        """The rows; memory stays bounded by a batch of *batch_bytes* and what their blocks' `held_bytes` say."""
        ...

    def source_files(self, most: int | None = None) -> Sequence[SourceFile]:
        """The files that the rows are read from, or *most* of them from all over the range, as they are now."""
        ...


class Source(Protocol):
    """A data set, opened: its columns were checked and its splits are known."""

    @property
    def uri(self) -> str:
        """What the user named, with the revision where there is one."""
        ...

    @property
    def splits(self) -> Mapping[str, SplitLayout]:
        """Layouts by split name, in the data set's own order; a split that cannot be used says so when asked for."""
        ...

    @property
    def default_splits(self) -> Sequence[str]:
        """The splits that are prepared where the user names none."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """What the user should know before anything is written, a sentence each; finding out may read all listings."""
        ...

    def reader(self, split: str, start: int, stop: int) -> RowReader:
        """A reader for rows *start* (inclusive) to *stop* (exclusive) of *split*."""
        ...


@dataclass(frozen=True, slots=True)
class Splits(Mapping[str, SplitLayout]):
    """Layouts by split name. A split that cannot be used raises its error when it is asked for, and blocks no other."""

    opened: Mapping[str, SplitLayout | SpeechPrepError]

    def __getitem__(self, name: str) -> SplitLayout:
        found = self.opened[name]
        if isinstance(found, SplitLayout):
            return found
        usable = [other for other, layout in self.opened.items() if isinstance(layout, SplitLayout)]
        without = f"; or leave this split out: {' '.join(f'--split {other}' for other in usable)}" if usable else ""
        raise type(found)(f"split {name!r} cannot be used: {found.message}", f"{found.remedy}{without}") from found

    def __contains__(self, name: object) -> bool:
        return name in self.opened

    def __iter__(self) -> Iterator[str]:
        return iter(self.opened)

    def __len__(self) -> int:
        return len(self.opened)


def each_opened(names: Iterable[str], open_one: Callable[[str], _Opened]) -> dict[str, _Opened | SpeechPrepError]:
    """What *open_one* makes of each split of *names*, or what it says of a split that cannot be used.

    Raises:
        SourceError, UnreadableError: no split can be used.
    """
    found: dict[str, _Opened | SpeechPrepError] = {}
    for name in names:
        try:
            found[name] = open_one(name)
        except (SourceError, UnreadableError) as error:
            found[name] = error
    failed = [error for error in found.values() if isinstance(error, SpeechPrepError)]
    if failed and len(failed) == len(found):
        raise failed[0]
    return found


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
        raise IndexError(f"rows {start} to {stop} of a split with {format_counted(total, 'row')}")
    found: list[Piece] = []
    # A large data set has ten thousand blocks, and a range lies in a few of them.
    for number in range(bisect_right(ends, start), bisect_left(ends, stop) + 1 if start < stop else 0):
        first = ends[number] - blocks[number].num_rows
        low, high = max(start - first, 0), min(stop - first, blocks[number].num_rows)
        if low < high:
            found.append(Piece(number, low, high))
    return found


def split_named(splits: Mapping[str, SplitLayout], name: str, uri: str) -> SplitLayout:
    """The layout of split *name*.

    Raises:
        SourceError: there is none; the message names those that there are.
    """
    if name not in splits:
        raise SourceError(f"{uri} has no split {name!r}", f"pass --split with one of: {', '.join(splits)}")
    return splits[name]

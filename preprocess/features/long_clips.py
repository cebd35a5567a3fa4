"""Clips over the model's window: how many, how long, what became of them, and what else `--long-audio` could do.

It decides nothing (`planning.long_audio`). What was left out tells its length in the message of its quarantine.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shared.index import read_complete
from shared.layout import SplitRecord, StoreLayout
from shared.models.limits import ModelLimits
from shared.schema import WINDOW_FRAMES, QuarantineReason
from shared.units import format_audio, format_count

_COUNTED = ("kept", "kept_seconds", "left_out", "left_out_seconds", "split", "split_seconds", "pieces")
_LENGTH = re.compile(r"(?:^|of )([\d,]+\.\d{3}) s")
_LIMIT = re.compile(r"the limit is ([\d.e+]+) s$")


@dataclass(frozen=True, slots=True)
class LongClips:
    """Clips over *window_seconds*: *kept* whole, with *kept_seconds* of audio, *split* into *pieces*, and *left_out*.

    *at_least*: of some that were left out no length is known; they count with the least that they have. *estimated*:
    scaled up from a sample.
    """

    window_seconds: float
    kept: float = 0
    kept_seconds: float = 0.0
    left_out: float = 0
    left_out_seconds: float = 0.0
    split: float = 0
    split_seconds: float = 0.0
    pieces: float = 0
    at_least: bool = False
    estimated: bool = False

    @classmethod
    def counted(
        cls,
        window_seconds: float,
        kept: Iterable[float],
        left_out: Sequence[tuple[float, bool]],
        split: Sequence[tuple[int, float]] = (),
    ) -> Self:
        """Of clips with *kept* seconds, those *left_out* as `stated_seconds` has them, and the pieces and seconds of
        those that were *split*.
        """
        long = [seconds for seconds in kept if seconds > window_seconds]
        out = [(s, exact) for s, exact in left_out if s > window_seconds or (s == window_seconds and not exact)]
        vague = not all(exact for _, exact in out)
        return cls(
            window_seconds,
            len(long),
            sum(long),
            len(out),
            sum(seconds for seconds, _ in out),
            len(split),
            sum(seconds for _, seconds in split),
            sum(pieces for pieces, _ in split),
            at_least=vague,
        )

    def __add__(self, other: "LongClips") -> "LongClips":
        sums = {name: getattr(self, name) + getattr(other, name) for name in _COUNTED}
        vague, estimated = self.at_least or other.at_least, self.estimated or other.estimated
        return replace(self, **sums, at_least=vague, estimated=estimated)

    def scaled(self, times: float) -> "LongClips":
        """Of *times* as many rows, as the sample goes."""
        return replace(self, **{name: getattr(self, name) * times for name in _COUNTED}, estimated=times != 1)

    @property
    def lines(self) -> list[str]:
        """What is to be said of them, a line for each kind; [] where there are none."""
        over, about = f"over {self.window_seconds:g} s", "about " if self.estimated else ""
        least = "at least " if self.at_least else ""
        said = []
        if self.kept:
            audio = format_audio(self.kept_seconds)
            said.append(f"{over}: {about}{_count(self.kept)} kept whole, {audio}; to train: --allow-long-context")
        if self.split:
            pieces = f"split into {_count(self.pieces)} pieces, {format_audio(self.split_seconds)}"
            said.append(f"{over}: {about}{_count(self.split)} {pieces}; trained on as rows")
        if self.left_out:
            audio = least + format_audio(self.left_out_seconds)
            said.append(
                f"{over}: {about}{_count(self.left_out)} left out, {audio}; --long-audio keep or split has them"
            )
        return said


def _count(clips: float) -> str:
    return format_count(max(1, round(clips)))


def stated_seconds(message: str) -> tuple[float, bool]:
    """Seconds of a clip that was too long, as the *message* of its quarantine has them; and whether that is all.

    Where decoding ended at the limit, and nothing states the length, the limit is the least that it has.
    """
    if length := _LENGTH.search(message):
        return float(length[1].replace(",", "")), "and more" not in message
    limit = _LIMIT.search(message)
    return (float(limit[1]) if limit else 0.0), False


def window_of(record: SplitRecord) -> float:
    """Seconds of the window of the model that a split was planned for."""
    return ModelLimits(window_frames=record.settings.get("window_frames", WINDOW_FRAMES)).window_seconds


def long_clips(layout: StoreLayout, name: str, record: SplitRecord) -> LongClips:
    """Those of split *name* of the store; of one that is not complete only what was left out is known yet."""
    window, kept, split = window_of(record), [], []
    if name in read_complete(layout):
        split = _split_rows(layout, name) if "cuts" in record.settings else []
        durations = pq.read_table(layout.index_of(name), columns=["duration"])["duration"]
        kept = durations.filter(pc.greater(durations, window)).to_pylist()
    messages: list[str] = []
    for path in layout.quarantine.glob(f"{name}-*-of-*.parquet"):
        table = pq.read_table(path, columns=["reason", "message"])
        messages += table.filter(pc.equal(table["reason"], QuarantineReason.TOO_LONG))["message"].to_pylist()
    return LongClips.counted(window, kept, list(map(stated_seconds, messages)), split)


def _split_rows(layout: StoreLayout, name: str) -> list[tuple[int, float]]:
    """Pieces and seconds of each row of the complete split *name* that has several."""
    table = pq.read_table(layout.index_of(name), columns=["row_id", "duration"])
    _, numbers, pieces = np.unique(table["row_id"].to_numpy(), return_inverse=True, return_counts=True)
    seconds = np.bincount(numbers, table["duration"].to_numpy())
    return list(zip(pieces[pieces > 1].tolist(), seconds[pieces > 1].tolist(), strict=True))


def all_long_clips(layout: StoreLayout, splits: Iterable[tuple[str, SplitRecord]]) -> LongClips | None:
    """Those of *splits* of the store together; None without splits."""
    total: LongClips | None = None
    for name, record in splits:
        found = long_clips(layout, name, record)
        total = found if total is None else total + found
    return total

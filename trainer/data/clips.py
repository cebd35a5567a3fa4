"""Clips as a step sees them: which row, how long, and how it is padded."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


class Padding(IntEnum):
    """How far a clip is padded, and with what."""

    OWN = 0
    SILENCE = 1
    ZEROS = 2


@dataclass(frozen=True, slots=True)
class Clip:
    """What decides how a row is computed: its encoder *frames* and decoder *tokens*; *padding* is what follows it."""

    row: int
    frames: int
    tokens: int = 0
    padding: Padding = Padding.OWN


@dataclass(frozen=True, slots=True, eq=False)
class Clips:
    """Many a `Clip`, as arrays of one shape: int64[clips], or [steps, clips] of several steps."""

    rows: NDArray[np.int64]
    frames: NDArray[np.int64]
    tokens: NDArray[np.int64]
    padding: NDArray[np.int64]

    @classmethod
    def of(cls, clips: Sequence[Clip]) -> Self:
        """*clips* of one step."""
        values = np.array([(clip.row, clip.frames, clip.tokens, clip.padding) for clip in clips], np.int64)
        return cls(*values.reshape(-1, 4).T)

    @classmethod
    def joined(cls, several: Sequence[Self]) -> Self:
        """The clips of *several*, one after the other."""
        columns = [(some.rows, some.frames, some.tokens, some.padding) for some in several]
        return cls(*map(np.concatenate, zip(*columns, strict=True)))

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Clip]:
        """The clips of one step."""
        columns = (self.rows.tolist(), self.frames.tolist(), self.tokens.tolist(), map(Padding, self.padding.tolist()))
        return map(Clip, *columns)

    def __getitem__(self, where: Any) -> Self:
        """Those at *where*, any index that numpy takes."""
        return type(self)(self.rows[where], self.frames[where], self.tokens[where], self.padding[where])

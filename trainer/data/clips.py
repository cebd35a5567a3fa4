"""Clips as a step sees them: which row, how long, and how it is padded; or a window that several rows share."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


class Padding(IntEnum):
    """How far a clip is padded, and with what; `PACKED` is no clip but a window of several."""

    OWN = 0
    SILENCE = 1
    ZEROS = 2
    PACKED = 3


@dataclass(frozen=True, slots=True)
class Window:
    """*rows* that are heard one after the other, each from its frame of *starts* on, an even number; labels tell when.

    *cut*: the last of them does not end in the window, and its text is not said there. *previous* are rows that were
    said before, a prompt of *prompt_labels* labels, the token that begins it included.
    """

    rows: tuple[int, ...]
    starts: tuple[int, ...] = (0,)
    cut: bool = False
    previous: tuple[int, ...] = ()
    prompt_labels: int = 0

    @property
    def whole(self) -> tuple[int, ...]:
        """The rows whose text is said in it."""
        return self.rows[:-1] if self.cut else self.rows


@dataclass(frozen=True, slots=True)
class Clip:
    """What decides how a row is computed: its encoder *frames* and decoder *tokens*; *padding* is what follows it.

    With a *window* its labels tell times. Where it is `Padding.PACKED` as well, several rows are computed as one, and
    *row* is the first of them.
    """

    row: int
    frames: int
    tokens: int = 0
    padding: Padding = Padding.OWN
    window: Window | None = None

    @property
    def heard(self) -> tuple[int, ...]:
        """The rows whose text is learned from it."""
        return (self.row,) if self.window is None else self.window.whole


@dataclass(frozen=True, slots=True, eq=False)
class Clips:
    """Many a `Clip`, as arrays of one shape: int64[clips], or [steps, clips] of several steps; windows are objects."""

    rows: NDArray[np.int64]
    frames: NDArray[np.int64]
    tokens: NDArray[np.int64]
    padding: NDArray[np.int64]
    windows: NDArray[np.object_]

    @classmethod
    def of(cls, clips: Sequence[Clip]) -> Self:
        """*clips* of one step."""
        values = np.array([(clip.row, clip.frames, clip.tokens, clip.padding) for clip in clips], np.int64)
        rows, frames, tokens, padding = values.reshape(-1, 4).T
        return cls(rows, frames, tokens, padding, objects([clip.window for clip in clips]))

    @classmethod
    def joined(cls, several: Sequence[Self], axis: int = 0) -> Self:
        """The clips of *several*, one after the other; those of each step with *axis* 1."""
        columns = zip(
            *((some.rows, some.frames, some.tokens, some.padding, some.windows) for some in several), strict=True
        )
        return cls(*(np.concatenate(column, axis) for column in columns))

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Clip]:
        """The clips of one step."""
        numbers = (self.rows.tolist(), self.frames.tolist(), self.tokens.tolist())
        return map(Clip, *numbers, map(Padding, self.padding.tolist()), self.windows.tolist())

    def __getitem__(self, where: Any) -> Self:
        """Those at *where*, any index that numpy takes."""
        columns = (self.rows, self.frames, self.tokens, self.padding, self.windows)
        return type(self)(*(column[where] for column in columns))


def objects(values: Sequence[Any]) -> NDArray[np.object_]:
    """*values* as an array of objects, whatever they are."""
    found = np.empty(len(values), np.object_)
    found[:] = values
    return found

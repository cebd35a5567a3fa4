"""Where each row lies among what is computed at once: as a clip of its own, or in a window from its start on. Pure.

A joined recording's log-mel is that of its clips, raised to 2.0 below the maximum of all, and between them that value.
Rows keep the bytes that they have in the store, so that checksums are compared as ever: the model raises them.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from trainer.data.clips import Clips, Padding
from trainer.data.rows import Rows


@dataclass(frozen=True, slots=True)
class Parts:
    """*rows* int64[parts], each in a *clip* (a place), from its frame *starts* on; *cut* where that has not all of it.

    *packed* bool[clips] are the clips that are windows.
    """

    rows: NDArray[np.int64]
    clip: NDArray[np.int64]
    starts: NDArray[np.int64]
    cut: NDArray[np.bool_]
    packed: NDArray[np.bool_]

    @classmethod
    def of_rows(cls, rows: NDArray[np.int64]) -> Self:
        """*rows*, each a clip of its own."""
        count = len(rows)
        return cls(rows, np.arange(count), np.zeros(count, np.int64), *np.zeros((2, count), np.bool_))

    @classmethod
    def of(cls, clips: Clips) -> Self:
        """Those of *clips*."""
        packed = clips.padding == Padding.PACKED
        if not packed.any():
            return cls.of_rows(clips.rows)
        rows, starts, counts, cut = list[int](), list[int](), list[int](), list[bool]()
        for row, window, several in zip(clips.rows.tolist(), clips.windows.tolist(), packed.tolist(), strict=True):
            rows += window.rows if several else (row,)
            starts += window.starts if several else (0,)
            counts.append(len(rows) - len(cut))
            cut += [False] * (counts[-1] - 1) + [several and window.cut]
        places = np.repeat(np.arange(len(clips)), counts)
        return cls(np.array(rows), places, np.array(starts), np.array(cut), packed)

    def lists(self) -> tuple[list[int], list[int]]:
        """*clip* and *starts*."""
        return self.clip.tolist(), self.starts.tolist()

    def within(self, rooms: NDArray[np.int64], frame_bytes: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where the bytes of each part begin and end in its clip, which has *rooms* bytes, *frame_bytes* a frame."""
        begins = self.starts * frame_bytes
        last = np.append(self.clip[1:] != self.clip[:-1], True)
        return begins, np.where(last, rooms[self.clip], np.append(begins[1:], 0))


def window_floor(floor: NDArray[np.float32], parts: Parts) -> NDArray[np.float32]:
    """float32[clips]: of the *floor* of *parts*, each clip's largest."""
    firsts = np.flatnonzero(np.append(True, parts.clip[1:] != parts.clip[:-1]))
    largest: NDArray[np.float32] = np.maximum.reduceat(floor, firsts)
    return largest


def floor_by_frame(split: Rows, parts: Parts, floor: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
    """*floor* [clips] as it is where none is a window; else that of every frame, [clips, frames].

    In float16 nothing counts from it: there it is of use to windows alone, and of other clips nothing is raised.
    """
    if not parts.packed.any():
        return floor
    if split.spec.dtype != "uint8":
        floor = np.where(parts.packed, floor, np.float32(-np.inf))
    by_frame = np.repeat(floor[:, np.newaxis], frames, axis=1)
    own, lengths = split.floor.take(parts.rows).tolist(), split.num_frames.take(parts.rows)
    if split.spec.dtype == "uint8":
        for of, start, end, value in zip(*parts.lists(), (parts.starts + lengths).tolist(), own, strict=True):
            by_frame[of, start:end] = value
            if not parts.packed[of]:
                by_frame[of] = value
    return by_frame

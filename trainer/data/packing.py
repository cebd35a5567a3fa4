"""Which clips share a window of Whisper's 30 s, where they begin there, and what was said before. Pure.

A window that ends within a clip tells when that begins, and the next window of the same source begins with it: as
long recordings are transcribed, window after window. No clip's frames touch another's, so a window is copies and floor.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from shared.errors import UsageError
from trainer.data.clips import Clips, Window, objects
from trainer.data.dataset import PROMPT_LABELS
from trainer.data.timed_labels import TimeTokens

MOST_GAP = 50
"""Frames of the longest pause between two clips; short ones are more frequent, 12 frames are the mean."""
MOST_PREVIOUS = 223
"""Labels of the text before: what Whisper takes of it, half its places less one."""
_Ints = NDArray[np.int32] | NDArray[np.int64]
_TIMES = 2
"""Labels that say when a clip begins and ends."""
_LOOKED_AT = 16
"""Clips of which one is looked for that may be cut."""


@dataclass(frozen=True, slots=True, eq=False)
class Packing:
    """How clips are packed: a *share* of them, and *previous_share* of the windows with the text before as a prompt.

    *times* are the tokens that say when. By row: *floors* float32 and *sources* int32, whose clips are kept apart. A
    window has *window_frames*, and at most *max_labels*. Of the clips that are not packed *timestamp_share* say when
    they begin and end.
    """

    share: float
    times: TimeTokens
    floors: NDArray[np.float32]
    sources: NDArray[np.int32]
    timestamp_share: float = 0.0
    previous_share: float = 0.0
    window_frames: int = 3_000
    max_labels: int = 448


def even(frames: _Ints) -> _Ints:
    """*frames* rounded up to whole 0.02 s."""
    return frames + frames % 2


def texts(labels: _Ints) -> _Ints:
    """Of rows with so many *labels*, those of the text."""
    return labels - PROMPT_LABELS - 1


def can_tell_times(frames: _Ints, labels: _Ints, packing: Packing) -> NDArray[np.bool_]:
    """Which rows of *frames* and *labels* can be said with times: they fit into a window, and are text in a prompt."""
    text = texts(labels)
    return (even(frames) <= packing.window_frames) & (text > 0) & (text + PROMPT_LABELS + _TIMES <= packing.max_labels)


def choose(
    order: NDArray[np.int64], able: NDArray[np.bool_], share: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Which of the rows in *order* are packed: a *share* of all, as far as so many are *able*."""
    places = np.flatnonzero(able[order])
    chosen = np.zeros(len(order), np.bool_)
    chosen[rng.permutation(places)[: round(share * len(order))]] = True
    return chosen


def pack(
    order: NDArray[np.int64],
    frames: NDArray[np.int32],
    labels: NDArray[np.int32],
    packing: Packing,
    rng: np.random.Generator,
) -> list[tuple[Window, int, int]]:
    """The rows in *order*, each once and whole, in windows: those with their frames and their decoder's tokens.

    *frames* and *labels* are of all rows. Of every source the last window is as long as its clips.
    """
    sources = packing.sources[order]
    grouped = order[np.argsort(sources, kind="stable")]
    found: list[tuple[Window, int, int]] = []
    for rows in np.split(grouped, np.cumsum(np.unique(sources, return_counts=True)[1])[:-1]):
        # The cube of a draw: 26 x its mean of 1/4 are 6 steps of two frames.
        gaps = 2 * (rng.random(len(rows)) ** 3 * (MOST_GAP // 2 + 1)).astype(np.int64)
        prompted = rng.random(len(rows)) < packing.previous_share
        columns = rows, even(frames[rows]), texts(labels[rows]), gaps, packing.floors[rows]
        stream = _Stream(packing, *(column.tolist() for column in columns))
        found += stream.windows(prompted.tolist())
    return found


@dataclass(slots=True)
class _Stream:
    """The *rows* of one source: their even *frames*, labels of *texts*, the *gaps* after them, their *floors*."""

    packing: Packing
    rows: list[int]
    frames: list[int]
    texts: list[int]
    gaps: list[int]
    floors: list[float]

    def windows(self, prompted: Sequence[bool]) -> Iterator[tuple[Window, int, int]]:
        """As `pack` tells of them."""
        first, previous = 0, (0, 0)
        while first < len(self.rows):
            stop, starts, end, labels = self._fill(first)
            before = self._before(*previous, labels + 1) if prompted[first] else (first, 0)
            cut = self._may_begin(first, stop, end, labels)
            rows = tuple(self.rows[first : stop + cut])
            begins = (*starts, end)[: len(rows)]
            told = tuple(self.rows[before[0] : previous[1]]) if before[1] else ()
            window = Window(rows, begins, cut, told, before[1])
            length = self.packing.window_frames if stop < len(self.rows) else self.frames[stop - 1] + begins[-1]
            yield window, length, before[1] + labels + cut - 1
            first, previous = stop, (first, stop)

    def _fill(self, first: int) -> tuple[int, list[int], int, int]:
        """Where the window that begins with *first* stops, where its rows start, where the next would, its labels."""
        # Start, language and task tokens, and the end.
        end, labels, starts, stop = 0, PROMPT_LABELS, list[int](), first
        while stop < len(self.rows):
            more = labels + self.texts[stop] + _TIMES
            if end + self.frames[stop] > self.packing.window_frames or more > self.packing.max_labels:
                break
            starts.append(end)
            end, labels, stop = end + self.frames[stop] + self.gaps[stop], more, stop + 1
        return stop, starts, end, labels

    def _may_begin(self, first: int, stop: int, end: int, labels: int) -> bool:
        """Whether the window also hears a clip begin, which is then the first at *stop*.

        A row is stored with all below its own maximum - 2 raised to that: only one that is no louder than the others
        stays what it is where its loudest part is cut off.
        """
        if end >= self.packing.window_frames or labels >= self.packing.max_labels:
            return False
        floor = max(self.floors[first:stop])
        for other in range(stop, min(stop + _LOOKED_AT, len(self.rows))):
            if self.floors[other] <= floor and end + self.frames[other] > self.packing.window_frames:
                for column in (self.rows, self.frames, self.texts, self.gaps):
                    column[stop], column[other] = column[other], column[stop]
                self.floors[stop], self.floors[other] = self.floors[other], self.floors[stop]
                return True
        return False

    def _before(self, first: int, stop: int, labels: int) -> tuple[int, int]:
        """From which row on the ones up to *stop* are a prompt before *labels* others, and how many labels it has."""
        room = min(MOST_PREVIOUS, self.packing.max_labels - labels - 1)
        count, begin = 0, stop
        while begin > first and count + self.texts[begin - 1] <= room:
            begin -= 1
            count += self.texts[begin]
        return begin, count + 1 if count else 0


def telling_times(clips: Clips, packing: Packing, draws: NDArray[np.float64]) -> Clips:
    """*clips* [steps, clips] of one row each, of which a share tells when it begins and ends; *draws* say which."""
    able = can_tell_times(clips.frames, clips.tokens + 1, packing)
    chosen = able & (draws[:, : clips.rows.shape[1]] < packing.timestamp_share)
    windows = clips.windows.copy()
    windows[chosen] = objects([Window((row,)) for row in clips.rows[chosen].tolist()])
    # A time before the text takes the place of the token that there are none; one comes after it.
    return replace(clips, tokens=clips.tokens + chosen, windows=windows)


def require_work(items: int, ranks: int) -> None:
    """Raises UsageError where a step's *items*, clips and windows, are fewer than *ranks*."""
    if items < ranks:
        message = f"--pack-share leaves a step with {items} clips and windows for {ranks} ranks"
        raise UsageError(message, "raise --global-batch-size, or lower --pack-share")

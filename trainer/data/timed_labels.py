"""Labels of clips and windows that tell when each clip begins and ends, as Whisper was taught them. Pure.

`<|startofprev|>text<|startoftranscript|><|de|><|transcribe|><|0.00|>text<|4.32|><|4.60|>text<|7.12|><|endoftext|>`; of
a clip that ends after the window, the time of its beginning alone. Its text would be cut with it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from shared.errors import UsageError
from shared.models.tokens import MOMENTS, NO_TIMESTAMPS, moments, vocabulary
from shared.models.whisper_tokens import START_OF_PREVIOUS
from trainer.data.clips import Clip, Clips, Window
from trainer.data.dataset import PROMPT_LABELS
from trainer.data.fill import fill_spans
from trainer.data.rows import Rows

_A_SECOND = 50
"""Times are told in steps of 0.02 s, two frames."""
_NOTHING = -1
_Span = tuple[int, int, int, int]
"""Where labels of the store begin and how many they are, and the ones to put before and after them, or `_NOTHING`."""


@dataclass(frozen=True, slots=True)
class TimeTokens:
    """The id of `<|0.00|>`, which those of all other times follow, and of the token that begins the text before."""

    first: int
    previous: int

    @classmethod
    def of(cls, tokenizer_json: str, vocab_size: int) -> Self:
        """Those of a tokenizer and a model of *vocab_size*. Raises UsageError where one of the two has none."""
        ids = vocabulary(tokenizer_json)
        times, previous = sorted(moments(ids)), ids.get(START_OF_PREVIOUS)
        remedy = "leave --pack-share and --timestamp-share out, or choose a model that tells times"
        if len(times) != MOMENTS or times != list(range(times[0], times[0] + MOMENTS)) or previous is None:
            found = f"{len(times)} of {MOMENTS:,} times (<|0.00|> to <|30.00|>)"
            less = "" if previous is not None else f", and no {START_OF_PREVIOUS}"
            raise UsageError(f"the tokenizer has {found}{less}", remedy)
        if ids.get(NO_TIMESTAMPS) is None or times[-1] >= vocab_size:
            message = f"the model's vocabulary of {vocab_size:,} entries ends before <|30.00|>, which is {times[-1]:,}"
            raise UsageError(message, remedy)
        return cls(times[0], previous)


@dataclass(frozen=True, slots=True)
class LabelRows:
    """Of several clips, labels one after the other: *values* int32[labels], of which each clip's begin at *begins*.

    It has *counts*, and the first *passed* of them are a prompt that is not learned; int64[clips] each.
    """

    values: NDArray[np.int32]
    begins: NDArray[np.int64]
    counts: NDArray[np.int64]
    passed: NDArray[np.int64]


def timed_labels(split: Rows, clips: Clips, tokens: TimeTokens) -> LabelRows:
    """The labels of *clips* of *split*: the store's own, or with times where they have a window."""
    spans, ends, passed = list[_Span](), list[int](), list[int]()
    for clip in clips:
        spans += _own(split, clip) if clip.window is None else _timed(split, clip.window, tokens)
        ends.append(len(spans))
        passed.append(0 if clip.window is None else clip.window.prompt_labels)
    table = np.ascontiguousarray(np.array(spans, np.int64).T)
    taken = np.cumsum(table[1] + (table[2:] != _NOTHING).sum(axis=0))
    values = np.empty(taken[-1], np.int32)
    fill_spans(split.label_values, table, values)
    stops = taken[np.array(ends) - 1]
    begins = np.concatenate([[0], stops[:-1]])
    return LabelRows(values, begins, stops - begins, np.array(passed))


def _own(split: Rows, clip: Clip) -> Iterator[_Span]:
    yield int(split.label_offsets[clip.row]), int(split.num_labels[clip.row]), _NOTHING, _NOTHING


def _timed(split: Rows, window: Window, tokens: TimeTokens) -> Iterator[_Span]:
    begins, counts = split.label_offsets, split.num_labels
    for number, row in enumerate(window.previous):
        begin, count = int(begins[row]) + PROMPT_LABELS, int(counts[row]) - PROMPT_LABELS - 1
        yield begin, count, _NOTHING if number else tokens.previous, _NOTHING
    first, last = window.rows[0], len(window.whole)
    # Start, language and task; the fourth says that there are no times.
    yield int(begins[first]), PROMPT_LABELS - 1, _NOTHING, _NOTHING
    for number, (row, start) in enumerate(zip(window.rows, window.starts, strict=True)):
        begin, count = int(begins[row]) + PROMPT_LABELS, int(counts[row]) - PROMPT_LABELS - 1
        time = tokens.first + start // 2
        if number == last:
            yield begin, 0, time, _NOTHING
        else:
            yield (
                begin,
                count,
                time,
                min(time + round(_A_SECOND * float(split.duration[row])), tokens.first + MOMENTS - 1),
            )
    yield int(begins[first]) + int(counts[first]) - 1, 1, _NOTHING, _NOTHING

"""Calls of an export as RealtimeSTT makes them, sound to text: VAD filter, realtime lane, times of words.

What an export says is judged clip by clip elsewhere, within rounding; here it is whether such a call works at all, and
says about the same as the original's.
"""

from collections.abc import Iterator, Sequence
from itertools import cycle

import numpy as np
from numpy.typing import NDArray

from shared.rows import rebuild
from shared.schema import SAMPLING_RATE
from shared.store import StoreSplit
from shared.text import normalise_transcript
from shared.units import format_counted
from trainer.evaluation.scoring import Normaliser, count_errors
from trainer.gate.apart import FAULTS, ExportApart
from trainer.gate.realtimestt import RealtimeSTTModel, WholeCall
from trainer.gate.sound import audible

CLIPS = 8
"""Of the gate's rows; their sound is made from the store's log-mel."""
LONG_SECONDS = 36.0
"""At least so long is the recording of those clips one after the other: longer than the window of 30 s."""
_LONG = "the long recording"
_MOST_OTHER = 0.5
_SILENCE = np.zeros(SAMPLING_RATE, np.float32)


def check_calls(
    reference: RealtimeSTTModel, exports: Sequence[ExportApart | None], split: StoreSplit, rows: Sequence[int]
) -> Iterator[tuple[int, str]]:
    """The place among *exports*, and in words what is wrong when that one is called for the first of *rows*.

    One that raises, or whose process ends, is called no more; None is passed over.
    """
    sounds = {f"row {int(split.row_id[row])}": audible(_log_mel(split, row)) for row in rows[:CLIPS]}
    before = {name: reference.whole_call(samples, False) for name, samples in sounds.items()}  # noqa: FBT003 - as there
    long = joined(list(sounds.values()))
    said = reference.transcribe(long) if len(long) else ""
    for number, export in enumerate(exports):
        if export is None:
            continue
        problems = list(_problems(export, sounds, before))
        for problem in problems or (_long_problems(export, long, said) if len(long) else ()):
            yield number, problem


def joined(sounds: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """*sounds* one after the other, again from the first on until they are longer than `LONG_SECONDS`; none of none."""
    parts: list[NDArray[np.float32]] = []
    length = 0
    for samples in cycle(sound for sound in sounds if len(sound)):
        parts.append(samples)
        length += len(samples)
        if length > LONG_SECONDS * SAMPLING_RATE:
            break
    return np.concatenate(parts) if parts else np.empty(0, np.float32)


def _long_problems(export: ExportApart, samples: NDArray[np.float32], said: str) -> Iterator[str]:
    """What is wrong with *samples* in faster-whisper's own windows, with timestamps; the original *said* so much.

    One window's end is the next one's beginning, so that what rounding tips in one may move all that follow: so only
    what is mostly otherwise counts.
    """
    try:
        heard: str = export.call("transcribe", samples)
    except FAULTS as error:
        yield f"{_LONG} of {len(samples) / SAMPLING_RATE:.0f} s, with timestamps: {error}"
        return
    errors = count_errors([said], [heard], Normaliser.BASIC)
    words, wrong = int(errors.words.sum()), int(errors.word_errors.sum())
    if wrong > _MOST_OTHER * max(1, words):
        yield (
            f"{_LONG} of {len(samples) / SAMPLING_RATE:.0f} s, with timestamps: {wrong} words are others than the "
            f"original's {words}, at most half may"
        )


def _problems(
    export: ExportApart, sounds: dict[str, NDArray[np.float32]], before: dict[str, WholeCall]
) -> Iterator[str]:
    differ = []
    for name, samples in {"silence": _SILENCE, **sounds}.items():
        try:
            heard: WholeCall = export.call("whole_call", samples, True)  # noqa: FBT003 - as above
        except FAULTS as error:
            yield f"called as RealtimeSTT does (3 beams, VAD filter, word timestamps) with {name}: {error}"
            return
        if heard.problem:
            yield f"word timestamps of {name}: {heard.problem}"
        if name in before and normalise_transcript(heard.text) != normalise_transcript(before[name].text):
            differ.append(name)
    if len(differ) > _MOST_OTHER * len(sounds):
        yield (
            f"called as RealtimeSTT does, with sound and VAD filter, it says otherwise in {len(differ)} of "
            f"{format_counted(len(sounds), 'clip')}, at most half may: {', '.join(differ)}"
        )


def _log_mel(split: StoreSplit, row: int) -> NDArray[np.float32]:
    frames = int(split.num_frames[row])
    whole = rebuild(split.payload(row), split.spec, frames, float(split.floor[row]))
    return np.ascontiguousarray(whole[:frames].T)

"""All recordings of a split that are too long, one after the other, from the source to the journal to the cut plan."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preprocess.alignment.journal import Journal
from preprocess.alignment.recording import Decode, RowCuts, Rules, cut_recording
from preprocess.audio.decode import DecodeLimits, decode_clip, resample
from preprocess.sources.base import RowReader, SourceRow
from shared.errors import RowRejectedError
from shared.schema import SAMPLING_RATE, QuarantineReason

LONGEST_RECORDING = 3_600.0
"""Seconds: what is longer is no recording to cut but a file to look at."""
PASSED_EVERY = 1_000
"""Rows after which the journal learns that none of them was too long."""
Transcript = Callable[[str], str]
"""A source's text as it is stored; raises RowRejectedError."""


@dataclass(frozen=True, slots=True)
class Long:
    """What counts as too long (*limits*), and how long a recording may be at all (*most*)."""

    limits: DecodeLimits
    most: DecodeLimits

    def samples(self, row: SourceRow) -> NDArray[np.float32] | None:
        """The recording of *row*, float32 mono at 16 kHz, where it is too long; None where it is not, or has nothing.

        What cannot be read at all is left to the run, which says so.
        """
        if row.audio is None:
            return None
        try:
            decode_clip(row.audio, self.limits)
        except RowRejectedError as error:
            if error.reason != QuarantineReason.TOO_LONG:
                return None
        else:
            return None
        try:
            clip = decode_clip(row.audio, self.most)
        except RowRejectedError:
            return None
        return resample(clip.samples, clip.sampling_rate)


@dataclass(slots=True)
class AlignProgress:
    """What an alignment came to so far: *rows* looked at, *long* recordings with their *seconds*, *kept* of these."""

    rows: int = 0
    long: int = 0
    seconds: float = 0.0
    kept: int = 0
    kept_seconds: float = 0.0

    def add(self, cuts: RowCuts) -> None:
        """Counts a recording."""
        seconds = cuts.num_samples / SAMPLING_RATE
        self.long += 1
        self.seconds += seconds
        if not cuts.problem:
            self.kept += 1
            self.kept_seconds += seconds


def align_rows(
    reader: RowReader,
    journal: Journal,
    decode: Decode,
    long: Long,
    transcript: Transcript,
    *,
    rules: Rules | None = None,
) -> Iterator[RowCuts | None]:
    """Cuts what is too long of the rows from *reader* into *journal*; yields after each row what was cut of it.

    Between two rows the caller may stop: what was cut is durable.
    """
    for row in reader.rows():
        cuts = _cut(row, decode, long, transcript, rules)
        if cuts is not None:
            journal.add(cuts)
        elif (row.row_id + 1) % PASSED_EVERY == 0:
            journal.passed(row.row_id + 1)
        yield cuts


def _cut(row: SourceRow, decode: Decode, long: Long, transcript: Transcript, rules: Rules | None) -> RowCuts | None:
    samples = long.samples(row)
    if samples is None:
        return None
    try:
        text = transcript(row.transkription or "")
    except RowRejectedError as error:
        return RowCuts(row.row_id, (len(samples),), problem=error.message)
    if not text:
        return RowCuts(row.row_id, (len(samples),), problem="its transcript is empty")
    return cut_recording(row.row_id, samples, text, decode, rules)

"""What a data set is: its kind, splits and columns, what a run would object to, and a few of its rows."""

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

import numpy as np
import pyarrow as pa
import soundfile
from numpy.typing import NDArray

from preprocess.audio.decode import DecodeLimits, decode_native, resample
from preprocess.features.long_clips import LongClips
from preprocess.features.mel import mel_filters
from preprocess.features.transcript import stored_transcript
from preprocess.inspection.clip_measures import clipped_share, level_db, silent_share
from preprocess.inspection.sample_facts import Heard, SampleFacts, sample_facts
from preprocess.sources.base import Access, Block, Columns, Source, SourceRow, SplitLayout
from preprocess.sources.columns import suggested_columns
from preprocess.sources.confine import NOTHING_ELSE
from preprocess.sources.open import Kind, find_kind, open_kind
from shared.errors import RowRejectedError, SourceError, SpeechPrepError, UnreadableError
from shared.schema import MAX_LABELS, SAMPLING_RATE, QuarantineReason, num_frames_of
from shared.text import Labeller, normalise_transcript
from shared.units import format_counted

_SAMPLED_ROWS = 240
_SAMPLED_PLACES = 12
_LONGEST_SHOWN = DecodeLimits(max_seconds=3_600.0)
"""What is decoded to be shown; longer than a run would take, so that a long clip's length is known."""
_ATTEMPTS = 3
"""The transcript's column, the audio column, and the attempt that succeeds."""


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """A column, its type in Arrow's words, and what a run reads it as ('' where it does not)."""

    name: str
    type: str
    role: str


@dataclass(frozen=True, slots=True)
class SplitFacts:
    """One split; *audio_bytes* are encoded."""

    name: str
    rows: int
    files: int
    audio_bytes: int


@dataclass(frozen=True, slots=True)
class ClipFacts:
    """One row as a run would see it; *rejected* is '' or why it would be quarantined. *seconds* is None where unknown.

    *encoding* reads `FLAC PCM_16, 16 kHz, mono`.
    """

    row_id: int
    path: str
    source: str
    transkription: str
    encoding: str
    encoded_bytes: int
    seconds: float | None
    num_frames: int | None
    rejected: str


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and what to do about it."""

    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """A data set. With *problems* it is not usable as named; *options* name the columns that it can be used with.

    *sampled* are rows of *split*, from all over it, *sample* what they have in common; *row* is the one that was asked
    for. *notes* are what else should be known before it is used, *long* counts sampled clips over the window.
    """

    uri: str
    kind: str
    columns: Sequence[ColumnFacts]
    splits: Sequence[SplitFacts]
    problems: Sequence[Problem]
    options: Sequence[str]
    split: str
    sampled: Sequence[ClipFacts]
    row: ClipFacts | None
    notes: Sequence[str] = ()
    sample: SampleFacts | None = None
    long: LongClips | None = None


@dataclass(frozen=True, slots=True)
class OpenedSource:
    """*source* is None where the data set cannot be opened at all; *columns* are those that it was opened with.

    *kind* is None where it is no data set, *schema* where no columns can be read.
    """

    source: Source | None
    kind: Kind | None
    columns: Columns
    schema: pa.Schema | None
    problems: Sequence[Problem]


def open_explaining(uri: str, columns: Columns, access: Access = NOTHING_ELSE) -> OpenedSource:
    """Opens *uri*, where need be with other columns than those named; each thing that was wrong is a problem."""
    try:
        kind, path = find_kind(uri, columns)
    except SourceError as error:
        return OpenedSource(None, None, columns, None, [Problem(error.message, error.remedy)])
    schema = _schema(kind, path)
    problems: dict[Problem, None] = {}
    for _ in range(_ATTEMPTS):
        try:
            return OpenedSource(open_kind(kind, path, columns, access), kind, columns, schema, [*problems])
        except SourceError as error:
            problems[Problem(error.message, error.remedy)] = None  # other columns do not mend everything
            better = suggested_columns(schema, columns) if schema is not None else columns
            if better == columns:
                break
            columns = better
    return OpenedSource(None, kind, columns, schema, [*problems])


@dataclass(frozen=True, slots=True)
class Rules:
    """What a run takes: clips of up to *max_seconds*; with *strip_timestamps* also those with times in their words.

    *window_seconds* is the model's window.
    """

    max_seconds: float
    strip_timestamps: bool = False
    window_seconds: float = 30.0


def _schema(kind: Kind, path: str) -> pa.Schema | None:
    try:
        return kind.schema(path)
    except (SpeechPrepError, OSError, ValueError, pa.ArrowException):
        # Opening the data set fails for the same reason, and says so.
        return None


def source_facts(
    uri: str,
    opened: OpenedSource,
    split: str,
    row: ClipFacts | None,
    rules: Rules,
    *,
    labeller: Labeller | None = None,
) -> SourceFacts:
    """The facts of *opened*, which the user calls *uri*; reads some hundred rows of *split*.

    How fast they speak is counted in the labels of *labeller*, without it in letters.
    """
    source, sampled, heard = opened.source, [], []
    for sampled_row in _sampled_rows(source, split) if source is not None else ():
        sampled.append(clip_facts(sampled_row, rules))
        heard += _heard(sampled_row, sampled[-1].transkription, labeller)
    pace_of = "letters" if labeller is None else "labels"
    layouts, notes = _usable_splits(source, split) if source is not None else ([], [])
    return SourceFacts(
        uri=uri if source is None else source.uri,
        kind=opened.kind.name if opened.kind else "",
        columns=_column_facts(opened),
        splits=[SplitFacts(split.name, split.num_rows, split.num_files, split.num_bytes) for split in layouts],
        problems=opened.problems,
        options=[] if source is None else _options(opened.columns),
        split=split,
        sampled=sampled,
        row=row,
        notes=[*notes, *(source.notes if source is not None else ())],
        sample=sample_facts(heard, [clip.source for clip in sampled], pace_of) if heard else None,
        long=_long(sampled, rules),
    )


def _long(clips: Sequence[ClipFacts], rules: Rules) -> LongClips:
    taken = [clip.seconds for clip in clips if clip.seconds is not None and not clip.rejected]
    too_long = [clip.seconds for clip in clips if clip.rejected.startswith(f"{QuarantineReason.TOO_LONG}:")]
    left_out = [(rules.max_seconds, False) if seconds is None else (seconds, True) for seconds in too_long]
    return LongClips.counted(rules.window_seconds, taken, left_out)


def _usable_splits(source: Source, split: str) -> tuple[list[SplitLayout], list[str]]:
    """The layouts of the splits, and what is to be said of those that cannot be used; *split* has to be usable."""
    layouts, notes = [], []
    for name in source.splits:
        try:
            layouts.append(source.splits[name])
        except (SourceError, UnreadableError) as error:
            if name == split:
                raise
            notes.append(error.message)
    return layouts, notes


def _heard(row: SourceRow, transkription: str, labeller: Labeller | None) -> list[Heard]:
    """What is to be told of *row*, [] where it cannot be heard."""
    try:
        samples, sampling_rate = _decoded(row)
    except RowRejectedError:
        # Its facts say why.
        return []
    seconds = len(samples) / sampling_rate
    return [
        Heard(
            row.row_id,
            seconds,
            sampling_rate,
            level_db(samples),
            clipped_share(samples),
            silent_share(samples, sampling_rate),
            _count(transkription, labeller) / seconds if transkription and seconds else None,
            row.transkription or "",
        )
    ]


def _count(transkription: str, labeller: Labeller | None) -> int:
    """Letters, or with *labeller* labels, without those that stand around every transcript."""
    try:
        return len(transkription) if labeller is None else len(labeller(transkription)) - len(labeller.around)
    except RowRejectedError:
        return MAX_LABELS if labeller is None else labeller.max_labels


def read_row(source: Source, split: str, number: int) -> SourceRow:
    """Row *number* of *split*. Raises SourceError where there is none."""
    rows = source.splits[split].num_rows
    if number >= rows:
        raise SourceError(
            f"split {split!r} has {format_counted(rows, 'row')}, counted from 0", f"--row takes 0 to {rows - 1}"
        )
    return next(source.reader(split, number, number + 1).rows())


def clip_facts(row: SourceRow, rules: Rules) -> ClipFacts:
    """What *row* holds, and whether a run with these *rules* would quarantine it."""
    transkription = normalise_transcript(row.transkription or "")
    seconds, rejected = None, ""
    try:
        samples, sampling_rate = _decoded(row, rules.max_seconds)
        seconds = len(samples) / sampling_rate
        stored = stored_transcript(transkription, strip_timestamps=rules.strip_timestamps)
        rejected = _objection(seconds, stored, rules.max_seconds)
    except RowRejectedError as error:
        rejected = f"{error.reason}: {error.message}"
    return ClipFacts(
        row_id=row.row_id,
        path=row.path,
        source=row.source,
        transkription=transkription,
        encoding=_encoding(row.audio),
        encoded_bytes=len(row.audio or b""),
        seconds=seconds,
        num_frames=None if seconds is None else num_frames_of(math.ceil(seconds * SAMPLING_RATE)),
        rejected=rejected,
    )


def row_log_mel(row: SourceRow, num_mel_bins: int) -> NDArray[np.float32]:
    """Log-mel `[num_frames, num_mel_bins]` of *row*, as a run computes it. Raises RowRejectedError."""
    from preprocess.features.log_mel import LogMel  # noqa: PLC0415 - numba: a third of a second that plans need not pay

    return LogMel(mel_filters(num_mel_bins))(resample(*_decoded(row)))


def _decoded(row: SourceRow, max_seconds: float = _LONGEST_SHOWN.max_seconds) -> tuple[NDArray[np.float32], int]:
    """As a run with *max_seconds* decodes *row*, its codec's padding trimmed; a longer clip as it is."""
    if row.audio is None:
        raise RowRejectedError(row.problem or QuarantineReason.NO_AUDIO, row.problem_message or "no audio bytes")
    try:
        return decode_native(row.audio, DecodeLimits(max_seconds=max_seconds))
    except RowRejectedError as error:
        if error.reason != QuarantineReason.TOO_LONG:
            raise
    return decode_native(row.audio, _LONGEST_SHOWN)


def _objection(seconds: float, transkription: str, max_seconds: float) -> str:
    if not transkription:
        return f"{QuarantineReason.EMPTY_TRANSCRIPT}: the transcript is empty"
    if seconds > max_seconds:
        return f"{QuarantineReason.TOO_LONG}: {seconds:.1f} s, --max-duration is {max_seconds:g}"
    return ""


def _encoding(audio: bytes | None) -> str:
    if not audio:
        return "none"
    try:
        info = soundfile.info(io.BytesIO(audio))
    except soundfile.SoundFileRuntimeError:
        from preprocess.audio.ffmpeg import demuxer_of  # noqa: PLC0415 - FFmpeg, for what libsndfile does not read

        demuxer = demuxer_of(audio) or "unknown"
        return {"mov": "M4A", "matroska": "WebM", "aac": "AAC"}.get(demuxer, demuxer)
    channels = {1: "mono", 2: "stereo"}.get(info.channels, format_counted(info.channels, "channel"))
    return f"{info.format} {info.subtype}, {info.samplerate / 1_000:g} kHz, {channels}"


def _sampled_rows(source: Source, split: str) -> Iterator[SourceRow]:
    for start, stop in _places(source.splits[split].blocks):
        yield from islice(source.reader(split, start, stop).rows(), stop - start)


def _places(blocks: Sequence[Block]) -> list[tuple[int, int]]:
    """Rows (start, stop) at the heads of evenly spread blocks."""
    edges = [0]
    for block in blocks:
        edges.append(edges[-1] + block.num_rows)
    heads = list(pairwise(edges))
    count = min(_SAMPLED_PLACES, len(heads))
    rows = _SAMPLED_ROWS // max(1, count)
    chosen = (heads[len(heads) * place // count] for place in range(count))
    return [(start, min(stop, start + rows)) for start, stop in chosen]


def _column_facts(opened: OpenedSource) -> list[ColumnFacts]:
    columns, kind, schema = opened.columns, opened.kind, opened.schema
    if schema is None or kind is None:
        return []
    audio = {kind.file_column: "audio's file"} if kind.file_column else {columns.audio: "audio"}
    text = columns.text if columns.text in schema.names else kind.text_column or columns.text
    roles = {columns.source: "source", text: "transcript", **audio}
    found = []
    for field in schema:
        told = (field.metadata or {}).get(b"role")
        role = roles.get(field.name, "") if told is None else told.decode()
        if role == "audio" and not pa.types.is_struct(field.type):
            role = "audio, but of the wrong type"
        found.append(ColumnFacts(field.name, str(field.type), role))
    return found


def _options(columns: Columns) -> list[str]:
    """The options that name *columns*, where they are not the defaults."""
    usual = Columns().settings()
    changed = {name: value for name, value in columns.settings().items() if usual.get(name) != value}
    return [word for name, value in changed.items() for word in (f"--{name.replace('_', '-')}", value)]

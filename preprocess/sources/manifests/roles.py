"""Which column is the audio, which the transcript, which says what part: by the usual names, or as the user says. Pure.

Where two columns could be it, nothing is chosen: the message shows three rows as read and the options that settle it.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

from preprocess.sources.base import Columns
from preprocess.sources.manifests.entries import as_read
from shared.errors import SourceError

AUDIO_NAMES = (
    *("file_name", "audio_filepath", "filename", "path", "audio", "wav", "wav_filename", "audio_path", "audio_file"),
    *("file", "filepath", "file_path", "wav_path", "audiofile", "dateiname", "datei", "audiodatei", "pfad"),
)
TEXT_NAMES = (
    *("transkription", "text", "sentence", "transcription", "transcript", "transkript", "normalized_text", "raw_text"),
    *("satz", "utterance"),
)
_START_NAMES = ("offset", "start", "begin", "start_time", "segment_start", "begin_time", "start_seconds", "beginn")
_DURATION_NAMES = ("duration", "dur", "duration_seconds", "dauer")
_END_NAMES = ("end", "stop", "end_time", "segment_end", "stop_time", "end_seconds", "ende")
_OTHER_UNITS = re.compile("(offset|start|begin)(_?time)?_?(ms|msecs?|millis|milliseconds|samples?|frames?)")
"""Names of a start that is not in seconds: taken for no start, each row would be the whole file with a part's words."""
SPLIT_NAMES = ("split", "subset", "partition")
NONE = "none"
"""What a user says for a column that is not to be used."""


@dataclass(frozen=True, slots=True)
class Roles:
    """Positions of the columns in a row; None where there is none of that role."""

    audio: int
    text: int
    source: int | None = None
    start: int | None = None
    duration: int | None = None
    end: int | None = None
    split: int | None = None

    @property
    def are_timed(self) -> bool:
        """Whether rows are parts of recordings."""
        return not self.start is self.duration is self.end is None

    def told(self, names: Sequence[str]) -> dict[str, str]:
        """What each column of *names* is used as; '' where it is not."""
        positions = {at: field.name for field in fields(self) if (at := getattr(self, field.name)) is not None}
        words = {"audio": "audio's file", "text": "transcript", "start": "offset"}
        return {name: words.get(role := positions.get(at, ""), role) for at, name in enumerate(names)}

    def words(self, names: Sequence[str]) -> str:
        """For the one line in which the choice is told."""
        told = self.told(names)
        unused = ", ".join(name for name, role in told.items() if not role and name)
        used = ", ".join(f"{role} = {name}" for name, role in told.items() if role)
        return f"{used}{f' (not used: {unused})' if unused else ''}"


@dataclass(frozen=True, slots=True)
class TableHead:
    """What a table shows before it is read: *where* it is, its columns' *names*, some *rows*, the first one's line."""

    where: str
    names: Sequence[str]
    rows: Sequence[Sequence[str]]
    first_line: int = 2


def is_header(cells: Sequence[str]) -> bool:
    """Whether *cells* name an audio column by a usual name."""
    return any(_plain(cell) in AUDIO_NAMES for cell in cells)


def names_clips(names: Sequence[str], columns: Columns) -> bool:
    """Whether *names* have a column of audio files and one of transcripts, by usual names or as *columns* say."""
    usual = Columns()
    has_audio = is_header(names) or (columns.audio != usual.audio and columns.audio in names)
    return has_audio and (columns.text in names or any(_plain(name) in TEXT_NAMES for name in names))


def choose(head: TableHead, columns: Columns, exists: Callable[[str], bool]) -> Roles:
    """The roles of *head*'s columns: what *columns* name, else the usual names. *exists* says that a file is there.

    Raises SourceError where a named column is not there, or none or several could be meant.
    """
    audio = _audio(head, columns, exists)
    text = _text(head, columns, audio)
    start = _optional(head, columns.offset, _START_NAMES, "--offset-column")
    duration = _optional(head, columns.duration, _DURATION_NAMES, "--duration-column")
    end = _optional(head, columns.end, _END_NAMES, "--end-column")
    if start is None:
        _refuse_other_units(head, columns)
        # Beside a clip of its own its length is information, often rounded. Named by the user it is what is wanted.
        duration = duration if columns.duration else None
        end = end if columns.end else None
    if duration is not None and end is not None:
        duration = duration if columns.duration and not columns.end else None
    source = None
    if columns.source in head.names or columns.source != Columns().source:
        source = _named(head, columns.source, "--source-column")
    named = columns.split
    split = _optional(head, named, (), "--split-column") if named else _first(head, SPLIT_NAMES)
    return Roles(audio, text, source, start, duration, end, split)


def _refuse_other_units(head: TableHead, columns: Columns) -> None:
    found = [name for name in head.names if _OTHER_UNITS.fullmatch(_plain(name))]
    if found and columns.offset != NONE:
        message = f"{head.where}: column {found[0]!r} seems to say where a part begins, but not in seconds"
        raise SourceError(
            message, f"write seconds into a column 'start', or pass --offset-column {NONE} for whole files"
        )


def _audio(head: TableHead, columns: Columns, exists: Callable[[str], bool]) -> int:
    if columns.audio != Columns().audio:
        return _named(head, columns.audio, "--audio-column")
    found = _all(head, AUDIO_NAMES)
    there = [at for at in found if any(at < len(row) and exists(row[at]) for row in head.rows)]
    if there or found:
        return (there or found)[0]
    raise _unsafe(head, "no column has a usual name for the audio's file", "--audio-column", range(len(head.names)))


def _text(head: TableHead, columns: Columns, audio: int) -> int:
    if columns.text != Columns().text or columns.text in head.names:
        return _named(head, columns.text, "--text-column")
    found = [at for at in _all(head, TEXT_NAMES) if at != audio]
    contents = {tuple(row[at] if at < len(row) else "" for row in head.rows) for at in found}
    if len(found) == 1 or len(contents) == 1:
        return found[0]
    why = "no column has a usual name for the transcript" if not found else "several columns could be the transcript"
    others = [at for at in range(len(head.names)) if at != audio]
    raise _unsafe(head, why, "--text-column", found or others)


def _optional(head: TableHead, named: str, usual: Sequence[str], option: str) -> int | None:
    if named == NONE:
        return None
    if named:
        return _named(head, named, option)
    found = _all(head, usual)
    if len(found) > 1:
        raise _unsafe(head, "several columns could say what part of a recording is meant", option, found)
    return found[0] if found else None


def _named(head: TableHead, name: str, option: str) -> int:
    if list(head.names).count(name) == 1:
        return list(head.names).index(name)
    if name in head.names:
        message = f"{head.where} has several columns {name!r}: {', '.join(head.names)}"
        raise SourceError(message, "give each a name of its own in the file's first line")
    message = f"{head.where} has no column {name!r}; its columns are {', '.join(head.names) or '(none)'}"
    raise SourceError(message, f"name one of them with {option}")


def _all(head: TableHead, usual: Sequence[str]) -> list[int]:
    """Positions of the columns with *usual* names, in the order of those."""
    return [at for name in usual for at, found in enumerate(head.names) if _plain(found) == name]


def _plain(name: str) -> str:
    return name.strip().lower().replace(" ", "_").replace("-", "_")


def _first(head: TableHead, usual: Sequence[str]) -> int | None:
    return next(iter(_all(head, usual)), None)


def _unsafe(head: TableHead, why: str, option: str, among: Sequence[int]) -> SourceError:
    rows = as_read([head.names, *head.rows], head.first_line - 1) if head.first_line > 1 else as_read(head.rows)
    names = " or ".join(f"{option} {head.names[at]}" for at in among[:4]) or f"{option} NAME"
    return SourceError(f"{head.where}: {why}. As read: {rows}", f"pass {names}; or --separator, if the cells are wrong")

"""A Kaldi data folder: `wav.scp`, `text`, and `segments` for utterances that are parts of recordings.

Pipes and archives are refused.

Utterances come in the order of `text`. `segments` may name a channel as its fifth field, and -1 for a recording's end.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from preprocess.sources.base import Access, Columns
from preprocess.sources.confine import refuse_link_out
from preprocess.sources.manifests.entries import Entry, refuse_mostly_bad, seconds_of, span
from preprocess.sources.manifests.places import placed
from preprocess.sources.manifests.table_text import read_table_text
from preprocess.sources.manifests.understood import Understood, by_split, split_of_name
from shared.errors import SourceError
from shared.units import format_counted

_RECORDINGS, _TEXT, _SEGMENTS = "wav.scp", "text", "segments"
_ARCHIVE = re.compile(r"\.ark:\d+$")
_TO_THE_END = -1
_SEGMENT_FIELDS = (3, 4)
"""After the utterance: recording, start, end, and perhaps the channel."""
_Segment = tuple[str, str, str, str, str]
"""Recording, start, stop, channel, problem."""


def is_kaldi(path: str) -> bool:
    """Whether there are data folders at *path*."""
    return bool(kaldi_folders(path))


def kaldi_folders(path: str) -> list[Path]:
    """The data folders at *path*: itself, or those in it and in its `data`; empty where it is none."""
    root = Path(path)
    if _is_kaldi(root):
        return [root]
    return sorted(folder for parent in (root, root / "data") if parent.is_dir() for folder in parent.iterdir()
                  if _is_kaldi(folder))  # fmt: skip


def _is_kaldi(folder: Path) -> bool:
    return all((folder / name).is_file() for name in (_RECORDINGS, _TEXT))


def read_kaldi(path: str, columns: Columns, access: Access) -> Understood:
    """All that the data folders at *path* say; a folder in it is the split that its name tells.

    Raises SourceError for a pipe or an archive, and where a file cannot be read or *access* does not allow it.
    """
    root = Path(path)
    found, notes = [], []
    for folder in kaldi_folders(path):
        entries, note = _read_folder(folder, root, columns, access)
        found.append((split_of_name(folder.resolve().name), entries))
        notes.append(note)
    return Understood(str(root), by_split(found, f"the Kaldi folders in {root}"), tuple(notes))


def _read_folder(folder: Path, root: Path, columns: Columns, access: Access) -> tuple[list[Entry], str]:
    for name in (_RECORDINGS, _TEXT, _SEGMENTS):
        refuse_link_out(str(root), str(folder / name), access)
    files = _files(folder, columns)
    segments = _segments(folder / _SEGMENTS, columns)
    entries: list[Entry] = []
    told: set[str] = set()
    for line, name, text in _lines(folder / _TEXT, columns):
        recording, start, stop, channel, problem = (segments or {}).get(name, (name, "", "", "", ""))
        if name in told:
            problem = f"{folder / _TEXT}, line {line}: utterance {name!r} a second time"
        elif segments is not None and name not in segments:
            problem = f"{folder / _TEXT}, line {line}: utterance {name!r} is not in {_SEGMENTS}"
        elif not problem and recording not in files:
            problem = f"{folder / _TEXT}, line {line}: {recording!r} is not in {_RECORDINGS}"
        told.add(name)
        entries.append(Entry(files.get(recording, name), text, root.resolve().name, start, stop, channel, problem))
    refuse_mostly_bad(folder, entries, f"make {_TEXT}, {_SEGMENTS} and {_RECORDINGS} agree (utils/fix_data_dir.sh)")
    entries, where = placed(entries, str(root), access, [f"{folder.relative_to(root)}/"] if folder != root else [])
    untold = len(set(segments if segments is not None else files) - told)
    note = (
        f"{folder.name}: Kaldi, {format_counted(len(entries), 'utterance')} of "
        f"{format_counted(len(files), 'recording')}{', ' + where if where else ''}"
    )
    return entries, note + (f"; {untold} without a transcript are left out" if untold else "")


def _lines(path: Path, columns: Columns) -> Iterator[tuple[int, str, str]]:
    """Number, first word and the rest of each line that is not empty."""
    for number, line in enumerate(read_table_text(path, columns.encoding).text.split("\n"), 1):
        words = line.strip().split(maxsplit=1)
        if words:
            yield number, words[0], words[1] if len(words) > 1 else ""


def _files(folder: Path, columns: Columns) -> dict[str, str]:
    """Files by recording. Raises SourceError for one that is named twice: its words would be another file's."""
    found: dict[str, str] = {}
    for line, name, rest in _lines(folder / _RECORDINGS, columns):
        if found.setdefault(name, file := _file(folder, line, name, rest)) != file:
            message = f"{folder / _RECORDINGS}, line {line}: {name} is {file!r}, and was {found[name]!r} before"
            raise SourceError(message, "give each recording an id of its own")
    return found


def _file(folder: Path, line: int, name: str, rest: str) -> str:
    where = f"{folder / _RECORDINGS}, line {line}"
    if rest.endswith("|") or rest.startswith("|") or rest == "-":
        remedy = "no command of a data set is run: write the audio to files and name those in wav.scp"
        raise SourceError(f"{where}: {name} is a pipe: {rest[:80]!r}", remedy)
    if _ARCHIVE.search(rest):
        remedy = "unpack it first (wav-copy scp:wav.scp scp,t:… with files), and name the files in wav.scp"
        raise SourceError(f"{where}: {name} lies in a Kaldi archive: {rest[:80]!r}", remedy)
    return rest


def _segments(path: Path, columns: Columns) -> dict[str, _Segment] | None:
    """Segments by utterance; None where there is no such file, and utterances are whole recordings."""
    if not path.is_file():
        return None
    found: dict[str, _Segment] = {}
    for line, name, rest in _lines(path, columns):
        where, fields = f"{path}, line {line}", rest.split()
        try:
            segment = _segment(fields)
        except ValueError as error:
            segment = (fields[0] if fields else "", "", "", "", f"{where}: {error}: {rest[:60]!r}")
        found[name] = segment if name not in found else (*segment[:-1], f"{where}: utterance {name!r} a second time")
    return found


def _segment(fields: Sequence[str]) -> _Segment:
    if len(fields) not in _SEGMENT_FIELDS:
        raise ValueError("a segment is UTTERANCE RECORDING START END")
    end = seconds_of(fields[2])
    start, stop = span(seconds_of(fields[1]), None, None if end == _TO_THE_END else end)
    channel = fields[3] if len(fields) > _SEGMENT_FIELDS[0] else ""
    return fields[0], start, stop, str(int(channel)) if channel else "", ""

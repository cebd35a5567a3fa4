"""A text of the same name beside each audio file: `001.wav` and `001.txt` or `001.lab`, in any depth of folders.

A text of Audacity's labels (start, end and words, separated by tabs) cuts its recording; HTK's own, which count in
100 ns and name phones, are refused.
"""

import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path

from preprocess.sources.base import Access, Columns
from preprocess.sources.confine import read_inside
from preprocess.sources.manifests.entries import Entry, refuse_mostly_bad, seconds_of, span
from preprocess.sources.manifests.places import AUDIO_SUFFIXES
from preprocess.sources.manifests.table_text import as_text
from preprocess.sources.manifests.understood import Understood
from preprocess.sources.patterns import linked_folders, walk
from preprocess.sources.splits import infer_splits
from shared.errors import RowRejectedError, SourceError
from shared.units import format_counted

_TEXT_SUFFIXES = (".txt", ".lab")
_LOOKED_AT = 2_000
_NAMED = 3
_MAX_TEXT_BYTES = 16 * 1024**2
_LABEL = re.compile(r"(-?\d+[.,]\d+)\t(-?\d+[.,]\d+)(?:\t(.*))?")
_HTK = re.compile(r"(\d+)\s+(\d+)\s+\S+.*")


def has_texts_beside(path: str) -> bool:
    """Whether some audio file of the folder at *path* has a text beside it, among the first few thousand files.

    Links count: opening says which may not be followed.
    """
    seen: dict[str, set[str]] = {}
    if not Path(path).is_dir():
        return False
    for name in islice(walk(Path(path), links=True), _LOOKED_AT):
        kinds = seen.setdefault(_stem(name), set())
        kinds.add(_kind(name))
        if {"audio", "text"} <= kinds:
            return True
    return False


def read_beside(path: str, columns: Columns, access: Access) -> Understood:
    """Every audio file at *path* that has a text; the others, and texts without audio, are counted in a note.

    Splits are told by the folders' names, as everywhere. Raises SourceError where two texts claim one file, and where
    links lead to all of them that *access* does not allow.
    """
    root = Path(path)
    audio, texts = _pairs(path, access)
    pairs = [(audio[stem], texts[stem]) for stem in sorted(set(audio) & set(texts))]
    if not pairs:
        raise _none_found(root)
    found = {name: list(_entries(root, name, text, columns, access)) for name, text in pairs}
    refuse_mostly_bad(
        root, [entry for rows in found.values() for entry in rows], "write only the words into the text files"
    )
    splits = {split: [entry for name in names for entry in found[name]] for split, names in infer_splits(found).items()}
    lost = len(found) - sum(sum(name in found for name in names) for names in infer_splits(found).values())
    notes = [f"{root.name}: {format_counted(len(pairs), 'audio file')} with a text beside each"]
    notes += _left_over("audio file", "without a text", [audio[stem] for stem in sorted(set(audio) - set(texts))])
    notes += _left_over("text", "without an audio file", [texts[stem] for stem in sorted(set(texts) - set(audio))])
    notes += [f"left out: {format_counted(lost, 'file')} outside the folders of the splits"] if lost else []
    return Understood(str(root), splits, tuple(notes))


def _pairs(path: str, access: Access) -> tuple[dict[str, str], dict[str, str]]:
    """Audio files and texts by what they have in common."""
    audio: dict[str, str] = {}
    texts: dict[str, str] = {}
    for name in sorted(walk(Path(path), links=access.follow_links)):
        kind = _kind(name)
        if kind:
            known = audio if kind == "audio" else texts
            other = known.setdefault(_stem(name), name)
            if other != name:
                message = f"{path} holds {other} and {name}: it is unclear which belongs to the {kind} beside them"
                raise SourceError(message, "keep one of them, or name the clips in a table with file_name and text")
    return audio, texts


def _stem(name: str) -> str:
    return unicodedata.normalize("NFC", os.path.splitext(name)[0])  # noqa: PTH122 - as above


def _kind(name: str) -> str:
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 - as above
    return "audio" if suffix in AUDIO_SUFFIXES else "text" if suffix in _TEXT_SUFFIXES else ""


def _entries(root: Path, name: str, text: str, columns: Columns, access: Access) -> Iterator[Entry]:
    source = root.resolve().name
    try:
        content = read_inside(os.path.realpath(root), text, _MAX_TEXT_BYTES, access)
    except RowRejectedError as error:
        yield Entry(name, "", source, problem=f"{text}: {error.message}")
        return
    lines = [line for line in as_text(root / text, content, columns.encoding).text.splitlines() if line.strip()]
    labels = [_LABEL.fullmatch(line.strip()) for line in lines]
    if _is_htk(lines):
        problem = f"{text}, line 1: a label with times in 100 ns, no transcript: {lines[0][:60]!r}"
        yield Entry(name, "", source, problem=problem)
    elif lines and all(labels):
        yield from _labelled(name, text, source, [label.groups(default="") for label in labels if label])
    else:
        yield Entry(name, " ".join(lines), source)


def _is_htk(lines: Sequence[str]) -> bool:
    """Whether every line is a stretch of time that begins where the one before ended."""
    found = [_HTK.fullmatch(line.strip()) for line in lines]
    times = [(label[1], label[2]) for label in found if label]
    return 1 < len(times) == len(lines) and all(end == start for (_, end), (start, _) in pairwise(times))


def _labelled(name: str, text: str, source: str, labels: Sequence[Sequence[str]]) -> Iterator[Entry]:
    for number, (start, stop, words) in enumerate(labels, 1):
        try:
            times = span(seconds_of(start), None, seconds_of(stop))
        except ValueError as error:
            yield Entry(name, words, source, problem=f"{text}, line {number}: {error}")
        else:
            yield Entry(name, words, source, *times)


def _none_found(root: Path) -> SourceError:
    links = ", ".join(linked_folders(root)[:_NAMED])
    message = (
        f"{root} has audio files with texts beside them only behind links, which are not followed by default: {links}"
    )
    return SourceError(message, "pass --follow-links to read what links lead to")


def _left_over(noun: str, lacking: str, names: Sequence[str]) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return [f"left out: {format_counted(len(names), noun)} {lacking}: {', '.join(names[:_NAMED])}{more}"]

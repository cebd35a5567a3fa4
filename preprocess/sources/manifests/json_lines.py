"""JSON lines (or one JSON list) with a clip a line: NeMo's manifests, and others with the usual names.

In NeMo's own, which say `audio_filepath`, `duration` alone is what is read of the file, from its beginning.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from preprocess.sources.base import Access, Columns
from preprocess.sources.confine import spread
from preprocess.sources.manifests.entries import Entry, refuse_mostly_bad, seconds_of, span
from preprocess.sources.manifests.places import is_file_inside, place_of
from preprocess.sources.manifests.roles import Roles, TableHead, choose
from preprocess.sources.manifests.table_text import read_table_text
from preprocess.sources.manifests.understood import Read, split_column
from shared.errors import SourceError
from shared.system.foreign_files import parse_json

SUFFIXES = (".jsonl", ".ndjson", ".json", ".manifest")
_NEMO = ("audio_filepath", "duration")
_HEAD_ROWS = 50
_SHOWN = 60
_REMEDY = "write one JSON object a line; if characters look wrong, name the encoding with --encoding"


@dataclass(frozen=True, slots=True)
class Item:
    """One object of the file, and the line where it stands (or which of a list it is); *problem* where it is none."""

    line: int
    value: dict[str, Any]
    problem: str = ""


def read_items(path: Path, columns: Columns) -> list[Item]:
    """The objects in *path*, each line one, or those of one list. Raises SourceError where there are none."""
    text = read_table_text(path, columns.encoding).text
    items = list(_listed(path, text)) if text.lstrip()[:1] == "[" else list(_lines(text))
    if not items:
        raise SourceError(f"{path} is empty", "write it again")
    return items


def _listed(path: Path, text: str) -> Iterator[Item]:
    try:
        values = parse_json(text)
    except ValueError as error:
        raise SourceError(f"{path} is not JSON: {error}", "write it again, or copy all of it") from error
    for number, value in enumerate(values, 1):
        yield _item(number, value)


def _lines(text: str) -> Iterator[Item]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            yield _item(number, parse_json(line))
        except ValueError as error:
            yield Item(number, {}, f"line {number}: no JSON ({error}): {line.strip()[:_SHOWN]!r}")


def _item(number: int, value: Any) -> Item:
    if isinstance(value, dict):
        return Item(number, value)
    return Item(number, {}, f"line {number}: no JSON object: {json.dumps(value)[:_SHOWN]}")


def json_entries(path: Path, items: Sequence[Item], columns: Columns, root: Path, access: Access) -> Read:
    """The entries of *items* of the file *path*; their files are looked for under *root*, or where *access* allows it.

    Raises SourceError where it is not safe to tell which keys are meant, or most lines cannot be read.
    """
    names = list(dict.fromkeys(name for item in items for name in item.value))
    rows = [_cells(item.value, names) for item in items if not item.problem]
    refuse_mostly_bad(path, [Entry("", "", problem=item.problem) for item in items], _REMEDY)
    if set(_NEMO) <= set(names) and columns.duration == columns.end == "":
        columns = replace(columns, duration=_NEMO[1])
    head = TableHead(str(path), names, [rows[at] for at in spread(len(rows), _HEAD_ROWS)])
    roles = choose(head, columns, lambda name: is_file_inside(os.path.realpath(root), name, access))
    place = place_of([row[roles.audio] for row in rows], str(root), access)
    found: dict[str, list[Entry]] = {}
    split = ""
    for item in items:
        told, entry = _entry(path, item, names, roles)
        split = split if entry.problem else told
        found.setdefault(split, []).append(replace(entry, file=place.of(entry.file)))
    refuse_mostly_bad(path, [entry for entries in found.values() for entry in entries], _REMEDY)
    note = f"{path.name}: JSON lines; {roles.words(names)}{'; ' + place.words if place.words else ''}"
    return Read(split_column(path, found), note, roles.told(names))


def _cells(value: dict[str, Any], names: Sequence[str]) -> list[str]:
    return [_text(value.get(name)) for name in names]


def _text(value: Any) -> str:
    """What a cell would say; of an audio object (`{"path": …}`) its path."""
    if isinstance(value, dict):
        value = value.get("path") or value.get("bytes") or ""
    return "" if value is None else str(value)


@lru_cache(maxsize=8)
def _name_of(path: Path) -> str:
    """What rows without a source of their own are called after."""
    return path.parent.resolve().name


def _entry(path: Path, item: Item, names: Sequence[str], roles: Roles) -> tuple[str, Entry]:
    def value(at: int | None) -> Any:
        return None if at is None else item.value.get(names[at])

    where, problem, start, stop = f"{path.name}, line {item.line}", "", "", ""
    text = value(roles.text)
    if item.problem:
        problem = f"{path.name}, {item.problem}"
    elif text is not None and not isinstance(text, str):
        problem = f"{where}: {names[roles.text]!r} is no text: {json.dumps(text)[:_SHOWN]}"
    elif roles.are_timed:
        try:
            start, stop = _times([value(at) for at in (roles.start, roles.duration, roles.end)])
        except ValueError as error:
            problem = f"{where}: {error}"
    source = _name_of(path) if roles.source is None else _text(value(roles.source))
    entry = Entry(_text(value(roles.audio)), _text(text), source, start, stop, "", problem)
    return _text(value(roles.split)), entry


def _times(values: Sequence[Any]) -> tuple[str, str]:
    start, duration, end = map(seconds_of, values)
    return ("", "") if start is duration is end is None else span(start, duration, end)

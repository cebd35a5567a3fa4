"""The entries of a table: CSV, TSV and their kin, LJSpeech's included. JSON lines are `json_lines`'."""

import os
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path

from preprocess.sources.base import Access, Columns
from preprocess.sources.manifests.dialect import Record
from preprocess.sources.manifests.entries import Entry, refuse_mostly_bad, seconds_of, span
from preprocess.sources.manifests.places import Place, is_file_inside, place_of
from preprocess.sources.manifests.roles import Roles, TableHead, choose
from preprocess.sources.manifests.table_file import CELLS_REMEDY, LJSPEECH, Table, looks_like_audio
from preprocess.sources.manifests.understood import Read, split_column
from shared.errors import SourceError


def table_entries(table: Table, columns: Columns, root: Path, access: Access) -> Read:
    """The entries of *table*; their files are looked for under *root*, or where *access* allows it.

    Raises SourceError where the columns are not safe to tell, or most rows cannot be read.
    """
    if not table.rows:
        raise SourceError(f"{table.path} has a header and no rows", "write the table again, or name another")
    head = table.head()
    exists = partial(is_file_inside, os.path.realpath(root), access=access)
    roles = None if table.headed else _headless_roles(head, columns, exists)
    roles = roles or choose(head, columns, exists)
    place = place_of([row.cells[roles.audio] for row in table.rows if not row.problem], str(root), access)
    found: dict[str, list[Entry]] = {}
    split = ""
    for row in table.rows:
        told, entry = _entry(row, roles, place, table.path)
        # What a row that cannot be read says of its split is not to be believed; it stays with its neighbours.
        split = split if entry.problem else told
        found.setdefault(split, []).append(entry)
    refuse_mostly_bad(table.path, [entry for entries in found.values() for entry in entries], CELLS_REMEDY)
    return Read(
        split_column(table.path, found),
        f"{table.path.name}: {table.words}; {roles.words(table.names)}{'; ' + place.words if place.words else ''}",
        roles.told(table.names),
    )


def _headless_roles(head: TableHead, columns: Columns, exists: Callable[[str], bool]) -> Roles | None:
    """Of a table without a header: the column that names files, and the only other one or LJSpeech's second.

    None where that leaves a choice; *columns* may name both by number.
    """
    names, is_ljspeech = list(head.names), head.names[0] == LJSPEECH[0]
    audio = 0 if is_ljspeech else _file_column(head, exists)
    audio = names.index(columns.audio) if columns.audio in names else audio
    others = [at for at in range(len(names)) if at != audio]
    if audio is None:
        return None
    if columns.text in names:
        return Roles(audio, names.index(columns.text))
    is_sure = columns.text == Columns().text and (is_ljspeech or len(others) == 1)
    return Roles(audio, others[0]) if is_sure else None


def _file_column(head: TableHead, exists: Callable[[str], bool]) -> int | None:
    """The one column whose cells end as audio files do; of several that whose files are there."""
    columns = range(len(head.names))
    named = [at for at in columns if all(looks_like_audio(row[at]) for row in head.rows if at < len(row))]
    found = named if len(named) == 1 else [at for at in named if any(exists(row[at]) for row in head.rows)]
    return found[0] if len(found) == 1 else None


@lru_cache(maxsize=8)
def _name_of(path: Path) -> str:
    """What rows without a source of their own are called after."""
    return path.parent.resolve().name


def _entry(row: Record, roles: Roles, place: Place, path: Path) -> tuple[str, Entry]:
    def cell(at: int | None) -> str:
        return row.cells[at] if at is not None and at < len(row.cells) else ""

    problem, start, stop = row.problem, "", ""
    if not problem and roles.are_timed:
        try:
            start, stop = span(*(seconds_of(cell(at)) for at in (roles.start, roles.duration, roles.end)))
        except ValueError as error:
            problem = f"line {row.line}: {error}"
    told = f"{path.name}, {problem}" if problem else ""
    source = _name_of(path) if roles.source is None else cell(roles.source)
    entry = Entry(place.of(cell(roles.audio)), cell(roles.text), source, start, stop, "", told)
    return cell(roles.split).strip(), entry

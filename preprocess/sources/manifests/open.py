"""From a path to a source: which of a person's own forms it is, judged by what fits and not by what lies beside it."""

import codecs
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path

import pyarrow as pa

from preprocess.sources.base import Access, Columns
from preprocess.sources.clips import ClipSource
from preprocess.sources.confine import NOTHING_ELSE, leads_outside, refuse_link_out
from preprocess.sources.manifests import json_lines, table_file
from preprocess.sources.manifests.beside import read_beside
from preprocess.sources.manifests.entries import entry_table
from preprocess.sources.manifests.kaldi import read_kaldi
from preprocess.sources.manifests.lhotse import lhotse_part, read_lhotse
from preprocess.sources.manifests.parts import PartReader, lay_out
from preprocess.sources.manifests.places import is_file_inside, unnamed_audio
from preprocess.sources.manifests.roles import NONE, names_clips
from preprocess.sources.manifests.table_text import encoding_of
from preprocess.sources.manifests.tables import table_entries
from preprocess.sources.manifests.understood import Read, Understood, of_files, told_by_folders
from shared.errors import SourceError, SpeechPrepError

_WORKBOOKS = (".xlsx", ".xls", ".ods")
_SURE_SUFFIXES = (*(suffix for suffix in table_file.SUFFIXES if suffix != ".txt"), *json_lines.SUFFIXES)
_ROLE = b"role"
_LOOKED_AT = 20
_LIST = ".txt"
_MOST_LISTS = 20
_READ_BY_OTHERS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
"""What `datasets` and we read metadata in, besides plain UTF-8."""
_Content = table_file.Table | list[json_lines.Item]


def open_kaldi(uri: str, columns: Columns, access: Access = NOTHING_ELSE) -> ClipSource:
    """The source made of Kaldi data folders. Raises SourceError."""
    return _source(uri, read_kaldi(uri, columns, access), access, look_around=True)


def open_beside(uri: str, columns: Columns, access: Access = NOTHING_ELSE) -> ClipSource:
    """The source made of texts beside audio files. Raises SourceError."""
    return _source(uri, read_beside(uri, columns, access), access)


def open_manifest(uri: str, columns: Columns, access: Access = NOTHING_ELSE) -> ClipSource:
    """The source made of one table or manifest, or of those of a folder that fit. Raises SourceError."""
    return _source(uri, _understand(uri, columns, access), access, look_around=True)


def is_manifest(path: str) -> bool:
    """Whether *path* is a table or manifest, or a folder that has one, by the names alone where those suffice."""
    if Path(path).is_dir():
        return any(_suffix(file) in _SURE_SUFFIXES or _fits(file, Columns()) for file in _candidates(Path(path)))
    return Path(path).is_file() and _is_one(Path(path))


def fits_manifest(path: str, columns: Columns) -> bool:
    """Whether a table in the folder at *path* names clips' files and their words, under usual names or *columns*."""
    if not Path(path).is_dir():
        return True
    # Beside Parquet files any table may lie; one that names clips which are there is more than that.
    strict = any(Path(path).rglob("*.parquet"))
    return any(_fits(file, columns) and (not strict or _names_clips(file, columns)) for file in _candidates(Path(path)))


def has_foreign_metadata(path: str, columns: Columns) -> bool:
    """Whether the metadata of the audio folder at *path* are in an encoding that those of others never are.

    Such a table is read here, as is one whose encoding or separator *columns* name.
    """
    files = [Path(path, f"metadata{suffix}") for suffix in (".csv", ".jsonl")]
    first = next(
        (file for file in files if file.is_file() and not leads_outside(os.path.realpath(path), str(file))), None
    )
    if first is None:
        return False
    if columns.encoding or columns.separator:
        return True
    content = first.read_bytes()
    return not content.startswith(_READ_BY_OTHERS) and not (encoding_of(content) or "").startswith("utf-8")


def manifest_schema(path: str) -> pa.Schema:
    """The columns of the data at *path*, each with what it is read as in its metadata. Raises SourceError."""
    return _schema(_understand(path, Columns(), NOTHING_ELSE))


def own_schema(path: str) -> pa.Schema:  # noqa: ARG001 - every such folder has the same
    """What a Kaldi folder and texts beside audio files have in place of columns."""
    return _schema(Understood("", {}, columns={"file": "audio's file", "text": "transcript"}))


def _schema(understood: Understood) -> pa.Schema:
    columns = understood.columns or {}
    return pa.schema([pa.field(name, pa.string(), metadata={_ROLE: role.encode()}) for name, role in columns.items()])


def _source(uri: str, understood: Understood, access: Access, *, look_around: bool = False) -> ClipSource:
    loaded = {split: entry_table(entries) for split, entries in understood.entries.items()}
    loaders = {split: partial(_same, table) for split, table in loaded.items()}
    notes = understood.notes
    if look_around:
        named = {entry.file for entries in understood.entries.values() for entry in entries}
        notes = (*notes, *unnamed_audio(understood.root, named))
    return ClipSource(
        uri, understood.root, loaders, access=access, notes=notes, reader_of=PartReader, layout_of=lay_out
    )


def _same(table: pa.Table) -> pa.Table:
    return table


def _suffix(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix


def _candidates(root: Path) -> list[Path]:
    """The files in *root* that may be tables by their names; many .txt are the words of a clip each."""
    usual = (*table_file.SUFFIXES, *json_lines.SUFFIXES)
    found = sorted(path for path in root.iterdir() if _suffix(path) in usual and path.is_file())
    lists = [path for path in found if _suffix(path) == _LIST]
    return found if len(lists) <= _MOST_LISTS else [path for path in found if path not in set(lists)]


def _is_one(path: Path) -> bool:
    if _suffix(path) in (*_SURE_SUFFIXES, *_WORKBOOKS):
        return True
    return _suffix(path) in table_file.SUFFIXES and _fits(path, Columns())


def _fits(path: Path, columns: Columns) -> bool:
    """Whether *path* is a table that names clips and their words, by usual names, by *columns*, or without a header."""
    if leads_outside(os.path.realpath(path.parent), str(path)):
        return False
    try:
        found = _read(path, columns)
    except SpeechPrepError:
        return False
    if isinstance(found, table_file.Table):
        return not found.headed or names_clips(found.names, columns)
    return names_clips([key for item in found[:1] for key in item.value], columns) or bool(lhotse_part(found))


def _names_clips(path: Path, columns: Columns) -> bool:
    """Whether one of the first rows of *path* names an audio file that is there."""
    found = _read(path, columns)
    if isinstance(found, list):
        rows = [[str(value) for value in item.value.values()] for item in found[:_LOOKED_AT]]
    else:
        rows = [list(row.cells) for row in found.rows[:_LOOKED_AT]]
    real_root = os.path.realpath(path.parent)
    return any(table_file.looks_like_audio(cell) and is_file_inside(real_root, cell) for row in rows for cell in row)


def _read(path: Path, columns: Columns) -> _Content:
    """What *path* holds; kept for a moment, since what was recognised is opened next."""
    status = path.stat()
    return _read_once(path, columns, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=4)
def _read_once(
    path: Path,
    columns: Columns,
    mtime_ns: int,  # noqa: ARG001 - a file that changed is read again
    num_bytes: int,  # noqa: ARG001 - as above
) -> _Content:
    if _suffix(path) in json_lines.SUFFIXES:
        return json_lines.read_items(path, columns)
    return table_file.read_table(path, columns)


def _understand(uri: str, columns: Columns, access: Access) -> Understood:
    path = Path(uri)
    root, files = (path, _candidates(path)) if path.is_dir() else (path.parent, [path])
    contents, refused = _contents(files, columns, access if path.is_dir() else None)
    lhotse = {file: found for file, found in contents.items() if isinstance(found, list) and lhotse_part(found)}
    if lhotse:
        return read_lhotse(lhotse, root, columns, access)
    read: dict[Path, Read] = {}
    for file, found in contents.items():
        try:
            read[file] = _entries(file, found, columns, root, access)
        except SourceError as error:
            refused[file] = error
    if not read:
        raise _worst(refused, uri)
    # What the rows of such a file are is nobody's question here.
    _read_once.cache_clear()
    notes = [f"{file.name} is not used: {error.message.split('. As read')[0]}" for file, error in refused.items()]
    return of_files(root, read, notes)


def _contents(
    files: Sequence[Path], columns: Columns, access: Access | None
) -> tuple[Mapping[Path, _Content], dict[Path, SourceError]]:
    """What *files* hold, and why others are refused; *access* is None for a file that the user named itself."""
    contents: dict[Path, _Content] = {}
    refused: dict[Path, SourceError] = {}
    for file in files:
        try:
            if access is not None:
                refuse_link_out(str(file.parent), str(file), access)
            contents[file] = _read(file, columns)
        except SourceError as error:
            refused[file] = error
    return contents, refused


def _entries(file: Path, found: _Content, columns: Columns, root: Path, access: Access) -> Read:
    if isinstance(found, table_file.Table):
        read = table_entries(found, columns, root, access)
    else:
        read = json_lines.json_entries(file, found, columns, root, access)
    return read if columns.split == NONE else told_by_folders(file.name, read)


def _worst(refused: Mapping[Path, SourceError], uri: str) -> SourceError:
    """The error of the table that was most likely meant: the first that is no plain text."""
    likely = sorted(refused, key=lambda file: _suffix(file) not in _SURE_SUFFIXES)
    return refused[likely[0]] if likely else SourceError(f"{uri} holds no table", "name a CSV, TSV or JSONL file")

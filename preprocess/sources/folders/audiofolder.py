"""An `audiofolder`: clips in folders, named and transcribed by metadata.csv, metadata.jsonl or metadata.parquet.

The metadata lies in any folder of the data set, at any depth; its folder's name tells the split, as in `datasets`. One
that lies above the folders of its clips gives each row to the split that the clip's folder tells, or the clip's name
where all names tell one; all is `train` where nothing tells a split. A card's `configs` go before the names.
"""

from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from preprocess.sources.base import Access, Columns, each_opened
from preprocess.sources.clips import ClipSource, clip_table
from preprocess.sources.columns import check_file_names, check_names, text_columns
from preprocess.sources.confine import NOTHING_ELSE
from preprocess.sources.folders.comparison import AUDIO_SUFFIXES, Notes, compared
from preprocess.sources.folders.metadata import (
    FILE_COLUMN,
    MetadataFiles,
    file_column,
    find_metadata,
    is_called_metadata,
    metadata_behind_links,
    metadata_schema,
    some_metadata,
)
from preprocess.sources.folders.tables import PROBLEM, read_table
from preprocess.sources.patterns import walk
from preprocess.sources.splits import ordered_splits, split_of_folder, split_of_name
from shared.errors import SourceError, SpeechPrepError
from shared.system.read_errors import refuse_unreadable
from shared.units import format_counted

_TRAIN = "train"


def is_audio_folder(path: str) -> bool:
    """Whether the folder at *path* has metadata, be it behind links. SourceError for a damaged metadata.parquet."""
    return some_metadata(Path(path)) is not None or metadata_behind_links(Path(path))


def fits_folder(path: str, columns: Columns) -> bool:
    """Whether the first metadata of the folder at *path* names clips' files, and those are what the folder is about.

    Others call their tables so as well. As in `datasets`, Parquet files that are as many as the clips are the data.
    """
    first = some_metadata(Path(path))
    try:
        if first is None or file_column(metadata_schema(first, columns.encoding).names) is None:
            return False
    except (OSError, ValueError, pa.ArrowException):
        return False
    suffixes = Counter(name.rpartition(".")[2].lower() for name in walk(Path(path)) if not is_called_metadata(name))
    return not suffixes["parquet"] or suffixes["parquet"] < sum(suffixes[suffix] for suffix in AUDIO_SUFFIXES)


def folder_schema(path: str) -> pa.Schema | None:
    """The columns of the first metadata file of the audio folder at *path*; None where a link would be followed."""
    first = some_metadata(Path(path))
    return None if first is None else metadata_schema(first)


def open_folder(uri: str, columns: Columns, access: Access = NOTHING_ELSE) -> ClipSource:
    """The source made of an audio folder. A split whose metadata cannot be used says so when it is asked for.

    Raises:
        SourceError: of no split can it be used: a metadata file cannot be read or has not the columns named, or only
            some clips lie in the folder of a split; or the card names a config that is not there.
    """
    root = Path(uri)
    found = find_metadata(root, access)
    read = each_opened(found.told, lambda split: _joined(found.told[split], root, columns))
    notes = list(found.notes)
    for path in found.untold:
        table = _without_told(path, _read_metadata(root / path, root, columns), read, notes)
        for split, part in _by_clips(path, table, found, notes).items():
            known = read.get(split)
            read[split] = pa.concat_tables([known, part]) if isinstance(known, pa.Table) else known or part
    splits = {split: partial(_loaded, read[split]) for split in ordered_splits(list(read))}
    tables = [table for table in read.values() if isinstance(table, pa.Table)]
    look = partial(_notes, notes, tables, root, found, access)
    return ClipSource(uri, str(root), splits, access=access, notes=Notes(look))


def _loaded(found: pa.Table | SpeechPrepError) -> pa.Table:
    if isinstance(found, SpeechPrepError):
        raise found
    return found


def _notes(notes: list[str], tables: list[pa.Table], root: Path, found: MetadataFiles, access: Access) -> list[str]:
    return [*notes, *compared(tables, root, found.folders, access)]


def _joined(paths: list[str], root: Path, columns: Columns) -> pa.Table:
    return pa.concat_tables([_read_metadata(root / path, root, columns) for path in paths])


def _read_metadata(path: Path, root: Path, columns: Columns) -> pa.Table:
    try:
        names = metadata_schema(path, columns.encoding).names
    except (OSError, ValueError, pa.ArrowException) as error:
        refuse_unreadable(path, error)
        raise SourceError(f"{path} cannot be read: {error}", "download or copy the file again") from error
    column = file_column(names) or FILE_COLUMN
    check_file_names(names, column, str(path))
    check_names(names, columns, str(path))
    table = _read_columns(path, list(dict.fromkeys([column, *text_columns(names, columns)])), columns.encoding)
    files = _under(path.parent.relative_to(root), table.column(column))
    sources = table.column(columns.source) if columns.source in names else root.resolve().name
    problems = table.column(PROBLEM) if PROBLEM in table.column_names else ""
    return clip_table(files, table.column(columns.text), sources, problems)


def _read_columns(path: Path, wanted: list[str], encoding: str) -> pa.Table:
    if path.suffix != ".parquet":
        return read_table(path, wanted, encoding)
    try:
        with pq.ParquetFile(path) as file:
            return file.read(columns=wanted)
    except (OSError, ValueError, pa.ArrowException) as error:
        refuse_unreadable(path, error)
        raise SourceError(f"{path} cannot be read: {error}", "download or copy the file again") from error


def _under(folder: Path, files: pa.ChunkedArray) -> pa.ChunkedArray:
    # As in `datasets`: what was written on Windows names its folders with backslashes.
    names = pc.replace_substring(pc.fill_null(files.cast(pa.string()), ""), "\\", "/")
    if folder == Path():
        return names
    # An empty or absolute name stays what it is, so that its row says what is wrong with it.
    prefixed = pc.binary_join_element_wise(f"{folder.as_posix()}/", names, "")
    return pc.if_else(pc.match_substring_regex(names, "^(/|$)"), names, prefixed)


def _without_told(
    path: str, table: pa.Table, read: Mapping[str, pa.Table | SpeechPrepError], notes: list[str]
) -> pa.Table:
    """*table* without the clips that the metadata in a split's own folder names as well."""
    told = [known.column("file") for known in read.values() if isinstance(known, pa.Table)]
    if not told:
        return table
    files = pa.chunked_array([chunk for column in told for chunk in column.chunks], pa.string())
    again = pc.is_in(table.column("file"), value_set=files.combine_chunks())
    count = pc.sum(again).as_py() or 0
    if count:
        notes.append(
            f"left out of {path}: {format_counted(count, 'row')} that the metadata in the clips' own folders has, too"
        )
    return table.filter(pc.invert(again))


def _by_clips(path: str, table: pa.Table, found: MetadataFiles, notes: list[str]) -> dict[str, pa.Table]:
    """*table* by the splits that the folders or names of its clips tell.

    Raises SourceError where some tell one and others do not, unless others' metadata tells splits: as in `datasets`,
    what tells none is then left out.
    """
    files = table.column("file").combine_chunks()
    parents = pc.replace_substring_regex(files, pattern="[^/]*$", replacement="")
    folders = pc.if_else(pc.equal(files, ""), "/", parents).dictionary_encode()
    names: list[str] = folders.dictionary.to_pylist()
    tells = [split_of_folder(f"{name}x") if _is_plain(name) else None for name in names]
    told = ordered_splits([split for split in dict.fromkeys(tells) if split is not None])
    if not told and not found.told:
        return _by_names(path, table, notes)
    first = told[0] if told else next(iter(found.told))
    of_name = [first if not _is_plain(name) else tell for name, tell in zip(names, tells, strict=True)]
    of_row = pa.array(of_name, pa.string()).take(folders.indices)
    strays = [name for name, split in zip(names, of_name, strict=True) if split is None]
    if strays and not found.told:
        where = f"{path} has clips in {', '.join(told)} and others in {strays[0] or 'its own folder'}"
        raise SourceError(where, "move those into a split's folder, or all clips out of such folders")
    if strays:
        notes.append(
            f"left out of {path}, as `datasets` leaves them out: {format_counted(of_row.null_count, 'row')} "
            "whose clips lie in "
            f"{strays[0] or 'its own folder'}, where other metadata lies in folders named after splits"
        )
    parts = {split: table.filter(pc.equal(of_row, split)) for split in dict.fromkeys([*told, first])}
    return {split: part for split, part in parts.items() if part.num_rows}


def _by_names(path: str, table: pa.Table, notes: list[str]) -> dict[str, pa.Table]:
    """*table* by the splits that its clips' own names tell, where each of them tells one; else all of it is `train`."""
    splits: list[str] = []
    for name in table.column("file").to_pylist():
        split = split_of_name(PurePosixPath(name).name)
        if split is None:
            return {_TRAIN: table}
        splits.append(split)
    told = ordered_splits(list(dict.fromkeys(splits))) or [_TRAIN]
    if told != [_TRAIN]:
        notes.append(f"the clips' names in {path} tell the splits {', '.join(told)}: all begin or end with such a word")
    of_row = pa.array(splits, pa.string())
    return {split: table.filter(pc.equal(of_row, split)) for split in told}


def _is_plain(folder: str) -> bool:
    # A name that is absolute, climbs or is empty ('/' here) tells no split; its row is kept, and says so when read.
    return not folder.startswith("/") and ".." not in folder.split("/")

"""An `audiofolder`: clips in folders, named and transcribed by metadata.csv, metadata.jsonl or metadata.parquet.

The metadata lies in the data set's folder or in those of its splits; a clip's split is told by its folder's name, as
in `datasets`, and is `train` where no folder tells one.
"""

from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.json as pajson
import pyarrow.parquet as pq

from preprocess.sources.base import Columns
from preprocess.sources.clips import ClipSource, clip_table
from preprocess.sources.columns import check_file_names, check_names, text_columns
from preprocess.sources.splits import ordered_splits, split_of_folder
from shared.errors import SourceError
from shared.system.foreign_files import parse_json
from shared.system.read_errors import refuse_unreadable

FILE_COLUMN = "file_name"
_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_HEADER_LINES = 100
_MAX_LINE_BYTES = 16 * 1024**2


def is_audio_folder(path: str) -> bool:
    """Whether the folder at *path* has metadata that name clips. Raises SourceError for a damaged metadata.parquet."""
    return bool(_find_metadata(Path(path)))


def folder_schema(path: str) -> pa.Schema:
    """The columns of the first metadata file of the audio folder at *path*."""
    return _schema(_find_metadata(Path(path))[0])


def _find_metadata(root: Path) -> list[Path]:
    """The metadata files of *root*, of its folders and of those of `data`, at most one each; empty if it has none.

    A metadata.parquet counts where it has a `file_name` column: other data sets use that name too.
    """
    folders = [root, *sorted(_folders(root)), *sorted(_folders(root / "data"))]
    found = [next((folder / name for name in _METADATA if _is_metadata(folder / name)), None) for folder in folders]
    return [path for path in found if path is not None]


def open_folder(uri: str, columns: Columns) -> ClipSource:
    """The source made of an audio folder.

    Raises:
        SourceError: a metadata file cannot be read or has not the columns named, or only some clips lie in the
            folder of a split.
    """
    root = Path(uri)
    tables: dict[str, list[pa.Table]] = {}
    for path in _find_metadata(root):
        for split, table in _by_split(path, root, _read_metadata(path, root, columns)).items():
            tables.setdefault(split, []).append(table)
    splits = {split: pa.concat_tables(tables[split]) for split in ordered_splits(list(tables))}
    return ClipSource(uri, str(root), {split: partial(_same, table) for split, table in splits.items()})


def _same(table: pa.Table) -> pa.Table:
    return table


def _folders(root: Path) -> Iterator[Path]:
    if root.is_dir():
        yield from (path for path in root.iterdir() if not path.suffix and path.is_dir())


def _is_metadata(path: Path) -> bool:
    if not path.is_file():
        return False
    if path.suffix != ".parquet":
        return True
    try:
        return FILE_COLUMN in pq.read_schema(path).names
    except (OSError, pa.ArrowException) as error:
        refuse_unreadable(path, error)
        raise SourceError(f"{path} cannot be opened as Parquet: {error}", "download or copy the file again") from error


def _read_metadata(path: Path, root: Path, columns: Columns) -> pa.Table:
    try:
        names = _schema(path).names
        check_file_names(names, FILE_COLUMN, str(path))
        check_names(names, columns, str(path))
        wanted = [FILE_COLUMN, *text_columns(names, columns)]
        table = _READERS[path.suffix](path, wanted)
        files = _under(path.parent.relative_to(root), table.column(FILE_COLUMN))
        sources = table.column(columns.source) if columns.source in wanted else root.resolve().name
        return clip_table(files, table.column(columns.text), sources)
    except (OSError, ValueError, pa.ArrowException) as error:
        refuse_unreadable(path, error)
        raise SourceError(f"{path} cannot be read: {error}", "repair the line or column that it names") from error


def _under(folder: Path, files: pa.ChunkedArray) -> pa.ChunkedArray:
    names = pc.fill_null(files.cast(pa.string()), "")
    if folder == Path():
        return names
    # An empty or absolute name stays what it is, so that its row says what is wrong with it.
    prefixed = pc.binary_join_element_wise(f"{folder.as_posix()}/", names, "")
    return pc.if_else(pc.match_substring_regex(names, "^(/|$)"), names, prefixed)


def _by_split(path: Path, root: Path, table: pa.Table) -> dict[str, pa.Table]:
    own = split_of_folder(path.relative_to(root).as_posix())
    if own is not None:
        return {own: table}
    files = table.column("file").combine_chunks()
    parents = pc.replace_substring_regex(files, pattern="[^/]*$", replacement="")
    folders = pc.if_else(pc.equal(files, ""), "/", parents).dictionary_encode()
    names: list[str] = folders.dictionary.to_pylist()
    tells = [split_of_folder(f"{name}x") if _is_plain(name) else None for name in names]
    told = ordered_splits([split for split in dict.fromkeys(tells) if split is not None])
    if not told:
        return {"train": table}
    of_name = [told[0] if not _is_plain(name) else tell for name, tell in zip(names, tells, strict=True)]
    strays = [name for name, split in zip(names, of_name, strict=True) if split is None]
    if strays:
        where = f"{path} has clips in {', '.join(told)} and others in {strays[0] or 'its own folder'}"
        raise SourceError(where, "move those to a split's folder, or all out of them")
    of_row = pa.array(of_name, pa.string()).take(folders.indices)
    return {split: table.filter(pc.equal(of_row, split)) for split in told}


def _is_plain(folder: str) -> bool:
    # A name that is absolute, climbs or is empty ('/' here) tells no split; its row is kept, and says so when read.
    return not folder.startswith("/") and ".." not in folder.split("/")


def _schema(path: Path) -> pa.Schema:
    """The columns of a metadata file; what is no Parquet is read as text."""
    if path.suffix == ".parquet":
        return pq.read_schema(path)
    if path.suffix == ".csv":
        with pacsv.open_csv(path, parse_options=_csv_options()) as reader:
            names = reader.schema.names
    else:
        with path.open(encoding="utf-8") as file:
            lines = islice(iter(lambda: file.readline(_MAX_LINE_BYTES), ""), _HEADER_LINES)
            records = [parse_json(line) for line in lines if line.strip()]
        if not all(isinstance(record, dict) for record in records):
            raise ValueError("a line is no JSON object")
        names = list(dict.fromkeys(name for record in records for name in record))
    return pa.schema([(name, pa.string()) for name in names])


def _csv_options() -> pacsv.ParseOptions:
    return pacsv.ParseOptions(newlines_in_values=True)


def _read_csv(path: Path, wanted: list[str]) -> pa.Table:
    # Everything is text: a transcript that says 'null', '1.0' or '2024-05-01' must stay what it is.
    convert = pacsv.ConvertOptions(
        include_columns=wanted, column_types=dict.fromkeys(wanted, pa.string()), strings_can_be_null=False
    )
    return pacsv.read_csv(path, parse_options=_csv_options(), convert_options=convert)


def _read_jsonl(path: Path, wanted: list[str]) -> pa.Table:
    schema = pa.schema([(name, pa.string()) for name in wanted])
    parse = pajson.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    read = pajson.ReadOptions(block_size=_MAX_LINE_BYTES)
    return pajson.read_json(path, read_options=read, parse_options=parse)


def _read_parquet(path: Path, wanted: list[str]) -> pa.Table:
    with pq.ParquetFile(path) as file:
        return file.read(columns=wanted)


_READERS = {".csv": _read_csv, ".jsonl": _read_jsonl, ".parquet": _read_parquet}

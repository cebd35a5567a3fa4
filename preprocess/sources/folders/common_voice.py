"""A Common Voice release: `train.tsv`, `dev.tsv`, `test.tsv`, `validated.tsv` … beside `clips/`.

Its own names are used: the transcript is `sentence` unless another column is named, `dev` is split `validation`, and
every row's source is `common_voice`. By default `train`, `dev` and `test` are prepared: `validated` and `other` have
clips of those again, and what is in `invalidated` was voted down.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from preprocess.sources.base import Access, Columns
from preprocess.sources.clips import ClipSource, clip_table
from preprocess.sources.columns import check_file_names, check_names, text_columns
from preprocess.sources.confine import NOTHING_ELSE
from preprocess.sources.folders.tables import PROBLEM, column_names, read_table
from preprocess.sources.splits import ordered_splits
from shared.errors import SourceError
from shared.system.read_errors import refuse_unreadable

_SOURCE_NAME = "common_voice"
PATH_COLUMN = "path"
SENTENCE_COLUMN = "sentence"
_CLIPS = "clips"
_USUAL = ("train", "validation", "test")
_LAST = ("invalidated", "other")


def is_common_voice(path: str) -> bool:
    """Whether the folder at *path* looks like a release: `clips/` with TSV files beside it."""
    return Path(path, _CLIPS).is_dir() and any(Path(path).glob("*.tsv"))


def fits_common_voice(path: str, columns: Columns) -> bool:
    """Whether a TSV of the folder at *path* has a release's columns: other data sets have TSV files and clips too."""
    return any(_is_clip_table(_header(tsv, columns.encoding), columns) for tsv in sorted(Path(path).glob("*.tsv")))


def release_schema(path: str) -> pa.Schema:
    """The columns of the first TSV of the release at *path* that names clips; all are text."""
    headers = [_header(tsv) for tsv in sorted(Path(path).glob("*.tsv"))]
    names = next((names for names in headers if PATH_COLUMN in names), headers[0])
    return pa.schema([(name, pa.string()) for name in names])


def open_common_voice(uri: str, columns: Columns, access: Access = NOTHING_ELSE) -> ClipSource:
    """The source made of a release; a split's TSV is read when the split is first asked for.

    Every TSV that names clips is a split; reports, durations and the like are not. Splits that share clips with the
    usual ones are there for who names them.

    Raises:
        SourceError: no TSV names clips, or one lacks the transcript's column.
    """
    root = Path(uri)
    headers = {path: _header(path, columns.encoding) for path in sorted(root.glob("*.tsv"))}
    tables = {_split_name(path): path for path, names in headers.items() if _is_clip_table(names, columns)}
    if not tables:
        for path, names in headers.items():
            check_file_names(names, PATH_COLUMN, str(path))
            check_names(names, _own_columns(names, columns), str(path))
    loaders = {split: partial(_load, tables[split], columns) for split in ordered_splits(list(tables))}
    chosen = _chosen(list(loaders))
    notes = _notes(list(loaders), chosen)
    return ClipSource(uri, str(root / _CLIPS), loaders, access=access, chosen=chosen, notes=notes)


def _chosen(splits: Sequence[str]) -> list[str]:
    """The usual splits; of a release without any the others, or what is left."""
    usual = [split for split in splits if split in _USUAL]
    return usual or [split for split in splits if split not in _LAST] or list(splits)


def _notes(splits: Sequence[str], chosen: Sequence[str]) -> list[str]:
    left = [split for split in splits if split not in chosen]
    options = " ".join(f"--split {split}" for split in left)
    return [f"left out, as they overlap the others or were voted down: {', '.join(left)} ({options})"] if left else []


def _is_clip_table(names: Sequence[str], columns: Columns) -> bool:
    return PATH_COLUMN in names and _own_columns(names, columns).text in names


def _split_name(path: Path) -> str:
    return "validation" if path.stem == "dev" else path.stem


def _own_columns(names: Sequence[str], columns: Columns) -> Columns:
    """*columns*, where the default transcript column gives way to Common Voice's own."""
    default = columns.text == Columns().text and columns.text not in names
    return replace(columns, text=SENTENCE_COLUMN) if default else columns


def _header(path: Path, encoding: str = "") -> list[str]:
    try:
        return column_names(path, encoding)
    except (OSError, ValueError) as error:
        refuse_unreadable(path, error)
        raise SourceError(f"{path} cannot be read: {error}", "unpack the release again") from error


def _load(path: Path, columns: Columns) -> pa.Table:
    names = _header(path, columns.encoding)
    own = _own_columns(names, columns)
    check_names(names, own, str(path))
    wanted = list(dict.fromkeys([PATH_COLUMN, *text_columns(names, own)]))
    table = read_table(path, wanted, columns.encoding)
    sources = table.column(own.source) if own.source in wanted else _SOURCE_NAME
    files = _with_suffix(table.column(PATH_COLUMN))
    return clip_table(files, table.column(own.text), sources, table.column(PROBLEM))


def _with_suffix(files: pa.ChunkedArray) -> pa.ChunkedArray:
    # Early releases name their clips without the '.mp3' that the files have.
    return pc.if_else(
        pc.match_substring_regex(files, r"(\.[A-Za-z0-9]+|^)$"), files, pc.binary_join_element_wise(files, ".mp3", "")
    )

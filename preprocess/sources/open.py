"""From what the user named to a source: one table says what kinds of data set there are and how each is known.

A new kind is a row of the table: how it is recognised, how it is opened and how its columns are read.
"""

import glob
import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from preprocess.sources.base import Access, Columns, Source
from preprocess.sources.confine import NOTHING_ELSE
from preprocess.sources.folders.audiofolder import fits_folder, folder_schema, is_audio_folder, open_folder
from preprocess.sources.folders.common_voice import (
    PATH_COLUMN,
    SENTENCE_COLUMN,
    fits_common_voice,
    is_common_voice,
    open_common_voice,
    release_schema,
)
from preprocess.sources.folders.metadata import FILE_COLUMN
from preprocess.sources.hub import hub_schema, open_hub, parse_hub_id
from preprocess.sources.manifests.beside import has_texts_beside
from preprocess.sources.manifests.kaldi import is_kaldi
from preprocess.sources.manifests.open import (
    fits_manifest,
    has_foreign_metadata,
    is_manifest,
    manifest_schema,
    open_beside,
    open_kaldi,
    open_manifest,
    own_schema,
)
from preprocess.sources.parquet import ParquetSource, open_local_parquet
from preprocess.sources.parquet_files import find_parquet
from preprocess.sources.patterns import walk
from preprocess.sources.save_to_disk import fits_saved, is_saved, open_saved, saved_schema
from shared.errors import SourceError

_EXPECTED = (
    "a folder or glob of Parquet files, a folder made by save_to_disk, an audio folder (metadata.csv, .jsonl or "
    ".parquet with file_name), a Common Voice release (TSV files and clips/), a table (CSV, TSV, JSON lines), a NeMo "
    "or lhotse manifest, a Kaldi data folder, audio files with a .txt or .lab beside each, or a Hub id (owner/name)"
)
_LISTED = 8
_LOOKED_AT = 8


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of data set, *name* in words. Its functions take the path that `find_kind` gives; none writes anything.

    *recognise* is cheap and says whether something there is named as this kind's files are, *fits* whether they are
    what such a data set has: one stray file decides nothing. *open* makes the source, or raises SourceError. *schema*
    reads the columns of the first file, whether or not they are those that a run needs; None where there is no file,
    and what its reader raises. *file_column* names the clips' files, '' where the audio is inside; *text_column* is
    this kind's own name of the transcript, '' where it has none. *has_configs* says whether a card can describe parts
    of it.
    """

    name: str
    recognise: Callable[[str], bool]
    fits: Callable[[str, Columns], bool]
    open: Callable[[str, Columns, Access], Source]
    schema: Callable[[str], pa.Schema | None]
    file_column: str = ""
    text_column: str = ""
    has_configs: bool = False


def open_source(uri: str, columns: Columns, access: Access = NOTHING_ELSE) -> Source:
    """The source that *uri* names: a local path or glob, or a Hub id (`owner/name`, with `:config`, `@revision`).

    Nothing is written, and of remote data only listings and footers are read.

    Raises:
        SourceError: there is nothing there, or it is not a data set with these columns; the message has the remedy.
    """
    kind, path = find_kind(uri, columns)
    return open_kind(kind, path, columns, access)


def open_kind(kind: Kind, path: str, columns: Columns, access: Access) -> Source:
    """The source of *kind* at *path*, as `find_kind` gave them. Raises as `open_source`."""
    if access.config_name is not None and not kind.has_configs:
        raise SourceError(f"{path} is a {kind.name}, which has no configs", "leave --config-name out")
    return kind.open(path, columns, access)


def access_of(config_name: str | None, audio_root: Path | None, *, follow_links: bool) -> Access:
    """What the options of these names allow.

    Raises:
        SourceError: *audio_root* is not a folder.
    """
    root = None if audio_root is None else os.path.realpath(audio_root.expanduser())
    if root is not None and not Path(root).is_dir():
        raise SourceError(f"--audio-root {audio_root} is not a folder", "name the folder that the clips lie in")
    return Access(config_name, follow_links, root)


def find_kind(uri: str, columns: Columns | None = None) -> tuple[Kind, str]:
    """The kind of data set that *uri* names, and *uri* as a path that the kind's functions take.

    Raises:
        SourceError: there is nothing there, or it is no data set; the message says what is there.
    """
    path = os.path.expanduser(uri)  # noqa: PTH111 - a glob is no Path
    named = [kind for kind in _KINDS if kind.recognise(path)]
    # One after the other: to see what fits, tables may have to be read.
    fitting = (kind for kind in named if len(named) == 1 or kind.fits(path, columns or Columns()))
    # Where nothing fits, the first that something is named after says what is wrong.
    for kind in chain(fitting, named):
        return kind, path
    if Path(path).is_dir():
        held = sorted(entry.name for entry in Path(path).iterdir())[:_LISTED]
        raise SourceError(f"{path} is not a data set; it holds {', '.join(held) or 'nothing'}", f"name {_EXPECTED}")
    if Path(path).exists():
        raise SourceError(f"{uri} is not a Parquet file", f"name {_EXPECTED}")
    raise SourceError(f"{uri} does not exist (seen from {Path.cwd()})", f"check the path; or name {_EXPECTED}")


def _is_parquet(path: str) -> bool:
    if Path(path).is_dir():
        return any(Path(path).rglob("*.parquet"))
    return path.endswith(".parquet") if Path(path).exists() else glob.has_magic(path)


def _fits_parquet(path: str, columns: Columns) -> bool:
    """Whether one of the first files has a column that can be audio, and no table beside them names clips."""
    if not Path(path).is_dir():
        return True
    if is_manifest(path) and fits_manifest(path, columns):
        return False
    files = (Path(path, name) for name in walk(Path(path), links=True) if name.endswith(".parquet"))
    return any(_may_have_audio(file, columns) for file in islice(files, _LOOKED_AT))


def _fits_audio_folder(path: str, columns: Columns) -> bool:
    return fits_folder(path, columns) and not has_foreign_metadata(path, columns)


def _fits_beside(path: str, columns: Columns) -> bool:
    """Whether no table names the clips."""
    return not (is_manifest(path) and fits_manifest(path, columns))


def _may_have_audio(file: Path, columns: Columns) -> bool:
    try:
        schema = pq.read_schema(file)
    except (OSError, pa.ArrowException):
        return False
    return columns.audio in schema.names or any(pa.types.is_struct(field.type) for field in schema)


def _open_parquet(path: str, columns: Columns, access: Access) -> ParquetSource:
    return open_local_parquet(path, find_parquet(path, access.config_name), columns, access)


def _parquet_schema(path: str) -> pa.Schema:
    found = find_parquet(path)
    return pq.read_schema(found.root / next(iter(found.splits.values()))[0])


def _is_on_hub(uri: str) -> bool:
    looks_local = uri.startswith(("/", ".", "~")) or uri.endswith(".parquet") or "\\" in uri
    return not looks_local and not Path(uri).exists() and parse_hub_id(uri) is not None


def _fits_always(path: str, columns: Columns) -> bool:  # noqa: ARG001 - as of every kind
    return True


# The first that fits a path has it, so the surest signs come first: a release holds no state.json, while Parquet files
# may lie in any folder. The Hub is asked only for what is nowhere here.
_KINDS = (
    Kind("folder made by save_to_disk (Arrow)", is_saved, fits_saved, open_saved, saved_schema),
    Kind(
        "Common Voice release (TSV and clips)",
        is_common_voice,
        fits_common_voice,
        open_common_voice,
        release_schema,
        PATH_COLUMN,
        SENTENCE_COLUMN,
    ),
    Kind("Kaldi data folder", is_kaldi, _fits_always, open_kaldi, own_schema),
    Kind(
        "audio folder with metadata",
        is_audio_folder,
        _fits_audio_folder,
        open_folder,
        folder_schema,
        FILE_COLUMN,
        has_configs=True,
    ),
    Kind(
        "Parquet files with the audio inside",
        _is_parquet,
        _fits_parquet,
        _open_parquet,
        _parquet_schema,
        has_configs=True,
    ),
    Kind("audio files with a text beside each", has_texts_beside, _fits_beside, open_beside, own_schema),
    Kind("table or manifest of recordings", is_manifest, fits_manifest, open_manifest, manifest_schema),
    Kind(
        "Parquet files with the audio inside, on the Hub",
        _is_on_hub,
        _fits_always,
        open_hub,
        hub_schema,
        has_configs=True,
    ),
)

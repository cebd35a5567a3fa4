"""From what the user named to a source: a local path is known by what it holds, and all else is a Hub id."""

import glob
import os
from pathlib import Path

from preprocess.sources.base import Columns, Source
from preprocess.sources.common_voice import is_common_voice, open_common_voice
from preprocess.sources.folder import find_metadata, open_folder
from preprocess.sources.hub import open_hub, parse_hub_id
from preprocess.sources.local_files import find_parquet
from preprocess.sources.parquet import open_local_parquet
from preprocess.sources.saved import is_saved, open_saved
from shared.errors import SourceError

_KINDS = (
    "a folder or glob of Parquet files, a folder made by save_to_disk, an audio folder (metadata.csv, .jsonl or "
    ".parquet with file_name), a Common Voice release (TSV files and clips/), or a Hub id (owner/name)"
)
_LISTED = 8


def open_source(uri: str, columns: Columns) -> Source:
    """The source that *uri* names: a local path or glob, or a Hub id (`owner/name`, with `:config`, `@revision`).

    Nothing is written, and of remote data only listings and footers are read.

    Raises:
        SourceError: there is nothing there, or it is not a data set with these columns; the message has the remedy.
    """
    path = os.path.expanduser(uri)  # noqa: PTH111 - a glob is no Path
    if Path(path).is_dir():
        return _open_folder(path, columns)
    if Path(path).exists() and not path.endswith(".parquet"):
        raise SourceError(f"{uri} is no Parquet file", f"name {_KINDS}")
    if Path(path).exists() or glob.has_magic(path):
        return open_local_parquet(uri, find_parquet(path), columns)
    if _looks_local(uri) or parse_hub_id(uri) is None:
        raise SourceError(f"{uri} does not exist (seen from {Path.cwd()})", f"check the path; or name {_KINDS}")
    return open_hub(uri, columns)


def _open_folder(path: str, columns: Columns) -> Source:
    folder = Path(path)
    if is_saved(folder):
        return open_saved(path, columns)
    if is_common_voice(folder):
        return open_common_voice(path, columns)
    if find_metadata(folder):
        return open_folder(path, columns)
    if any(folder.rglob("*.parquet")):
        return open_local_parquet(path, find_parquet(path), columns)
    held = sorted(entry.name for entry in folder.iterdir())[:_LISTED]
    raise SourceError(f"{path} is no data set; it holds {', '.join(held) or 'nothing'}", f"name {_KINDS}")


def _looks_local(uri: str) -> bool:
    return uri.startswith(("/", ".", "~")) or uri.endswith(".parquet") or "\\" in uri

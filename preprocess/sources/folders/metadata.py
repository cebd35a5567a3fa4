"""The metadata files of an audio folder: which there are, which split each one's folder tells, and their columns."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq

from preprocess.sources.base import Access
from preprocess.sources.configs import Config, chosen_config, config_files
from preprocess.sources.confine import leads_outside, refuse_link_out
from preprocess.sources.folders.tables import column_names
from preprocess.sources.patterns import linked_folders, walk
from preprocess.sources.splits import ordered_splits, split_of_folder
from shared.errors import SourceError
from shared.system.read_errors import refuse_unreadable

FILE_COLUMN = "file_name"
_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_LISTED = 3


@dataclass(frozen=True, slots=True)
class MetadataFiles:
    """Metadata files, relative to the data set's folder: those of a split by its name, and those that tell none.

    *folders* are those whose clips they should name; '' is the data set's own.
    """

    told: Mapping[str, list[str]]
    untold: Sequence[str]
    notes: Sequence[str]
    folders: Sequence[str]


def some_metadata(root: Path) -> Path | None:
    """The first metadata file below *root*, None where there is none that may be read unasked.

    A metadata.parquet counts where it has a column of file names: other data sets use that name too.
    """
    if not root.is_dir():
        return None
    real_root = os.path.realpath(root)
    own = (root / name for name in walk(root) if is_called_metadata(name))
    return next((path for path in own if not leads_outside(real_root, str(path)) and is_metadata(path)), None)


def metadata_behind_links(root: Path) -> bool:
    """Whether *root* has metadata only where links lead, by the names alone."""
    return root.is_dir() and any(is_called_metadata(name) for name in walk(root, links=True))


def is_called_metadata(name: str) -> bool:
    """Whether the file *name* is called as metadata is."""
    return name.rpartition("/")[2] in _METADATA


def is_metadata(path: Path) -> bool:
    """Whether the file at *path*, called as metadata is, can be some."""
    if not path.is_file():
        return False
    return path.suffix != ".parquet" or file_column(_parquet_schema(path).names) is not None


def file_column(names: Iterable[str]) -> str | None:
    """Which of the columns *names* has the clips' files: `file_name`, or as in `datasets` the one `*_file_name`."""
    likely = [name for name in names if name == FILE_COLUMN or name.endswith(f"_{FILE_COLUMN}")]
    return FILE_COLUMN if FILE_COLUMN in likely else likely[0] if len(likely) == 1 else None


def metadata_schema(path: Path, encoding: str = "") -> pa.Schema:
    """The columns of a metadata file, text where it is no Parquet. Raises as `column_names`, and ArrowException."""
    if path.suffix == ".parquet":
        return pq.read_schema(path)
    return pa.schema([(name, pa.string()) for name in column_names(path, encoding)])


def find_metadata(root: Path, access: Access) -> MetadataFiles:
    """The metadata files of the data set in *root*, or of the config of its card that *access* names.

    Raises:
        SourceError: there are none that may be read, or a config names a split without any.
    """
    config = chosen_config(root, access.config_name)
    if config is not None and config.patterns is not None:
        named = _of_patterns(root, config, access)
        return MetadataFiles(named, (), (), [name.rpartition("/")[0] for group in named.values() for name in group])
    inside = config.folder if config is not None else ""
    folder = root / inside
    called = sorted(name for name in walk(folder, links=access.follow_links) if is_called_metadata(name))
    for name in called:
        refuse_link_out(str(root), str(folder / name), access)
    names, notes = _one_a_folder([name for name in called if is_metadata(folder / name)])
    if not names:
        raise _none_found(folder)
    told: dict[str, list[str]] = {}
    untold: list[str] = []
    for name in names:
        split = split_of_folder(name)
        (untold if split is None else told.setdefault(split, [])).append((PurePosixPath(inside) / name).as_posix())
    return MetadataFiles({split: told[split] for split in ordered_splits(list(told))}, untold, notes, [inside])


def _of_patterns(root: Path, config: Config, access: Access) -> dict[str, list[str]]:
    what = "metadata.csv, .jsonl or .parquet"
    found = config_files(root, config, is_called_metadata, what, links=access.follow_links)
    for name in (name for group in found.values() for name in group):
        refuse_link_out(str(root), str(root / name), access)
    return found


def _one_a_folder(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Of several metadata files in one folder the first in the order of `_METADATA`; and what is to be said of that."""
    by_folder: dict[str, list[str]] = {}
    for name in names:
        by_folder.setdefault(name.rpartition("/")[0], []).append(name)
    notes = []
    for group in by_folder.values():
        group.sort(key=lambda name: _METADATA.index(name.rpartition("/")[2]))
        if len(group) > 1:
            notes.append(f"not read: {', '.join(group[1:])}, as {group[0]} lies beside")
    return [group[0] for group in by_folder.values()], notes


def _none_found(folder: Path) -> SourceError:
    links = linked_folders(folder)
    if links:
        shown = ", ".join(links[:_LISTED])
        return SourceError(
            f"{folder} has metadata only behind links, which are not followed by default: {shown}",
            "pass --follow-links to read what links lead to",
        )
    return SourceError(f"{folder} has no metadata.csv, .jsonl or .parquet", "name the folder that has one")


def _parquet_schema(path: Path) -> pa.Schema:
    try:
        return pq.read_schema(path)
    except (OSError, pa.ArrowException) as error:
        refuse_unreadable(path, error)
        raise SourceError(f"{path} cannot be opened as Parquet: {error}", "download or copy the file again") from error

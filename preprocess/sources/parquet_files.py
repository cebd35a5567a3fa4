"""Parquet files on this machine: a folder, a glob or one file, sorted into splits.

A README.md with `configs` decides, as it does on the Hub (`configs.py`); else the files' names do (`splits.py`).
`datasets` is not imported: that would take longer than reading every footer.
"""

import glob
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from preprocess.sources.configs import chosen_config, config_files
from preprocess.sources.patterns import walk
from preprocess.sources.splits import infer_splits
from shared.errors import SourceError
from shared.units import format_counted

_LISTED = 3


@dataclass(frozen=True, slots=True)
class LocalFiles:
    """Files by split, named relative to *root*, the data set's own folder; *notes* are what the user should know."""

    root: Path
    splits: Mapping[str, Sequence[str]]
    notes: Sequence[str] = ()


def find_parquet(path: str, config_name: str | None = None) -> LocalFiles:
    """The Parquet files that *path*, a folder, a file or a glob, stands for; *config_name* is one of a folder's card.

    Raises:
        SourceError: there are none, the README's config names none, or a name tells two splits.
    """
    is_glob = glob.has_magic(path) and not Path(path).exists()
    if config_name is not None and (is_glob or Path(path).is_file()):
        raise SourceError(f"{path} names files, but --config-name chooses a part of a folder", "name the folder")
    if is_glob:
        return _from_glob(path)
    if Path(path).is_file():
        return _by_name(_root_of(Path(path).parent), [Path(path)])
    root = Path(path)
    config = chosen_config(root, config_name)
    if config is not None and config.patterns is not None:
        return LocalFiles(root, config_files(root, config, _is_parquet, "Parquet file"))
    folder = root / config.folder if config is not None else root
    return _by_name(root, [folder / name for name in walk(folder) if _is_parquet(name)], folder)


def _is_parquet(name: str) -> bool:
    return name.endswith(".parquet")


def _from_glob(pattern: str) -> LocalFiles:
    found = [Path(name) for name in glob.glob(pattern, recursive=True) if name.endswith(".parquet")]  # noqa: PTH207 - the pattern may be absolute
    if not found:
        raise SourceError(f"no Parquet file matches {pattern}", "check the path; quote it against the shell")
    fixed = Path(*_fixed_parts(Path(pattern).parts[:-1]))
    return _by_name(_root_of(fixed), found)


def _fixed_parts(parts: Sequence[str]) -> Iterator[str]:
    for part in parts:
        if glob.has_magic(part):
            return
        yield part


def _root_of(folder: Path) -> Path:
    # `DIR/data/*.parquet` and `DIR` are one data set: the Hub's layout keeps its files in `data`.
    return folder.parent if folder.name == "data" else folder


def _by_name(root: Path, files: Sequence[Path], folder: Path | None = None) -> LocalFiles:
    """*files* by the splits that their names below *folder* tell (of the data set in *root*, where no other is)."""
    folder = folder or root
    if not files:
        raise SourceError(f"{folder} holds no Parquet file", "name the folder that does, or a Hub id (owner/name)")
    names = sorted(file.relative_to(folder).as_posix() for file in files)
    prefix = "" if folder == root else f"{folder.relative_to(root).as_posix()}/"
    splits = infer_splits(names)
    taken = {name for group in splits.values() for name in group}
    stray = [name for name in names if name not in taken]
    note = f"left out, as no split is in their names: {format_counted(len(stray), 'Parquet file')}: "
    splits = {split: [f"{prefix}{name}" for name in group] for split, group in splits.items()}
    return LocalFiles(root, splits, [note + ", ".join(stray[:_LISTED])] if stray else [])

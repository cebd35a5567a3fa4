"""Parquet files on this machine: a folder, a glob or one file, sorted into splits.

A README.md with `configs: data_files` decides, as it does on the Hub; else the files' names do (`splits.py`).
`datasets` is not imported: that would take longer than reading every footer.
"""

import glob
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from preprocess.sources.card import MAX_PATTERN, front_matter
from preprocess.sources.splits import infer_splits, ordered_splits
from shared.errors import SourceError


@dataclass(frozen=True, slots=True)
class LocalFiles:
    """Files by split, named relative to *root*, the data set's own folder."""

    root: Path
    splits: Mapping[str, Sequence[str]]


def find_parquet(path: str) -> LocalFiles:
    """The Parquet files that *path*, a folder, a file or a glob, stands for.

    Raises:
        SourceError: there are none, the README's `data_files` match none, or a name tells two splits.
    """
    if glob.has_magic(path) and not Path(path).exists():
        return _from_glob(path)
    if Path(path).is_file():
        return _by_name(_root_of(Path(path).parent), [Path(path)])
    root = Path(path)
    config = _readme_config(root / "README.md")
    if config is not None:
        return LocalFiles(root, _from_config(root, config))
    return _by_name(root, [root / name for name in _walk(root)])


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


def _by_name(root: Path, files: Sequence[Path]) -> LocalFiles:
    if not files:
        raise SourceError(f"{root} holds no Parquet file", "name the folder that does, or a Hub id (owner/name)")
    return LocalFiles(root, infer_splits(file.relative_to(root).as_posix() for file in files))


def _walk(root: Path, *, links: bool = False) -> Iterator[str]:
    """The Parquet files below *root*; behind *links* as well, but into no folder twice."""
    seen: set[tuple[int, int]] = set()
    for folder, folders, files in os.walk(root, onerror=_refuse, followlinks=links):
        # As in `datasets`: what is hidden or named __like_this__ is no data.
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
        if links:
            folders[:] = [name for name in folders if _is_new(Path(folder, name), seen)]
        for name in files:
            if name.endswith(".parquet") and not name.startswith("."):
                yield str(Path(folder, name).relative_to(root))


def _is_new(folder: Path, seen: set[tuple[int, int]]) -> bool:
    """Whether *folder* is none of those *seen*, to which it is added."""
    found = folder.stat()
    known = (found.st_dev, found.st_ino) in seen
    seen.add((found.st_dev, found.st_ino))
    return not known


def _refuse(error: OSError) -> None:
    # os.walk would pass over a folder that it may not list, and the data set would be smaller in silence.
    raise SourceError(f"{error.filename} cannot be listed: {error.strerror}", "make it readable") from error


def _readme_config(readme: Path) -> Mapping[str, Any] | None:
    if not readme.is_file():
        return None
    configs = front_matter(readme).get("configs")
    if not isinstance(configs, list) or not all(isinstance(config, dict) for config in configs):
        return None
    with_files = [config for config in configs if config.get("data_files")]
    named = [config for config in with_files if config.get("default") or config.get("config_name") == "default"]
    chosen = with_files if len(with_files) == 1 else named
    if len(with_files) > 1 and len(chosen) != 1:
        names = ", ".join(str(config.get("config_name")) for config in with_files)
        raise SourceError(f"{readme} has several configs ({names}) and no one default", "name one's files with a glob")
    return chosen[0] if chosen else None


def _from_config(root: Path, config: Mapping[str, Any]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for split, patterns in _patterns(config["data_files"]):
        names = [name for pattern in dict.fromkeys(patterns) for name in _matches(root, pattern)]
        if not names:
            raise SourceError(
                f"{root / 'README.md'} names {', '.join(patterns)} for split {split!r}: no Parquet file matches",
                "download the missing files, or take the split out of the README.md",
            )
        found[split] = list(dict.fromkeys(names))
    return {split: found[split] for split in ordered_splits(list(found))}


def _patterns(data_files: Any) -> Iterator[tuple[str, list[str]]]:
    if isinstance(data_files, dict):
        items = list(data_files.items())
    elif isinstance(data_files, list) and all(isinstance(item, dict) for item in data_files):
        items = [(item.get("split", "train"), item.get("path", [])) for item in data_files]
    else:
        items = [("train", data_files)]
    for split, patterns in items:
        yield str(split), [str(pattern) for pattern in (patterns if isinstance(patterns, list) else [patterns])]


def _matches(root: Path, pattern: str) -> list[str]:
    if PurePosixPath(pattern).is_absolute() or ".." in PurePosixPath(pattern).parts:
        raise SourceError(f"{root / 'README.md'} names {pattern!r}, outside the data set", "name files inside it")
    if len(pattern) > MAX_PATTERN:
        raise SourceError(
            f"{root / 'README.md'} names {pattern[:80]!r}…", f"no pattern needs {len(pattern)} characters"
        )
    before, wild, _ = pattern.partition("**/")
    names: Iterable[str]
    if wild or pattern.endswith("**"):
        parts = PurePosixPath(pattern).parts
        tops = [folder.rstrip("/") for folder in glob.glob(before, root_dir=root)] if before and wild else [""]  # noqa: PTH207 - relative names
        found = (PurePosixPath(top, name) for top in tops for name in _walk(root / top, links=True))
        names = [str(name) for name in found if _fits(name.parts, parts)]
    else:
        names = glob.glob(pattern, root_dir=root)  # noqa: PTH207 - relative names
    return sorted(name for name in names if name.endswith(".parquet") and (root / name).is_file())


def _fits(names: Sequence[str], parts: Sequence[str]) -> bool:
    """Whether a file, the parts of whose path are *names*, is one of the pattern made of *parts*; `**` is any folders.

    All the places in the pattern that the first names can lead to are followed at once: several `**` cost no more.
    """
    places = _with_next({0}, parts)
    for name in names:
        here = {place for place in places if place < len(parts)}
        stay = {place for place in here if parts[place] == "**"}
        places = _with_next(stay | {place + 1 for place in here - stay if fnmatchcase(name, parts[place])}, parts)
    return len(parts) in places


def _with_next(places: set[int], parts: Sequence[str]) -> set[int]:
    """*places*, and those behind a `**` that stands for no folder."""
    for place in range(min(places, default=len(parts)), len(parts)):
        if place in places and parts[place] == "**":
            places.add(place + 1)
    return places

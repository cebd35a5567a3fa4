"""The configs that a data set's card (README.md) describes, and the files of the one that is meant.

As in `datasets`: a config has a folder (`data_dir`), patterns of files by split (`data_files`), or both; the patterns
then begin in the folder. Without patterns the names of the files tell their splits. What of a config would change the
rows and is not read here is refused by its name.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from preprocess.sources.card import front_matter, plain_yaml
from preprocess.sources.patterns import matching
from preprocess.sources.splits import ordered_splits
from shared.errors import SourceError

_CARD = "README.md"
_CARD_ALONE = ".huggingface.yaml"
UNREAD = ("filters", "columns", "drop_metadata", "metadata_filenames")
"""What a config can say that changes the rows, and is not supported."""


@dataclass(frozen=True, slots=True)
class Config:
    """A config: *folder* is its `data_dir` ('' for the data set's own), *patterns* are by split; None: names decide."""

    name: str
    folder: str
    patterns: Mapping[str, list[str]] | None


def chosen_config(root: Path, name: str | None) -> Config | None:
    """The config *name* of the data set in *root*, or its default; None where its card describes none.

    Raises:
        SourceError: there is none of that name, or no one default; or it is not described as `datasets` would read it.
    """
    where, configs, default = _described(root)
    if not configs:
        if name is not None:
            raise SourceError(f"{root} has no README.md that describes configs", "leave --config-name out")
        return None
    chosen = _chosen_name(where, configs, default) if name is None else name
    if chosen not in configs:
        raise SourceError(f"{where} has no config {chosen!r}; it has: {', '.join(configs)}", "name one of them")
    return _config(root, where, chosen, configs[chosen])


def config_files(
    root: Path, config: Config, wanted: Callable[[str], bool], what: str, *, links: bool = True
) -> dict[str, list[str]]:
    """The files, relative to *root*, of a config with patterns, by split: those that are *wanted*, which are *what*.

    Raises:
        SourceError: a split has none.
    """
    found: dict[str, list[str]] = {}
    folder = root / config.folder
    for split, patterns in (config.patterns or {}).items():
        names = [name for pattern in dict.fromkeys(patterns) for name in matching(folder, pattern, wanted, links=links)]
        if not names:
            raise SourceError(
                f"{root / _CARD} names {', '.join(patterns)} for split {split!r}: no {what} matches",
                "download the missing files, or take the split out of the README.md",
            )
        found[split] = [str(PurePosixPath(config.folder, name)) for name in dict.fromkeys(names)]
    return {split: found[split] for split in ordered_splits(list(found))}


def _described(root: Path) -> tuple[Path, dict[str, Mapping[str, Any]], str | None]:
    """The file that describes the configs, what it says of each, and the one that it takes for the default."""
    content: dict[str, Any] = {}
    where = root / _CARD
    if where.is_file():
        content |= front_matter(where)
    if (root / _CARD_ALONE).is_file():
        content |= plain_yaml(root / _CARD_ALONE)
        where = root / _CARD_ALONE if "configs" in content else where
    configs = content.get("configs") or []
    if not isinstance(configs, list) or not all(isinstance(config, dict) for config in configs):
        raise SourceError(
            f"{where} has `configs` that are not a list of configs", "repair it, or name files with a glob"
        )
    info = content.get("dataset_info")
    infos = info if isinstance(info, list) else [info]
    told = infos[0].get("config_name", "default") if len(infos) == 1 and isinstance(infos[0], dict) else None
    return where, {str(config.get("config_name", "default")): config for config in configs}, told


def _chosen_name(where: Path, configs: Mapping[str, Mapping[str, Any]], told: str | None) -> str:
    default = [
        name for name, config in configs.items() if len(configs) == 1 or name == "default" or config.get("default")
    ]
    if not default and told in configs:
        return str(told)
    if len(default) != 1:
        raise SourceError(
            f"{where} has several configs ({', '.join(configs)}) and no default",
            f"choose one: --config-name {next(iter(configs))}",
        )
    return default[0]


def _config(root: Path, where: Path, name: str, config: Mapping[str, Any]) -> Config:
    if unread := [key for key in UNREAD if config.get(key)]:
        raise SourceError(
            f"{where}: config {name!r} has {', '.join(unread)}, which would change its rows and is not supported",
            "write the rows that you want to a data set of their own, or name its files with a glob",
        )
    folder = _folder(root, where, config.get("data_dir"))
    files = config.get("data_files")
    if files is None:
        return Config(name, folder, None)
    patterns: dict[str, list[str]] = {}
    for split, group in _patterns(files):
        if split in patterns:
            raise SourceError(f"{where}: config {name!r} names split {split!r} twice", "give it one list of paths")
        patterns[split] = group
    if not patterns:
        raise SourceError(f"{where}: config {name!r} has `data_files` without any", "name them, or leave the key out")
    return Config(name, folder, patterns)


def _folder(root: Path, where: Path, data_dir: Any) -> str:
    """The folder that *data_dir* names, relative to *root*."""
    if not data_dir:
        return ""
    folder = PurePosixPath(str(data_dir))
    if folder.is_absolute() or ".." in folder.parts:
        raise SourceError(f"{where} names the folder {data_dir!r}, outside the data set", "name one inside it")
    # A name that is too long for a folder's raises with Path.
    if not os.path.isdir(root / folder):  # noqa: PTH112 - as above
        raise SourceError(f"{where} names the folder {data_dir!r}, which is not there", "download it, or correct it")
    return "" if folder == PurePosixPath() else str(folder)


def _patterns(data_files: Any) -> Iterator[tuple[str, list[str]]]:
    if isinstance(data_files, dict):
        items = list(data_files.items())
    elif isinstance(data_files, list) and all(isinstance(item, dict) for item in data_files):
        items = [(item.get("split", "train"), item.get("path", [])) for item in data_files]
    else:
        items = [("train", data_files)]
    for split, patterns in items:
        yield str(split), [str(pattern) for pattern in (patterns if isinstance(patterns, list) else [patterns])]

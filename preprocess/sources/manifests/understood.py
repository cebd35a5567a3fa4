"""What a reader hands on: the entries of each split, and in one line each how the data was understood."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from preprocess.sources.manifests.entries import Entry
from preprocess.sources.splits import infer_splits, ordered_splits, split_of_folder
from preprocess.sources.splits import split_of_name as split_in_name
from shared.errors import SourceError
from shared.units import format_counted

_NUMBERED = re.compile(r"\d+")
_TRAIN = "train"


@dataclass(frozen=True, slots=True)
class Understood:
    """*entries* by split, files relative to *root* (or absolute); *notes* for the user, a sentence each; *columns* are
    the data's own names, those that are used with what they are used as ('' for the others).
    """

    root: str
    entries: Mapping[str, Sequence[Entry]]
    notes: tuple[str, ...] = ()
    columns: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """One file: its *entries* by split ('' where the file itself does not tell), *note* and *columns* as above."""

    entries: Mapping[str, list[Entry]]
    note: str
    columns: Mapping[str, str]


def split_column(where: object, found: Mapping[str, list[Entry]]) -> dict[str, list[Entry]]:
    """*found*, by what a column for splits says, under the usual names. Raises SourceError for a value that is none."""
    if set(found) <= {""}:
        return dict(found)
    splits: dict[str, list[Entry]] = {}
    for name, entries in found.items():
        if not name and all(entry.problem for entry in entries):
            # Rows that cannot be read, before any that can.
            splits.setdefault("train", []).extend(entries)
            continue
        split = split_of_folder(f"{name.lower()}/x")
        if split is None:
            remedy = "write train, validation or test there; or --split-column none takes all rows as one split"
            raise SourceError(
                f"{where}: its column for splits says {name!r} in {format_counted(len(entries), 'row')}", remedy
            )
        splits.setdefault(split, []).extend(entries)
    return {split: splits[split] for split in ordered_splits(list(splits))}


def told_by_folders(name: str, read: Read) -> Read:
    """*read* of the file *name* by the splits that the folders of its clips tell, where nothing else tells one.

    As in an audio folder, whatever the table is called or encoded in. Where only some of the clips' folders tell a
    split, the rows stay together, and the note says so.
    """
    if set(read.entries) != {""} or split_of_name(name) != _TRAIN or split_in_name(name) is not None:
        return read
    entries = read.entries[""]
    folders = [entry.file.rpartition("/")[0] for entry in entries]
    tells = {folder: _told_by(folder) for entry, folder in zip(entries, folders, strict=True) if not entry.problem}
    told = ordered_splits([split for split in dict.fromkeys(tells.values()) if split is not None])
    if not told:
        return read
    if None in tells.values():
        note = f"{read.note}; some clips lie in folders of {', '.join(told)} and others in none: all are one split"
        return replace(read, note=note)
    splits: dict[str, list[Entry]] = {split: [] for split in told}
    split = told[0]
    for entry, folder in zip(entries, folders, strict=True):
        # Of a row that cannot be read the file is not to be believed either; it stays with its neighbours.
        split = split if entry.problem else tells[folder] or split
        splits[split].append(entry)
    return replace(read, entries=splits, note=f"{read.note}; the clips' folders tell the splits {', '.join(told)}")


def _told_by(folder: str) -> str | None:
    """The split that *folder* tells, None where it tells none, or two, or is not below the table's own."""
    if folder.startswith("/") or ".." in folder.split("/"):
        return None
    try:
        return split_of_folder(f"{folder}/x")
    except SourceError:
        return None


def split_of_name(name: str) -> str:
    """The split that a file or folder called *name* tells, `train` where it tells none."""
    return next(iter(infer_splits([name])))


def by_split(found: Sequence[tuple[str, Sequence[Entry]]], named: str) -> dict[str, list[Entry]]:
    """Entries by split in the usual order, of (split, entries) that no two files or folders may share.

    Raises SourceError where they do: *named* says which are meant.
    """
    names = [split for split, _ in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        message = f"several of {named} are split {twice[0]!r} by their names, and may hold the same rows"
        raise SourceError(message, "name one of them with --source, or write the rows that you want into one")
    entries = dict(found)
    return {split: list(entries[split]) for split in ordered_splits(names)}


def of_files(root: Path, read: Mapping[Path, Read], notes: Sequence[str]) -> Understood:
    """What the files of one folder come to together: each is the split that it tells, or that its name does.

    Files whose names differ in their numbers alone are parts of one. Raises SourceError where two others are the same
    split.
    """
    splits: dict[str, dict[str, list[Entry]]] = {}
    known = infer_splits([file.name for file in read])
    of_name = {name: split for split, names in known.items() for name in names}
    told = list(notes)
    for file, found in read.items():
        if file.name not in of_name:
            told.append(f"{file.name} is not used: its name tells no split, but other files' names do")
            continue
        told.append(found.note)
        for split, entries in found.entries.items():
            splits.setdefault(split or of_name[file.name], {})[file.name] = list(entries)
    for split, files in splits.items():
        if len({_NUMBERED.sub("0", name) for name in files}) > 1:
            message = (
                f"{' and '.join(sorted(files)[:3])} in {root} are both split {split!r}, and may hold the same rows"
            )
            raise SourceError(message, "name one of them with --source, or write what you want into one file")
    together = {split: [entry for name in sorted(splits[split]) for entry in splits[split][name]] for split in splits}
    columns = {name: role for found in read.values() for name, role in found.columns.items()}
    ordered = {split: together[split] for split in ordered_splits(list(together))}
    return Understood(str(root), ordered, tuple(told), columns)

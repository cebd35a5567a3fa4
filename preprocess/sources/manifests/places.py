"""Where the files lie that a person's table names: as named, in a folder beside it, or without the ending they have."""

import os
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import product

from preprocess.sources.base import Access
from preprocess.sources.confine import NOTHING_ELSE, resolve_inside, spread
from preprocess.sources.manifests.entries import Entry
from shared.errors import RowRejectedError
from shared.units import format_counted

AUDIO_SUFFIXES = (
    *(".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac", ".webm", ".mp4", ".wma", ".aiff", ".aif", ".oga"),
    *(".amr", ".wv", ".ape", ".mka", ".3gp", ".au", ".caf", ".spx", ".ac3", ".tta", ".mpc"),
)
_FOLDERS = ("wavs", "wav", "clips", "audio", "audios", "flac", "mp3")
_SAMPLED = 40
_LIKELY_SUFFIXES = 8
_MOST_LISTED = 200_000
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Place:
    """How a name becomes a file's: *folder* before it, *suffix* after it, backslashes turned."""

    folder: str = ""
    suffix: str = ""
    turned: bool = False

    def of(self, name: str) -> str:
        """The file's name relative to the root; an empty or absolute one keeps its beginning."""
        name = name.strip()
        name = name.replace("\\", "/") if self.turned else name
        if not name:
            return name
        return f"{name if name.startswith('/') else self.folder + name}{self.suffix}"

    @property
    def words(self) -> str:
        """'' where names are files as they stand."""
        return f"files are {self.folder}NAME{self.suffix}" if self != Place() else ""


def is_file_inside(real_root: str, name: str, access: Access = NOTHING_ELSE) -> bool:
    """Whether the file *name* lies under *real_root*, or where *access* allows it."""
    try:
        return os.path.isfile(resolve_inside(real_root, name, access))  # noqa: PTH113 - a string from realpath
    except (RowRejectedError, OSError, ValueError):
        return False


def place_of(names: Sequence[str], root: str, access: Access, folders: Sequence[str] = ()) -> Place:
    """The place in which the most of a sample of *names* are files; as they stand where none are.

    It is under *root*, or where *access* allows it; *folders* are further ones to look in, with a slash at the end.
    """
    real_root = os.path.realpath(root)
    sample = [names[index] for index in spread(len(names), _SAMPLED) if names[index].strip()]
    tops = [root] if access.audio_root is None else [root, access.audio_root]
    usual = [f"{name}/" for name in _FOLDERS if any(os.path.isdir(os.path.join(top, name)) for top in tops)]  # noqa: PTH112, PTH118
    looked_in = ["", *folders, *usual]
    turns = (False, True) if any("\\" in name for name in sample) else (False,)
    best, most = Place(), 0
    for turned, suffix, folder in product(turns, ("", *AUDIO_SUFFIXES[:_LIKELY_SUFFIXES]), looked_in):
        place = Place(folder, suffix, turned)
        found = sum(is_file_inside(real_root, place.of(name), access) for name in sample)
        if found > most:
            best, most = place, found
        if most == len(sample):
            break
    return best


def placed(entries: Sequence[Entry], root: str, access: Access, folders: Sequence[str] = ()) -> tuple[list[Entry], str]:
    """*entries* with their files' own names, and in words how those were found ('' where they are as named)."""
    place = place_of([entry.file for entry in entries if not entry.problem], root, access, folders)
    if place == Place():
        return [replace(entry, file=entry.file.strip()) for entry in entries], ""
    return [replace(entry, file=place.of(entry.file)) for entry in entries], place.words


def unnamed_audio(root: str, named: Collection[str]) -> list[str]:
    """A note where audio files under *root* are named by no row; [] where all are, or there are too many to look at."""
    known = {unicodedata.normalize("NFC", os.path.relpath(os.path.join(root, name), root)) for name in named}  # noqa: PTH118
    found: list[str] = []
    count = 0
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        count += len(names)
        if count > _MOST_LISTED:
            return []
        paths = (os.path.relpath(os.path.join(folder, name), root) for name in sorted(names))  # noqa: PTH118
        found += [path for path in paths if path.lower().endswith(AUDIO_SUFFIXES)
                  and unicodedata.normalize("NFC", path) not in known]  # fmt: skip
    more = ", …" if len(found) > _NAMED else ""
    return (
        [f"no row names {format_counted(len(found), 'audio file')}: {', '.join(found[:_NAMED])}{more}"] if found else []
    )

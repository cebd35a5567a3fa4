"""The files of a data set's folder: all that `datasets` would see, or those that a pattern of its card names."""

import glob
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from preprocess.sources.card import MAX_PATTERN
from shared.errors import SourceError


def walk(root: Path, *, links: bool = False) -> Iterator[str]:
    """The names, relative to *root*, of the files below it; behind linked folders with *links*, into none twice.

    As in `datasets`, what is hidden or in a folder named __like_this__ is no data.

    Raises:
        SourceError: a folder cannot be listed.
    """
    seen: set[tuple[int, int]] = set()
    top = str(root)
    for folder, folders, files in os.walk(top, onerror=_refuse, followlinks=links):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
        if links:
            folders[:] = [name for name in folders if _is_new(Path(folder, name), seen)]
        # Strings: there may be a million files, and a Path for each would take seconds.
        inside = folder[len(top) :].strip("/")
        yield from (f"{inside}/{name}" if inside else name for name in files if not name.startswith("."))


def linked_folders(root: Path) -> list[str]:
    """The names, relative to *root*, of its entries that are links to folders, which `walk` does not enter unasked."""
    try:
        return sorted(entry.name for entry in os.scandir(root) if entry.is_symlink() and entry.is_dir())
    except OSError as error:
        raise _unlisted(error) from error


def matching(root: Path, pattern: str, wanted: Callable[[str], bool], *, links: bool = True) -> list[str]:
    """The names of the files below *root* that *pattern* of the data set's card names, as far as they are *wanted*.

    Raises:
        SourceError: the pattern leads out of the data set, or is longer than any needs to be.
    """
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
        found = (PurePosixPath(top, name) for top in tops for name in walk(root / top, links=links) if wanted(name))
        names = [str(name) for name in found if _fits(name.parts, parts)]
    else:
        plain = (PurePosixPath(name).as_posix() for name in glob.glob(pattern, root_dir=root))  # noqa: PTH207 - relative names
        names = [name for name in plain if wanted(name)]
    return sorted(name for name in names if _special(name) == _special(pattern) and (root / name).is_file())


def _special(path: str) -> int:
    """How many of the folders in *path* are named __like_this__; as in `datasets`, a pattern has to name them so."""
    return sum(part.startswith("__") for part in PurePosixPath(path).parent.parts)


def _is_new(folder: Path, seen: set[tuple[int, int]]) -> bool:
    """Whether *folder* is none of those *seen*, to which it is added."""
    found = folder.stat()
    known = (found.st_dev, found.st_ino) in seen
    seen.add((found.st_dev, found.st_ino))
    return not known


def _refuse(error: OSError) -> None:
    # os.walk would pass over a folder that it may not list, and the data set would be smaller in silence.
    raise _unlisted(error) from error


def _unlisted(error: OSError) -> SourceError:
    return SourceError(f"{error.filename} cannot be listed: {error.strerror}", "make it readable")


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

"""Remove what nobody owns any more, and nothing else.

Everything is done through descriptors of directories opened once without following links, so that a path swapped for a
link in between leads nowhere. What may go is decided by pure functions over names; what is not recognised stays, and so
does what lies on another device. A file that somebody holds locked is alive whatever its name says: host name and
process number may be those of another container. (`shutil.rmtree` is not used: where an entry is swapped under its hand
it raises errors of all kinds, stops half-way, or waits for ever at a named pipe.)
"""

import errno
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from shared.system.locks import is_held
from shared.system.owner_mark import OwnerMark, is_provably_dead
from shared.units import format_bytes

OWNED_NAME = re.compile(r".+?\.parquet\.(?P<owner>.+)")
"""A partial file's name ends in the mark of the process that writes it (`FeatureWorker`)."""

ALIVE = "a live process is writing it"


@dataclass(frozen=True, slots=True)
class Removal:
    """One thing that was, or with a dry run would be, removed.

    *num_bytes* is what that gives back: nothing for a file that has another name as well. *kind* is file, folder, link
    or other. *error* says why it, or something in it, is still there.
    """

    path: Path
    num_bytes: int
    kind: str
    error: str = ""

    @property
    def in_words(self) -> str:
        """One line for a log."""
        if self.error:
            return f"could not remove {self.kind} {self.path.name}: {self.error}; {self.remedy}"
        return f"removed {self.kind} {self.path.name} that a dead process left: {format_bytes(self.num_bytes)}"

    @property
    def remedy(self) -> str:
        """What helps where *error* says that it is still there."""
        return "wait for that process or stop it" if ALIVE in self.error else f"remove {self.path} as its owner or root"


def owner_of(name: str) -> OwnerMark | None:
    """The owner that a partial file's name states; None for a name that states none."""
    match = OWNED_NAME.fullmatch(name)
    return OwnerMark.parse(match["owner"]) if match else None


@contextmanager
def opened_folder(path: Path, parent: int | None = None) -> Iterator[int]:
    """A descriptor of the directory *path*; raises NotADirectoryError where it is a link or no directory."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise NotADirectoryError(error.errno, "a link, not followed", str(path)) from error
        raise
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def remove_dead_partials(
    partial: Path, is_dead: Callable[[OwnerMark], bool] = is_provably_dead, *, dry_run: bool = False
) -> list[Removal]:
    """Removes partial files whose writer *is_dead*. For the holder of the store's lock, or as a *dry_run*."""

    def wanted(name: str, mode: int) -> bool:
        owner = owner_of(name)
        return stat.S_ISREG(mode) and owner is not None and is_dead(owner)

    return _remove(partial, wanted, dry_run=dry_run)


def remove_all_partials(partial: Path, *, dry_run: bool = False) -> list[Removal]:
    """Removes everything unfinished. Only for the holder of the store's lock, after its processes were ended."""
    return _remove(partial, lambda _name, _mode: True, dry_run=dry_run)


def _remove(folder: Path, wanted: Callable[[str, int], bool], *, dry_run: bool) -> list[Removal]:
    try:
        with opened_folder(folder) as descriptor:
            return _remove_entries(folder, descriptor, wanted, dry_run=dry_run)
    except (FileNotFoundError, NotADirectoryError):
        # Nothing is there, or a link in its place: what that leads to is not ours.
        return []
    except OSError as error:
        # Another user's.
        return [Removal(folder, 0, "folder", error.strerror or str(error))]


def _remove_entries(
    folder: Path, descriptor: int, wanted: Callable[[str, int], bool], *, dry_run: bool
) -> list[Removal]:
    """Removes the wanted entries of the open *folder*, whatever becomes of single ones."""
    device = os.fstat(descriptor).st_dev
    removals = []
    for name in sorted(os.listdir(descriptor)):
        with suppress(FileNotFoundError):  # Somebody else was faster.
            status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            if wanted(name, status.st_mode):
                foreign = status.st_dev != device
                removals.append(_remove_entry(folder / name, descriptor, status, dry_run=dry_run, foreign=foreign))
    return removals


def _remove_entry(path: Path, parent: int, status: os.stat_result, *, dry_run: bool, foreign: bool) -> Removal:
    """Removes *path* from the open folder *parent* unless it is *foreign*; raises FileNotFoundError once it is gone."""
    kind, size, error = _kind(status.st_mode), 0, ""
    try:
        if foreign:
            error = "it lies on another device"
        elif kind == "file" and is_held(Path(path.name), parent):
            error = ALIVE
        elif kind == "folder":
            with opened_folder(Path(path.name), parent) as descriptor:
                below = _remove_entries(path, descriptor, lambda _name, _mode: True, dry_run=dry_run)
            size = sum(removal.num_bytes for removal in below)
            error = next((f"{removal.path.name}: {removal.error}" for removal in below if removal.error), "")
        if not dry_run and not error:
            (os.rmdir if kind == "folder" else os.unlink)(path.name, dir_fd=parent)
    except FileNotFoundError:
        raise
    except OSError as failure:
        error = failure.strerror or str(failure)
    own = status.st_blocks * 512 if kind == "folder" or status.st_nlink == 1 else 0
    return Removal(path, size if error else size + own, kind, error)


def _kind(mode: int) -> str:
    for is_kind, kind in ((stat.S_ISREG, "file"), (stat.S_ISDIR, "folder"), (stat.S_ISLNK, "link")):
        if is_kind(mode):
            return kind
    return "other"

"""Remove what nobody owns any more, and nothing else.

Everything is done through descriptors of directories opened once without following links, so that a path swapped for a
link in between leads nowhere. What may go is decided by pure functions over names; what is not recognised stays.
"""

import errno
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

OWNED_NAME = re.compile(r".+\.parquet\.(?P<host>.+)-(?P<driver>\d+)-(?P<pid>\d+)")
"""A partial file's name ends in the host, the run and the process that write it (`FeatureWorker`)."""


@dataclass(frozen=True, slots=True)
class Removal:
    """One thing that was, or with a dry run would be, removed; *num_bytes* is what it had allocated."""

    path: Path
    num_bytes: int
    kind: str


@dataclass(frozen=True, slots=True)
class Owner:
    """Who writes a partial file."""

    host: str
    driver: int
    pid: int


def owner_of(name: str) -> Owner | None:
    """The owner that a partial file's name states; None for a name that states none."""
    match = OWNED_NAME.fullmatch(name)
    return Owner(match["host"], int(match["driver"]), int(match["pid"])) if match else None


def is_provably_dead(owner: Owner | None, host: str, is_alive: Callable[[int], bool]) -> bool:
    """True only when *owner* ran on this *host* and its process is gone: all else may still be writing."""
    return owner is not None and owner.host == host and not is_alive(owner.pid)


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
    partial: Path, host: str, is_alive: Callable[[int], bool], *, dry_run: bool = False
) -> list[Removal]:
    """Removes partial files whose writer is provably dead; safe while a run works on the store."""
    return _remove(partial, lambda name: is_provably_dead(owner_of(name), host, is_alive), dry_run=dry_run)


def remove_all_partials(partial: Path, *, dry_run: bool = False) -> list[Removal]:
    """Removes everything unfinished. Only for the holder of the store's lock, after its processes were ended."""
    return _remove(partial, lambda _name: True, dry_run=dry_run)


def _remove(folder: Path, wanted: Callable[[str], bool], *, dry_run: bool) -> list[Removal]:
    try:
        with opened_folder(folder) as descriptor:
            names = sorted(filter(wanted, _names(descriptor)))
            found = [_remove_entry(folder, descriptor, name, dry_run=dry_run) for name in names]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [removal for removal in found if removal is not None]


def _remove_entry(folder: Path, descriptor: int, name: str, *, dry_run: bool) -> Removal | None:
    """Removes one entry, whatever it is by now; None when it is gone already."""
    try:
        status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            size = _tree_bytes(Path(name), descriptor)
            if not dry_run:
                # rmtree with a descriptor is the one that no swapped link can lead astray.
                shutil.rmtree(name, dir_fd=descriptor)
            return Removal(folder / name, size, "folder")
        if not dry_run:
            os.unlink(name, dir_fd=descriptor)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        # Somebody else removed or replaced it between our look and our hand: it is not what we judged.
        return None
    return Removal(folder / name, status.st_blocks * 512, "link" if stat.S_ISLNK(status.st_mode) else "file")


def _names(descriptor: int) -> list[str]:
    return os.listdir(descriptor)


def _tree_bytes(name: Path, parent: int) -> int:
    """Allocated bytes below a directory, links not followed."""
    total = 0
    with opened_folder(name, parent) as descriptor:
        for entry in _names(descriptor):
            status = os.stat(entry, dir_fd=descriptor, follow_symlinks=False)
            total += status.st_blocks * 512
            if stat.S_ISDIR(status.st_mode):
                total += _tree_bytes(Path(entry), descriptor)
    return total

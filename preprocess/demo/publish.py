"""A directory that appears complete or not at all, and is not made twice."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.errors import UsageError
from shared.system.durable import fsync_directory, fsync_tree
from shared.system.locks import take

_MARKER = "demo_fingerprint: "


def marker(fingerprint: str) -> str:
    """The line that a demo directory's `README.md` carries, so that the same directory is not made again."""
    return f"{_MARKER}{fingerprint}"


def published_fingerprint(directory: Path) -> str | None:
    """The fingerprint in *directory*'s `README.md`; None where there is no directory, no README or no such line."""
    readme = directory / "README.md"
    if not readme.is_file():
        return None
    lines = readme.read_text(encoding="utf-8").splitlines()
    return next((line.removeprefix(_MARKER) for line in lines if line.startswith(_MARKER)), None)


def publish(directory: Path, fingerprint: str, build: Callable[[Path], None]) -> bool:
    """Let *build* fill a directory aside, then rename it to *directory*; True where that was needed.

    *build* writes a `README.md` with the `marker` line. A directory with the same fingerprint is left alone, an older
    demo is replaced, and what a killed build left behind is removed. Of two builders at once, one waits for the other.
    Raises `UsageError` where *directory* holds anything but a demo.
    """
    if published_fingerprint(directory) == fingerprint:
        return False
    _check_replaceable(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    with _locked_aside(directory) as aside:
        if published_fingerprint(directory) == fingerprint:
            return False
        build(aside)
        fsync_tree(aside)
        _swap(aside, directory)
    return True


def _check_replaceable(directory: Path) -> None:
    if directory.is_dir() and (published_fingerprint(directory) or not any(directory.iterdir())):
        return
    if directory.exists() or directory.is_symlink():
        raise UsageError(
            f"{directory} exists and is not a demo of ours.", "Name another directory, or remove this one."
        )


@contextmanager
def _locked_aside(directory: Path) -> Iterator[Path]:
    """An empty directory beside *directory*, held by a lock that dies with us; removed at the end if still there."""
    aside = directory.with_name(f".{directory.name}.partial")
    descriptor = _lock_directory(aside)
    try:
        _empty(aside)
        yield aside
    finally:
        # Removed before the lock is let go: the one who waits makes its own.
        if aside.exists() and os.path.samestat(os.fstat(descriptor), aside.stat()):
            shutil.rmtree(aside)
        os.close(descriptor)


def _lock_directory(path: Path) -> int:
    """A descriptor that holds the lock on the directory that *path* names now, not on one renamed meanwhile."""
    while True:
        path.mkdir(exist_ok=True)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        take(descriptor, path, wait=True)
        if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
        os.close(descriptor)


def _empty(directory: Path) -> None:
    for entry in directory.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _swap(aside: Path, directory: Path) -> None:
    old = directory.with_name(f".{directory.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if directory.exists():
        directory.rename(old)
    aside.rename(directory)
    fsync_directory(directory.parent)
    shutil.rmtree(old, ignore_errors=True)

"""Files that appear whole under their final name, and stay through a power cut, or never appear.

Order of a commit: write aside, flush, fsync, close, link to the final name, remove the old name, fsync the directory.
"""

import errno
import fcntl
import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

NO_HARD_LINKS = {errno.EPERM, errno.EACCES, errno.EXDEV, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}
"""What `link` answers on file systems without hard links (exFAT, some network mounts, folders joined from several)."""
NO_FOLDER_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS}
"""What `fsync` answers for a folder on file systems that know none (some of FUSE, SMB): their names are as safe as they
make them, and nobody can do more."""


class DurableFile:
    """A new file at *partial* that is either published under its final name or leaves nothing behind.

    Used as a context manager: leaving the block without `publish` removes the partial file. Raises FileExistsError when
    *partial* exists, and OSError from any step; after an error nothing new is visible, except where the error came from
    the directory's own fsync: then the final name may exist and the next attempt settles it.

    The partial file is locked (flock) as long as it has that name, so that a cleanup sees that somebody is at it.
    """

    def __init__(self, partial: Path) -> None:
        self.partial = partial
        self._fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        self._lock = _lock(self._fd, partial)
        self.file = io.BufferedWriter(_NamedFile(self._fd, partial), buffer_size=1 << 20)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            # Buffered bytes of an abandoned file have nowhere to go; the error that abandoned it is on its way up.
            with suppress(OSError):
                self.file.close()
        finally:
            try:
                with suppress(FileNotFoundError):
                    self.partial.unlink()
            finally:
                os.close(self._lock)

    def seal(self) -> None:
        """Flushes to the device and closes: the bytes now survive a power cut, the name does not yet."""
        self.file.flush()
        with _naming(self.partial):
            os.fsync(self._fd)
        self.file.close()

    def publish(self, final: Path, *, replace: bool = False) -> bool:
        """Gives the sealed file its *final* name, durably. False, with nothing changed, when that name exists.

        With *replace* an existing file gives way atomically.
        """
        return replace_name(self.partial, final) if replace else create_name(self.partial, final)


def create_name(partial: Path, final: Path) -> bool:
    """Gives the sealed *partial* its *final* name, durably. False, with nothing changed, when that name exists."""
    won = _link_new(partial, final)
    # Also for the loser: whoever sees the name as committed must know that it is durable.
    fsync_directory(final.parent)
    return won


def replace_name(partial: Path, final: Path) -> bool:
    """Gives the sealed *partial* its *final* name, durably; an existing file gives way atomically. True."""
    partial.replace(final)
    fsync_directory(final.parent)
    return True


def _lock(fd: int, partial: Path) -> int:
    """Locks the new file; returns a descriptor that keeps the lock while the sealed file waits for its name."""
    try:
        lock = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 0)
    except OSError:
        os.close(fd)
        partial.unlink()
        raise
    # Nobody else knows the file yet; where the file system has no locks, its owner's mark alone speaks for it.
    with suppress(OSError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return lock


class _NamedFile(io.FileIO):
    """A file to write whose errors say which one it is."""

    def __init__(self, fd: int, path: Path) -> None:
        super().__init__(fd, "wb")
        self._path = path

    def write(self, data: Any) -> int:
        """As `FileIO.write`."""
        with _naming(self._path):
            return super().write(data)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Puts *path* into an error that names no file: to the kernel a descriptor has no name."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


def _link_new(partial: Path, final: Path) -> bool:
    """A rename that does not replace. False when *final* exists."""
    try:
        os.link(partial, final)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in NO_HARD_LINKS:
            raise
        if final.exists():
            return False
        # Both writers of one unit write the same bytes, so a race lost here replaces a shard by its equal.
        partial.rename(final)
    return True


def fsync_directory(directory: Path) -> None:
    """Makes the names in *directory* survive a power cut, as far as its file system can."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with _naming(directory):
            os.fsync(fd)
    except OSError as error:
        if error.errno not in NO_FOLDER_SYNC:
            raise
    finally:
        os.close(fd)


def fsync_tree(directory: Path) -> None:
    """Makes all files below *directory*, and their names, survive a power cut."""
    for path in directory.iterdir():
        if path.is_dir():
            fsync_tree(path)
        else:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                with _naming(path):
                    os.fsync(fd)
            finally:
                os.close(fd)
    fsync_directory(directory)


def write_durably(final: Path, content: bytes, partial: Path) -> None:
    """Replaces *final* by *content*, atomically and durably, through *partial* on the same file system."""
    with DurableFile(partial) as durable:
        durable.file.write(content)
        durable.seal()
        durable.publish(final, replace=True)


def json_bytes(value: Any) -> bytes:
    """*value* as readable JSON with a final newline; the same bytes for the same value."""
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()

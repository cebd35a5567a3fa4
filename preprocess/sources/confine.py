"""Clip files are read from the data set's own folder and from nowhere else.

File names come from the data set, which anyone may have written: absolute names, `..` and symlinks that lead outside
are refused before anything is opened, and only regular files are read (a FIFO would block the actor for ever).
"""

import errno
import os
import stat
from collections.abc import Sequence

from preprocess.sources.base import SourceFile
from shared.errors import RowRejectedError, SpeechPrepError
from shared.schema import QuarantineReason

_MAX_CLIP_BYTES = 512 * 1024**2
"""A clip's file above this is not read: no 30 s clip comes near it, and an actor's memory does."""
SAMPLED_CLIPS = 200
"""Files looked at to estimate a split's audio bytes: `stat` of 970 k files takes minutes on a cold disk."""

_NO_SUCH_FILE = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.ENXIO}
)


def resolve_inside(real_root: str, name: str) -> str:
    """The real path of the file *name* (relative to *real_root*, or absolute), which lies under *real_root*.

    *real_root* is `os.path.realpath` of the folder. The file need not exist.

    Raises:
        RowRejectedError: `no_audio` for a name that can be no file's, `outside_source` where it leads outside.
    """
    if not name or "\0" in name:
        raise RowRejectedError(QuarantineReason.NO_AUDIO, f"no audio bytes and no file: path is {name!r}")
    real = os.path.realpath(os.path.join(real_root, name))  # noqa: PTH118 - Path() would cost more than the check
    if os.path.commonpath([real_root, real]) != real_root:
        raise RowRejectedError(QuarantineReason.OUTSIDE_SOURCE, f"{name!r} lies outside the data set ({real_root})")
    return real


def read_inside(real_root: str, name: str, max_bytes: int = _MAX_CLIP_BYTES) -> bytes:
    """The content of the file *name* under *real_root*.

    Raises:
        RowRejectedError: `no_audio` (no readable regular file there), `outside_source`, or `too_large` above
            *max_bytes*.
        SpeechPrepError: the disk failed, which says nothing about the row.
    """
    real = resolve_inside(real_root, name)
    try:
        # Without O_NONBLOCK the open itself waits for a FIFO's writer.
        descriptor = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            return _read_regular(file.fileno(), name, max_bytes)
    except OSError as error:
        if error.errno in _NO_SUCH_FILE:
            message = f"{name!r} cannot be read under {real_root}: {error.strerror}"
            raise RowRejectedError(QuarantineReason.NO_AUDIO, message) from error
        raise SpeechPrepError(f"reading {real} failed: {error}", "check the disk, then run it again") from error


def spread(count: int, most: int = SAMPLED_CLIPS) -> list[int]:
    """Up to *most* of the indices 0 to *count*, evenly spread; the same on every run."""
    taken = min(count, most)
    return [index * count // taken for index in range(taken)]


def sizes_inside(real_root: str, names: Sequence[str]) -> list[int]:
    """Bytes of each of the files *names*; -1 where there is none inside *real_root*."""
    return [_size_inside(real_root, name) for name in names]


def file_inside(real_root: str, name: str) -> SourceFile:
    """The file *name* as it is now; unknown where there is none inside *real_root*."""
    try:
        return SourceFile.at(resolve_inside(real_root, name), name)
    except (RowRejectedError, OSError):
        return SourceFile(name)


def mean_size(sizes: Sequence[int]) -> int:
    """Mean bytes of a sample's existing files; 0 where none exists."""
    found = [size for size in sizes if size >= 0]
    return sum(found) // len(found) if found else 0


def _read_regular(descriptor: int, name: str, max_bytes: int) -> bytes:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise RowRejectedError(QuarantineReason.NO_AUDIO, f"{name!r} is no regular file")
    if status.st_size > max_bytes:
        message = f"{name!r} has {status.st_size} bytes, more than {max_bytes}"
        raise RowRejectedError(QuarantineReason.TOO_LARGE, message)
    chunks: list[bytes] = []
    left = status.st_size
    while left and (chunk := os.read(descriptor, left)):
        chunks.append(chunk)
        left -= len(chunk)
    return b"".join(chunks)


def _size_inside(real_root: str, name: str) -> int:
    try:
        status = os.stat(resolve_inside(real_root, name))  # noqa: PTH116 - a string from realpath
    except (RowRejectedError, OSError):
        # Sampling only estimates; reading the row says what is wrong with it.
        return -1
    return status.st_size if stat.S_ISREG(status.st_mode) else -1

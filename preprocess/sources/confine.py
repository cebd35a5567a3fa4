"""Clip files are read from the data set's own folder and from nowhere else.

File names come from the data set, which anyone may have written: absolute names, `..` and symlinks that lead outside
are refused before anything is opened, and only regular files are read (a FIFO would block the actor for ever). Two
ways out are open: the Hub's cache, whose snapshots are links to the blobs beside them, and what the user's `Access`
allows by name.

A file is found under its name in either of Unicode's two spellings: `ü` is one character for most systems and two for
macOS, and copies between them leave the one in a table and the other on the disk.
"""

import errno
import os
import re
import stat
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from preprocess.sources.base import Access, SourceFile
from shared.errors import RowRejectedError, SourceError, SpeechPrepError
from shared.schema import QuarantineReason

_MAX_CLIP_BYTES = 512 * 1024**2
"""A clip's file above this is not read: no 30 s clip comes near it, and an actor's memory does."""
SAMPLED_CLIPS = 200
"""Files looked at to estimate a split's audio bytes: `stat` of 970 k files takes minutes on a cold disk."""

NOTHING_ELSE = Access()
"""The data set's folder and no more."""
_SNAPSHOT = re.compile(r"^(?P<repository>.*/(?:datasets|models|spaces)--[^/]+)/snapshots/[^/]+(?:/|$)")

_NO_SUCH_FILE = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.ENXIO}
)


def resolve_inside(real_root: str, name: str, access: Access = NOTHING_ELSE) -> str:
    """The real path of the file *name* (relative to *real_root*, or absolute), in a place that may be read.

    That is under *real_root* (`os.path.realpath` of the folder), or where *access* allows it. The file need not exist.

    Raises:
        RowRejectedError: `no_audio` for a name that can be no file's, `outside_source` where it leads outside; the
            message has the option that would allow it.
    """
    if not name or "\0" in name:
        raise RowRejectedError(QuarantineReason.NO_AUDIO, f"no audio bytes and no file: path is {name!r}")
    # `..` is taken back before links are followed, so that it never climbs out of what a link leads to.
    plain = os.path.normpath(name)
    real = os.path.realpath(_as_on_disk(os.path.join(real_root, plain)))  # noqa: PTH118 - Path() would cost too much
    if access.audio_root is not None and not os.path.lexists(real):
        real = os.path.realpath(_as_on_disk(os.path.join(access.audio_root, plain)))  # noqa: PTH118 - as above
    if os.path.commonpath([real_root, real]) != real_root and not _is_allowed(real_root, name, real, access):
        raise RowRejectedError(QuarantineReason.OUTSIDE_SOURCE, _why_outside(real_root, name, real, access))
    return real


def leads_outside(real_root: str, path: str, access: Access = NOTHING_ELSE) -> bool:
    """Whether *path*, an entry of the data set's own folders, is a link to a place that may not be read."""
    real = os.path.realpath(path)
    return os.path.commonpath([real_root, real]) != real_root and not _is_allowed(real_root, "", real, access)


def refuse_link_out(root: str, path: str, access: Access = NOTHING_ELSE) -> None:
    """Raises SourceError where *path*, a file that describes the data set in *root*, is a link that may not be read."""
    if leads_outside(os.path.realpath(root), path, access):
        raise SourceError(
            f"{path} is a link, or behind a link, to {os.path.realpath(path)}, outside the data set",
            "pass --follow-links to read what links lead to",
        )


def _is_allowed(real_root: str, name: str, real: str, access: Access) -> bool:
    """Whether *real*, which *name* leads to, may be read although it is not under *real_root*."""
    if access.audio_root is not None and os.path.commonpath([access.audio_root, real]) == access.audio_root:
        return True
    if _climbs(name):
        return False
    snapshot = _SNAPSHOT.match(real_root)
    own_blobs = f"{snapshot['repository']}/blobs" if snapshot else None
    return access.follow_links or os.path.dirname(real) == own_blobs  # noqa: PTH120 - as above


def _climbs(name: str) -> bool:
    return os.path.normpath(name).startswith(("/", "../")) or name == ".."


def _why_outside(real_root: str, name: str, real: str, access: Access) -> str:
    message = f"{name!r} lies outside the data set ({real_root})"
    if not _climbs(name):
        return f"{message}: it is a link, or behind a link, to {real}; --follow-links reads it"
    if access.audio_root is not None:
        return f"{message} and outside --audio-root ({access.audio_root})"
    return f"{message}; --audio-root DIR allows what lies under DIR"


def _as_on_disk(path: str) -> str:
    """*path*, each part as it is spelled on the disk; as it is where nothing there has that name in any spelling."""
    if path.isascii() or os.path.lexists(path):
        return path
    found = ""
    for part in path.split("/"):
        spellings = (part, *(unicodedata.normalize(form, part) for form in ("NFC", "NFD")))
        there = next((text for text in spellings if os.path.lexists(f"{found}{text}")), None)
        found += (there or _mixed_name(found, spellings[1]) or part) + "/"
    return found[:-1]


def _mixed_name(folder: str, composed: str) -> str | None:
    """The entry of *folder* that reads *composed* and is spelled partly in the one way, partly in the other."""
    try:
        return _mixed_names(folder, os.stat(folder).st_mtime_ns).get(composed)  # noqa: PTH116 - as above
    except OSError:
        return None


@lru_cache(maxsize=8)
def _mixed_names(folder: str, mtime_ns: int) -> dict[str, str]:  # noqa: ARG001 - a changed folder is listed again
    names = (name for name in os.listdir(folder) if not name.isascii())  # noqa: PTH208 - as above
    forms = ((name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD"))) for name in names)
    return {composed: name for name, composed, apart in forms if name not in {composed, apart}}


def read_inside(real_root: str, name: str, max_bytes: int = _MAX_CLIP_BYTES, access: Access = NOTHING_ELSE) -> bytes:
    """The content of the file *name* under *real_root*, or where *access* allows it.

    Raises:
        RowRejectedError: `no_audio` (no readable regular file there), `outside_source`, or `too_large` above
            *max_bytes*.
        SpeechPrepError: the disk failed, which says nothing about the row.
    """
    real = resolve_inside(real_root, name, access)
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


def sizes_inside(real_root: str, names: Sequence[str], access: Access = NOTHING_ELSE) -> list[int]:
    """Bytes of each of the files *names*; -1 where there is none that may be read."""
    return [_size_inside(real_root, name, access) for name in names]


def file_inside(real_root: str, name: str, access: Access = NOTHING_ELSE) -> SourceFile:
    """The file *name* as it is now; unknown where there is none that may be read."""
    try:
        return SourceFile.at(resolve_inside(real_root, name, access), name)
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


def _size_inside(real_root: str, name: str, access: Access) -> int:
    try:
        status = os.stat(resolve_inside(real_root, name, access))  # noqa: PTH116 - a string from realpath
    except (RowRejectedError, OSError):
        # Sampling only estimates; reading the row says what is wrong with it.
        return -1
    return status.st_size if stat.S_ISREG(status.st_mode) else -1

"""What an error met while reading says: of the bytes, or of the system that was to bring them.

Only missing, short or wrong bytes are damage, and only for damage may anybody be told to remove, restore or copy the
file.
"""

import errno
import os

from shared.errors import UnreadableError

_OF_THE_FILE = {None, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.ENAMETOOLONG}
"""Not there, something else in its place, or too short to be mapped; readers of formats give no number at all."""
_MEMORY = "free memory, or raise the limit"
_REMEDIES = {
    errno.EMFILE: "raise the limit of open files (`ulimit -n`)",
    errno.ENFILE: "close what holds so many files open on this machine",
    errno.EACCES: "give this user the right to read it",
    errno.EPERM: "give this user the right to read it",
    errno.EIO: "look at the disk and its cable (`dmesg` tells more), and copy what is still readable",
    errno.ENOMEM: _MEMORY,
    errno.ESTALE: "mount the network file system again",
    errno.ETIMEDOUT: "see that the network file system answers",
    errno.ENOTCONN: "mount the file system again",
    **dict.fromkeys((errno.ECONNREFUSED, errno.ECONNRESET, errno.ENETUNREACH, errno.EHOSTUNREACH), "check the network"),
}


def is_of_system(error: BaseException) -> bool:
    """Whether *error* says nothing about a file's bytes: no right, no descriptor, no memory, a disk that fails ..."""
    if isinstance(error, OSError):
        return error.errno not in _OF_THE_FILE
    # torch raises a RuntimeError.
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "allocate memory" in str(error))


def refuse_unreadable(path: os.PathLike[str] | str, error: BaseException) -> None:
    """Returns where *error*, met while *path* was read, may come of its bytes; else raises UnreadableError."""
    if not is_of_system(error):
        return
    number = error.errno if isinstance(error, OSError) else None
    words = os.strerror(number) if number is not None else "memory ran out"
    remedy = _REMEDIES.get(number, "put that right") if number is not None else _MEMORY
    message = f"{path} cannot be read: {words}; that says nothing about what is in it"
    raise UnreadableError(message, f"{remedy}, then repeat the command") from error

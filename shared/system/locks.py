"""One way to hold a folder: the kernel's lock (flock) on it, which ends with the process that holds it.

Who owns a single unfinished file is `shared/system/owner_mark.py`'s.
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from shared.errors import StoreBusyError, UsageError
from shared.system.durable import fsync_directory

LOCKS = Path("/proc/locks")
"""Where the kernel tells of all locks, ..."""
PROCESSES = Path("/proc")
"""... and of all processes."""
_FULL = {errno.ENOSPC, errno.EDQUOT}
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF}
"""What flock answers on file systems without locks; EBADF is NFS, whose locks are for files open for writing only."""


@contextmanager
def hold(folder: Path, option: str, lock: str = "") -> Iterator[None]:
    """Makes *folder* if need be and holds it for this process alone: itself, or the file *lock* in it.

    Raises StoreBusyError when another run holds it, UsageError where it cannot be made or its file system has no locks,
    both in words of *option*, which names the folder; OSError when the disk is full.
    """
    with ExitStack() as stack:
        try:
            if not folder.exists():
                folder.mkdir(parents=True, exist_ok=True)
                fsync_directory(folder.parent)
            descriptor = _open(folder, lock)
        except OSError as error:
            if error.errno in _FULL:
                raise
            raise UsageError(f"cannot use {folder}: {error.strerror}", f"name another {option}") from error
        stack.callback(os.close, descriptor)
        if not take(descriptor, folder):
            message = f"another run{_holder(descriptor)} works on {folder}"
            raise StoreBusyError(message, f"wait for it, stop it, or name another {option}")
        yield


@contextmanager
def hold_unread(folder: Path, option: str, processes: Path = PROCESSES) -> Iterator[None]:
    """As `hold`; raises StoreBusyError also when another process has files of *folder* mapped, as a training has."""
    with hold(folder, option):
        if found := readers(folder, processes):
            message = f"{folder} is being read by process {', '.join(map(str, found))}"
            raise StoreBusyError(message, "wait for it, or stop it")
        yield


def is_held(path: Path, parent: int | None = None) -> bool:
    """Whether a process holds *path*, a folder or file, at this moment; False where there is none.

    With *parent*, an open folder, it is the name of an entry there, which is not followed where it is a link.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if parent is None else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags, dir_fd=parent)
    except FileNotFoundError:
        return False
    try:
        return not take(descriptor, path, shared=True)
    finally:
        os.close(descriptor)


def remove_unheld(partial: Path) -> None:
    """Removes the unfinished file that a killed process left at *partial*, if there is one.

    Raises StoreBusyError where a live one is writing it.
    """
    if is_held(partial):
        raise StoreBusyError(f"another run is writing {partial}", "wait for it, or stop it, then repeat the command")
    partial.unlink(missing_ok=True)


def take(descriptor: int, path: Path, *, shared: bool = False, wait: bool = False) -> bool:
    """Locks the open *path* until *descriptor* is closed; False when another process has it and *wait* is not set.

    *shared* locks keep only others than shared ones out. Raises UsageError where the file system has no locks.
    """
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            error.filename = str(path)  # To the kernel a descriptor has no name.
            raise
        message = (
            f"the file system of {path} has no locks (flock: {error.strerror}): two runs would not notice each other"
        )
        raise UsageError(message, "name a folder on a local disk") from error
    return True


def readers(folder: Path, processes: Path = PROCESSES) -> list[int]:
    """The other processes that have files of *folder* mapped, as far as this user may see."""
    inside = f" {folder.resolve()}/".encode("utf-8", "surrogateescape").replace(b"\n", b"\\012")
    found = []
    for entry in processes.iterdir():
        # It may have ended meanwhile, or be somebody else's.
        with suppress(OSError):
            if entry.name.isdigit() and int(entry.name) != os.getpid() and inside in (entry / "maps").read_bytes():
                found.append(int(entry.name))
    return sorted(found)


def _open(folder: Path, lock: str) -> int:
    if lock:
        return os.open(folder / lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _holder(descriptor: int) -> str:
    """` (process 123)`: who has locked the open file; nothing where the kernel does not tell."""
    status = os.fstat(descriptor)
    file = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    # proc_locks(5): number, kind, mode, access, process, file, and the range.
    locks = (line.split() for line in LOCKS.read_text().splitlines()) if LOCKS.exists() else ()
    return next((f" (process {entry[4]})" for entry in locks if entry[1] == "FLOCK" and entry[5] == file), "")

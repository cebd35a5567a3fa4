"""Who is at work on a feature store: nobody may be when it is removed."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from shared.errors import StoreBusyError

_PROCESSES = Path("/proc")
_REMEDY = "wait for it, or stop it"


@contextmanager
def hold_store(store: Path, processes: Path = _PROCESSES) -> Iterator[None]:
    """Keeps preparations away from *store* meanwhile.

    Raises StoreBusyError when one is at work on it, or another process has its files mapped, as a training has.
    *processes* is where the kernel tells of them.
    """
    descriptor = os.open(store, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreBusyError(f"a preparation works on {store}", _REMEDY) from error
        if found := readers(store, processes):
            raise StoreBusyError(f"{store} is being read by process {', '.join(map(str, found))}", _REMEDY)
        yield
    finally:
        os.close(descriptor)


def readers(store: Path, processes: Path = _PROCESSES) -> list[int]:
    """The other processes that have files of *store* mapped, as far as this user may see."""
    inside = f" {store.resolve()}/".encode("utf-8", "surrogateescape").replace(b"\n", b"\\012")
    found = []
    for entry in processes.iterdir():
        # It may have ended meanwhile, or be somebody else's.
        with suppress(OSError):
            if entry.name.isdigit() and int(entry.name) != os.getpid() and inside in (entry / "maps").read_bytes():
                found.append(int(entry.name))
    return sorted(found)

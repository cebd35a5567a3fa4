"""Take a store for one run: lock it, clear what dead runs left, write its record. And give it back."""

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from preprocess.processes import end_processes, store_mark
from preprocess.ray_folder import ray_folder, remove_link
from shared.durable import fsync_directory, json_bytes, write_durably
from shared.errors import StoreBusyError, UsageError
from shared.layout import StoreLayout, StoreRecord


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Holds the store at *root* (made if need be) for this process; the kernel lets go when the process ends.

    Raises StoreBusyError when another run holds it, UsageError when the folder is something else or cannot be made,
    OSError when the disk is full.
    """
    try:
        if not root.exists():
            root.mkdir(parents=True, exist_ok=True)
            fsync_directory(root.parent)
        descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise
        raise UsageError(f"cannot use {root} as a store: {error.strerror}", "name another --store") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = _holder(os.fstat(descriptor).st_ino)
            raise StoreBusyError(f"another run{holder} works on {root}", "wait for it, or stop it") from error
        yield
    finally:
        os.close(descriptor)


def _holder(inode: int) -> str:
    """` (process 123)` from /proc/locks, or '' where the kernel does not say."""
    try:
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return ""
    holders = [
        line.split()[4] for line in lines if line.split()[1] == "FLOCK" and line.split()[5].endswith(f":{inode}")
    ]
    return f" (process {holders[0]})" if holders else ""


def prepare_store(layout: StoreLayout, record: StoreRecord, settings_json: str, card: str) -> int:
    """Makes folders and records, and removes what dead runs left; returns the bytes so regained.

    The caller holds the store's lock, so whatever is unfinished belongs to nobody. Raises UsageError for a folder that
    holds other things.
    """
    _check_is_store(layout)
    mark = store_mark(layout.root, record.uuid)
    end_processes(mark, ray_folder(layout))
    remove_link(mark)
    regained = clear_partial(layout)
    layout.partial.mkdir(exist_ok=True)
    # First of all: with its record a folder is a store, whatever kills this run next.
    write_durably(layout.record, json_bytes(record.as_dict()), layout.partial / "store.json")
    for folder in (layout.data, layout.quarantine):
        folder.mkdir(exist_ok=True)
    write_durably(layout.root / "settings.json", settings_json.encode(), layout.partial / "settings.json")
    write_durably(layout.root / "README.md", card.encode(), layout.partial / "README.md")
    for folder in (layout.data, layout.quarantine):
        # A run may have died between a shard's name and the name's durability.
        fsync_directory(folder)
    return regained


def clear_partial(layout: StoreLayout) -> int:
    """Removes everything unfinished; returns its apparent bytes. Follows no link."""
    regained = 0
    if not layout.partial.is_dir() or layout.partial.is_symlink():
        return 0
    for path in layout.partial.iterdir():
        if path.is_dir() and not path.is_symlink():
            regained += sum(entry.lstat().st_size for entry in path.rglob("*"))
            shutil.rmtree(path)
        else:
            regained += path.lstat().st_size
            path.unlink()
    return regained


def _check_is_store(layout: StoreLayout) -> None:
    if layout.record.exists():
        return
    strange = sorted(path.name for path in layout.root.iterdir() if path.name != ".partial")
    if strange:
        message = f"{layout.root} is not empty and is no store: it holds {', '.join(strange[:5])}"
        raise UsageError(message, "name a new or empty folder with --store")

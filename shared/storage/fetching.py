"""A finished store, copied to a folder of this machine: `COMPLETE` is read first, and written last.

What lies there already is not copied again, only checked with the rest; so a copy that was killed goes on.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from shared.errors import ResourceLimitError, StoreError, UsageError
from shared.index import check_index, read_complete
from shared.layout import StoreLayout, read_record
from shared.membership import Place, is_damage
from shared.reading.verification import check_shard, indexed_digests
from shared.storage.files import FileEntry, StoreFiles
from shared.storage.posix_files import PosixFiles
from shared.system.durable import DurableFile, fsync_directory
from shared.system.locks import remove_unheld
from shared.units import format_bytes

COMPLETE, RECORD = "COMPLETE", "store.json"
_FOLDERS = ("data", "index", "provenance", "quarantine")
_CHUNK = 8 << 20
"""Bytes of a request: with *in_flight* files open, memory is as many of these."""


@dataclass(frozen=True, slots=True)
class Fetching:
    """What is left to copy: *waiting* files of *source* into the folder *to*."""

    source: StoreFiles
    to: Path
    waiting: tuple[FileEntry, ...]

    @property
    def num_bytes(self) -> int:
        """Bytes still to be copied."""
        return sum(entry.size for entry in self.waiting)


def plan_fetching(source: StoreFiles, to: Path) -> Fetching:
    """What has to be copied; nothing is written. Raises StoreError where *source* is no finished store, or *to* has
    another one; UsageError where both are one folder.
    """
    if isinstance(source, PosixFiles) and source.root.resolve() == to.resolve():
        raise UsageError(f"{to} is the store itself", "name another --to")
    if source.size(COMPLETE) is None:
        message = f"{source.where} is no finished store: it has no COMPLETE"
        raise StoreError(message, "check --store, or finish it with the command that made it")
    local = PosixFiles(to)
    for name in (RECORD, COMPLETE):
        if local.size(name) is not None and _content(source, name) != _content(local, name):
            raise StoreError(f"{to} has the {name} of another store", "name another --to")
    found = [entry for entry in source.list() if _belongs(entry.name)]
    return Fetching(source, to, tuple(entry for entry in found if local.size(entry.name) != entry.size))


def require_room(fetching: Fetching, budget: int | None, reserve: int) -> None:
    """Raises ResourceLimitError where the copy would take more than *budget*, or leave less than *reserve* bytes."""
    folder = next(folder for folder in (fetching.to, *fetching.to.absolute().parents) if folder.is_dir())
    present = sum(entry.size for entry in PosixFiles(fetching.to).list()) if fetching.to.is_dir() else 0
    room = shutil.disk_usage(folder).free - reserve
    if budget is not None:
        room = min(room, budget - present)
    if fetching.num_bytes > room:
        needed, left = format_bytes(fetching.num_bytes), format_bytes(room)
        message = f"{needed} are still to be copied to {fetching.to}, {left} may be: nothing was copied"
        raise ResourceLimitError(message, "free space, name another --to, or change --disk-budget or --disk-reserve")


def copy_files(fetching: Fetching, in_flight: int, moved: Callable[[int], None], stopped: Callable[[], None]) -> None:
    """Copies what is waiting, *in_flight* files at once. *moved* hears of bytes, *stopped* raises to stop."""
    partial = StoreLayout(fetching.to).partial
    for folder in (fetching.to, partial, *(fetching.to / name for name in _FOLDERS)):
        folder.mkdir(parents=True, exist_ok=True)
        fsync_directory(folder.parent)
    if fetching.waiting:
        PosixFiles(fetching.to).delete(COMPLETE)
    for left in partial.glob("fetch-*"):
        remove_unheld(left)
    with ThreadPoolExecutor(in_flight) as pool:
        # The queue holds names only; after the first error those that wait are given up.
        tasks = [pool.submit(_copy, fetching, entry, moved, stopped) for entry in fetching.waiting]
        try:
            for task in tasks:
                task.result()
        finally:
            pool.shutdown(cancel_futures=True)


def check_copy(to: Path) -> Iterator[str]:
    """Checks the shards and indexes in *to*, every byte of them, and gives each shard's name.

    Raises StoreError for one that is not as it was written. It is removed, unless it only could not be read, and so is
    a `COMPLETE` beside it; the next attempt copies it again.
    """
    layout = StoreLayout(to)
    record = read_record(layout)
    complete = read_complete(StoreLayout(layout.partial / "fetched"), record.uuid, record.format_version)
    for split, totals in complete.items():
        try:
            check_index(layout, split, totals)
        except StoreError as error:
            if is_damage(error):
                _remove(layout, [layout.index_of(split)])
            raise _unlike(error.message) from error
        digests = indexed_digests(layout, split, totals)
        for unit in range(record.splits[split].num_units):
            place = Place(layout, split, unit, record.splits[split], record.format_version)
            check = check_shard(place, record.features, digests)
            if check.problems:
                if check.repairable:
                    _remove(layout, [place.shard, place.quarantined])
                raise _unlike(check.problems[0])
            yield check.name


def fetch_complete(fetching: Fetching) -> None:
    """Copies `COMPLETE` to where `check_copy` reads it: aside."""
    aside = StoreLayout(fetching.to).partial / "fetched"
    aside.mkdir(exist_ok=True)
    (aside / COMPLETE).write_bytes(_content(fetching.source, COMPLETE))


def finish(to: Path) -> None:
    """Gives `COMPLETE` its name, the last of all: the copy is a store from here on."""
    aside = StoreLayout(to).partial / "fetched" / COMPLETE
    fd = os.open(aside, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    PosixFiles(to).replace(COMPLETE, aside)
    aside.parent.rmdir()


def _belongs(name: str) -> bool:
    """Whether *name* is the store's; `.partial`, `set-aside` and probes stay where they are, `COMPLETE` comes last."""
    folder, _, rest = name.rpartition("/")
    return folder in _FOLDERS or (not folder and not rest.startswith(".") and rest != COMPLETE)


def _content(files: StoreFiles, name: str) -> bytes:
    size = files.size(name)
    if size is None:
        raise StoreError(f"{files.where} has no {name}", "check --store")
    return files.read_range(name, 0, size)


def _copy(fetching: Fetching, entry: FileEntry, moved: Callable[[int], None], stopped: Callable[[], None]) -> None:
    partial = StoreLayout(fetching.to).partial / f"fetch-{entry.name.replace('/', '-')}"
    with DurableFile(partial) as durable:
        for start in range(0, entry.size, _CHUNK):
            stopped()
            part = fetching.source.read_range(entry.name, start, min(entry.size, start + _CHUNK))
            durable.file.write(part)
            moved(len(part))
        durable.seal()
        PosixFiles(fetching.to).replace(entry.name, durable.partial)


def _remove(layout: StoreLayout, paths: list[Path]) -> None:
    for path in (layout.complete, *paths):
        with suppress(FileNotFoundError):
            path.unlink()
            fsync_directory(path.parent)


def _unlike(problem: str) -> StoreError:
    message = f"what was copied is not what was written: {problem}"
    return StoreError(message, "repeat the command, which copies it again; if it fails so again, the source is damaged")

"""A finished store, copied to a folder of this machine: `store.json` first, `COMPLETE` last.

What lies there already is not copied again, only checked with the rest; so a copy that was killed goes on.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from shared.errors import ResourceLimitError, StoreError, UsageError
from shared.layout import StoreLayout, StoreRecord
from shared.storage.files import FileEntry, StoreFiles
from shared.storage.posix_files import PosixFiles
from shared.system.durable import DurableFile, fsync_directory
from shared.system.locks import remove_unheld
from shared.units import format_bytes

COMPLETE, RECORD = "COMPLETE", "store.json"
_CHECKSUMMED = ("data", "index", "quarantine")
"""Folders whose files the store's own checksums cover, all the way from `COMPLETE`."""
_FOLDERS = (*_CHECKSUMMED, "cuts", "provenance")
_CHUNK = 8 << 20
"""Bytes of a request: with *in_flight* files open, memory is as many of these."""


@dataclass(frozen=True, slots=True)
class Fetching:
    """What belongs to the store at *source*, and what of it is *waiting* to be copied into the folder *to*."""

    source: StoreFiles
    to: Path
    found: tuple[FileEntry, ...]
    waiting: tuple[FileEntry, ...]

    @property
    def num_bytes(self) -> int:
        """Bytes still to be copied."""
        return sum(entry.size for entry in self.waiting)

    @property
    def num_shards(self) -> int:
        """Shards of the whole store."""
        return sum(entry.name.startswith("data/") for entry in self.found)

    @property
    def without_checksum(self) -> list[str]:
        """Files that no checksum of the store covers: README, settings, report, provenance, cuts."""
        return [entry.name for entry in self.found if entry.name.partition("/")[0] not in _CHECKSUMMED]


def plan_fetching(source: StoreFiles, to: Path) -> Fetching:
    """What has to be copied; nothing is written. Raises StoreError where *source* is no finished store, or *to* has
    another one; UsageError where both are one folder, or *to* holds other things than a store.
    """
    _require_two_places_of_one_store(source, to)
    local = PosixFiles(to)
    found = [entry for entry in source.list() if _belongs(entry.name)]
    found += _not_listed(source, {entry.name for entry in found})
    # The record comes first: it tells the next attempt that what lies beside it is ours.
    found.sort(key=lambda entry: entry.name != RECORD)
    return Fetching(source, to, tuple(found), tuple(entry for entry in found if local.size(entry.name) != entry.size))


def require_room(fetching: Fetching, budget: int | None, reserve: int) -> None:
    """Raises ResourceLimitError where the copy would take more than *budget*, or leave less than *reserve* bytes.

    What a killed attempt left unfinished makes way before the first byte, so its room counts as free.
    """
    folder = next(folder for folder in (fetching.to, *fetching.to.absolute().parents) if folder.is_dir())
    present = [*PosixFiles(fetching.to).list()] if fetching.to.is_dir() else []
    left = sum(entry.size for entry in present if entry.name.startswith(".partial/fetch-"))
    room = shutil.disk_usage(folder).free + left - reserve
    if budget is not None:
        room = min(room, budget + left - sum(entry.size for entry in present))
    if fetching.num_bytes > room:
        needed, free = format_bytes(fetching.num_bytes), format_bytes(max(0, room))
        message = f"{needed} are still to be copied to {fetching.to}, {free} may be: nothing was copied"
        raise ResourceLimitError(message, "free space, name another --to, or change --disk-budget or --disk-reserve")


def copy_files(fetching: Fetching, in_flight: int, moved: Callable[[int], None], stopped: Callable[[], None]) -> None:
    """Copies what is waiting, *in_flight* files at once. *moved* hears of bytes, *stopped* raises to stop."""
    _clear(fetching)
    first = [entry for entry in fetching.waiting if entry.name == RECORD]
    for entry in first:
        _copy(fetching, entry, moved, stopped)
    _make_folders(fetching)
    with ThreadPoolExecutor(in_flight) as pool:
        # The queue holds names only; after the first error those that wait are given up.
        rest = fetching.waiting[len(first) :]
        tasks = [pool.submit(_copy, fetching, entry, moved, stopped) for entry in rest]
        try:
            for task in tasks:
                task.result()
        finally:
            pool.shutdown(cancel_futures=True)


def content_of(files: StoreFiles, name: str) -> bytes:
    """All of *name*. Raises StoreError where there is no such file."""
    size = files.size(name)
    if size is None:
        raise StoreError(f"{files.where} has no {name}", "check --store")
    return files.read_range(name, 0, size)


def _require_two_places_of_one_store(source: StoreFiles, to: Path) -> None:
    """Raises what `plan_fetching` says."""
    if isinstance(source, PosixFiles) and source.root.resolve() == to.resolve():
        raise UsageError(f"{to} is the store itself", "name another --to")
    if source.size(COMPLETE) is None:
        message = f"{source.where} is no finished store: it has no COMPLETE"
        raise StoreError(message, "check --store, or finish it with the command that made it")
    local = PosixFiles(to)
    for name in (RECORD, COMPLETE):
        if local.size(name) is not None and content_of(source, name) != content_of(local, name):
            raise StoreError(f"{to} has the {name} of another store", "name another --to")
    _require_no_others(to)


def _require_no_others(to: Path) -> None:
    """Raises UsageError for a folder that holds other things than a store: a README.md of theirs would make way."""
    if not to.is_dir() or (to / RECORD).exists():
        return
    if strange := sorted(path.name for path in to.iterdir() if path.name != ".partial"):
        message = f"{to} is not empty and not a store: it holds {', '.join(strange[:5])}"
        raise UsageError(message, "name a new or empty folder with --to")


def _not_listed(source: StoreFiles, listed: set[str]) -> Iterator[FileEntry]:
    """Files that a late listing lacks and no checksum would miss; of shards and indexes `check_copy` tells."""
    try:
        record = StoreRecord.from_dict(json.loads(content_of(source, RECORD)), Path(RECORD))
    except ValueError as error:
        raise StoreError(f"{source.where} has a {RECORD} that is damaged: {error}", "restore it") from error
    names, layout = {RECORD, "README.md", "settings.json", "report.html"}, StoreLayout(Path())
    for split, planned in record.splits.items():
        units = range(planned.num_units)
        names |= {layout.provenance_of(split, unit, planned.num_units).as_posix() for unit in units}
        if "cuts" in planned.settings:
            names.add(layout.cuts_of(planned.source_split).as_posix())
    for name in sorted(names - listed):
        if (size := source.size(name)) is not None:
            yield FileEntry(name, size)


def _belongs(name: str) -> bool:
    """Whether *name* is the store's; `.partial`, `set-aside` and probes stay where they are, `COMPLETE` comes last."""
    folder, _, rest = name.rpartition("/")
    return folder in _FOLDERS or (not folder and not rest.startswith(".") and rest != COMPLETE)


def _clear(fetching: Fetching) -> None:
    """Removes what a killed attempt left, and `COMPLETE` where anything is still to come."""
    partial = StoreLayout(fetching.to).partial
    partial.mkdir(exist_ok=True)
    for left in partial.glob("fetch-*"):
        remove_unheld(left)
    if fetching.waiting:
        PosixFiles(fetching.to).delete(COMPLETE)


def _make_folders(fetching: Fetching) -> None:
    for name in {*_CHECKSUMMED, *(entry.name.rpartition("/")[0] for entry in fetching.found)}:
        (fetching.to / name).mkdir(exist_ok=True)
    fsync_directory(fetching.to)


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

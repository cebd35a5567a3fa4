"""Take a held store for one run: clear what dead runs left, write its record. And give it back."""

from contextlib import suppress
from pathlib import Path

from preprocess.workspace.cleanup import Removal, remove_all_partials, remove_dead_partials
from preprocess.workspace.processes import end_processes, store_mark
from preprocess.workspace.ray_folder import ray_folder, remove_links
from shared.errors import StoreBusyError, UsageError
from shared.layout import StoreLayout, StoreRecord
from shared.system.durable import fsync_directory, json_bytes, write_durably
from shared.system.locks import hold

_OURS_ALONE = 0o700


def clear_dead(root: Path) -> list[Removal]:
    """Removes partial files whose writer is provably dead from the store at *root*, unless another run holds it."""
    if not root.is_dir():
        return []
    with suppress(StoreBusyError), hold(root, "--store"):
        return remove_dead_partials(StoreLayout(root).partial)
    return []


def prepare_store(layout: StoreLayout, record: StoreRecord, settings_json: str, card: str) -> list[Removal]:
    """Makes folders and records, and removes what dead runs left; returns what that was, and what could not go.

    The caller holds the store's lock. Raises UsageError for a folder that holds other things.
    """
    check_is_store(layout)
    removals = clear_left(layout, record.uuid)
    close_partial(layout)
    # First of all: with its record a folder is a store, whatever kills this run next.
    write_durably(layout.record, json_bytes(record.as_dict()), layout.partial / "store.json")
    committed = (layout.data, layout.quarantine, layout.provenance)
    for folder in committed:
        folder.mkdir(exist_ok=True)
    write_durably(layout.root / "settings.json", settings_json.encode(), layout.partial / "settings.json")
    write_durably(layout.root / "README.md", card.encode(), layout.partial / "README.md")
    for folder in committed:
        # A run may have died between a shard's name and the name's durability.
        fsync_directory(folder)
    return removals


def close_partial(layout: StoreLayout) -> None:
    """Makes the folder of unfinished bytes, which only this user may enter: Ray opens its own in it to everybody.

    Raises UsageError where it is a link: what that leads to is not ours to open or close.
    """
    if layout.partial.is_symlink():
        raise UsageError(f"{layout.partial} is a link; nothing behind it was touched", "remove the link itself")
    layout.partial.mkdir(mode=_OURS_ALONE, exist_ok=True)
    if layout.partial.stat().st_mode & 0o777 != _OURS_ALONE:
        layout.partial.chmod(_OURS_ALONE)


def clear_left(layout: StoreLayout, uuid: str) -> list[Removal]:
    """Ends the processes of dead runs on the store with *uuid*, and removes what they left, links elsewhere included.

    For the holder of the store's lock; whatever is unfinished then belongs to nobody.
    """
    end_processes(store_mark(layout.root, uuid), ray_folder(layout))
    remove_links(layout)
    return remove_partial(layout)


def clear_partial(layout: StoreLayout) -> list[Removal]:
    """Removes everything unfinished; returns what that was, and what could not be removed. Follows no link."""
    return remove_all_partials(layout.partial)


def remove_partial(layout: StoreLayout) -> list[Removal]:
    """As `clear_partial`, and the folder itself goes, where nothing stays in it."""
    removals = clear_partial(layout)
    if not layout.partial.is_symlink() and not any(removal.error for removal in removals):
        try:
            # A finished store has none.
            with suppress(FileNotFoundError):
                layout.partial.rmdir()
        except OSError as error:
            removals.append(Removal(layout.partial, 0, "folder", error.strerror or str(error)))
    return removals


def check_is_store(layout: StoreLayout) -> None:
    """Raises UsageError for a folder that holds other things than a store, or the cuts that come before one."""
    if layout.record.exists():
        return
    strange = sorted(path.name for path in layout.root.iterdir() if path not in {layout.partial, layout.cuts})
    if strange:
        message = f"{layout.root} is not empty and not a store: it holds {', '.join(strange[:5])}"
        raise UsageError(message, "name a new or empty folder with --store")

"""Take a held store for one run: clear what dead runs left, write its record. And give it back."""

from contextlib import suppress
from pathlib import Path

from preprocess.workspace.cleanup import Removal, remove_all_partials, remove_dead_partials
from preprocess.workspace.processes import end_processes, store_mark
from preprocess.workspace.ray_folder import ray_folder, remove_link
from shared.errors import StoreBusyError, StoreError, UsageError
from shared.layout import StoreLayout, StoreRecord
from shared.system.durable import fsync_directory, json_bytes, write_durably
from shared.system.locks import hold


def clear_dead(root: Path) -> list[Removal]:
    """Removes partial files whose writer is provably dead from the store at *root*, unless another run holds it."""
    if not root.is_dir():
        return []
    with suppress(StoreBusyError), hold(root, "--store"):
        return remove_dead_partials(StoreLayout(root).partial)
    return []


def prepare_store(layout: StoreLayout, record: StoreRecord, settings_json: str, card: str) -> list[Removal]:
    """Makes folders and records, and removes what dead runs left; returns what that was.

    The caller holds the store's lock, so whatever is unfinished belongs to nobody. Raises UsageError for a folder that
    holds other things.
    """
    _check_is_store(layout)
    mark = store_mark(layout.root, record.uuid)
    end_processes(mark, ray_folder(layout))
    remove_link(mark)
    removals = clear_partial(layout)
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
    return removals


def clear_partial(layout: StoreLayout) -> list[Removal]:
    """Removes everything unfinished. Follows no link. Raises StoreError for what could not be removed."""
    removals = remove_all_partials(layout.partial)
    for removal in removals:
        if removal.error:
            raise StoreError(removal.in_words, "remove it by hand, then repeat the command")
    return removals


def _check_is_store(layout: StoreLayout) -> None:
    if layout.record.exists():
        return
    strange = sorted(path.name for path in layout.root.iterdir() if path.name != ".partial")
    if strange:
        message = f"{layout.root} is not empty and is no store: it holds {', '.join(strange[:5])}"
        raise UsageError(message, "name a new or empty folder with --store")

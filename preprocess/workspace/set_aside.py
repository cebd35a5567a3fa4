"""Move what is bad out of a store's way and keep it: a repair makes it again, and nobody's bytes are thrown away."""

from pathlib import Path

from shared.layout import StoreLayout
from shared.system.durable import fsync_directory


def set_aside(layout: StoreLayout, path: Path) -> Path:
    """Moves the store's file *path* to its folder's place in `set-aside/`; returns where it is.

    Durable when it returns. What was set aside before stays: the file's name is counted on. Only for the holder of the
    store's lock.
    """
    folder = layout.set_aside / path.parent.relative_to(layout.root)
    folder.mkdir(parents=True, exist_ok=True)
    count, final = 0, folder / path.name
    while final.exists():
        count += 1
        final = folder / f"{path.name}.{count}"
    path.rename(final)
    # The new name first: a power cut in between leaves the file under both or under the old one, never under none.
    for changed in (folder, layout.set_aside, layout.root, path.parent):
        fsync_directory(changed)
    return final

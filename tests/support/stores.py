"""What two stores that must be the same are compared by."""

import json
from hashlib import blake2b
from pathlib import Path

OF_THE_RUN = {"settings.json", "report.html"}
"""Files that tell how a run was started; they may differ between two stores of the same data."""


def contents(store: Path) -> dict[str, str]:
    """A digest of every file of *store* by its name; the store's own uuid counts as the same everywhere.

    Folders and links stand in it too, so that nothing can hide.
    """
    uuid = store_uuid(store).encode()
    found = {}
    for path in sorted(store.rglob("*")):
        name = str(path.relative_to(store))
        if path.is_symlink() or not path.is_file():
            found[name] = "link" if path.is_symlink() else "folder"
        elif name not in OF_THE_RUN:
            found[name] = blake2b(path.read_bytes().replace(uuid, b"UUID"), digest_size=16).hexdigest()
    return found


def store_uuid(store: Path) -> str:
    """The uuid in `store.json`, '' before there is one."""
    try:
        return json.loads((store / "store.json").read_text())["uuid"]
    except FileNotFoundError:
        return ""


def differences(store: Path, expected: dict[str, str]) -> list[str]:
    """Names that are missing from *store*, too many in it, or of other content than *expected*."""
    found = contents(store)
    return sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))

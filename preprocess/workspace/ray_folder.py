"""Where Ray keeps its files: in the store, reached through a short link where its sockets' paths would be too long.

The link lies in a folder of its own with a random name, which nobody else can write to, below TMPDIR or /tmp. Another
user can neither guess nor make it; and none is removed but one that is ours and leads to the store's own folder.
"""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from shared.errors import UsageError
from shared.layout import StoreLayout

SOCKET_PATH_ROOM = 62
"""Characters that Ray appends to its folder for a socket; the kernel allows 107 in all."""
MAX_SOCKET_PATH = 107
_LONGEST = MAX_SOCKET_PATH - SOCKET_PATH_ROOM
_PREFIX, _LINK = "speech-prep-", "ray"
_RANDOM = 8
"""Characters that `mkdtemp` appends."""
_TMP = "/tmp"  # noqa: S108 - a socket's path must be short; what is made there is `mkdtemp`'s


def ray_folder(layout: StoreLayout) -> Path:
    """Ray's folder in the store."""
    return layout.partial / "ray"


def make_ray_folder(layout: StoreLayout) -> Path:
    """Makes the folder; returns it, or the link to it that Ray must use instead.

    Raises UsageError where a link is needed and cannot be made.
    """
    folder = ray_folder(layout)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = folder.resolve()
    if _length(folder) <= _LONGEST:
        return folder
    try:
        link = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_link_parent())) / _LINK
        link.symlink_to(folder)
    except OSError as error:
        message = f"{folder} is too long a path for Ray's sockets, and {_link_parent()} takes no short link to it"
        remedy = f"name a shorter --store, or a short folder that can be written to as TMPDIR ({_LONGEST} characters)"
        raise UsageError(f"{message}: {error.strerror}", remedy) from error
    return link


def remove_links(layout: StoreLayout) -> None:
    """Removes the links to the store's folder that this user's runs made; the folder itself is `clear_partial`'s."""
    target = ray_folder(layout).resolve()
    for holder in _own_holders():
        # Another cleanup may be faster; and what is not empty then is no longer only ours.
        with suppress(OSError):
            if (holder / _LINK).readlink() == target:
                (holder / _LINK).unlink()
                holder.rmdir()


def _own_holders() -> Iterator[Path]:
    """Folders as `make_ray_folder` makes them, where it would make them now: this user's own, closed to others."""
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        for entry in os.scandir(_link_parent()):
            if entry.name.startswith(_PREFIX):
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077:
                    yield Path(entry.path)


def _link_parent() -> str:
    """TMPDIR; /tmp where that is not set, or too long itself."""
    own = os.environ.get("TMPDIR") or _TMP
    needed = len(f"/{_PREFIX}") + _RANDOM + len(f"/{_LINK}")
    return own if _length(Path(own).absolute()) + needed <= _LONGEST else _TMP


def _length(path: Path) -> int:
    """Bytes of *path*, which are what the kernel counts."""
    return len(os.fsencode(path))

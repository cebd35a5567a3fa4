"""Where Ray keeps its files: in the store, reached through a short link where its sockets' paths would be too long."""

from hashlib import blake2b
from pathlib import Path

from shared.layout import StoreLayout

SOCKET_PATH_ROOM = 62
"""Characters that Ray appends to its folder for a socket; the kernel allows 107 in all."""
MAX_SOCKET_PATH = 107


def ray_folder(layout: StoreLayout) -> Path:
    """Ray's folder in the store."""
    return layout.partial / "ray"


def make_ray_folder(layout: StoreLayout, mark: str) -> Path:
    """Makes the folder; returns it, or the link to it that Ray must use instead. *mark* names the link."""
    folder = ray_folder(layout)
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    if len(str(folder)) + SOCKET_PATH_ROOM <= MAX_SOCKET_PATH:
        return folder
    link = _link(mark)
    link.unlink(missing_ok=True)
    link.symlink_to(folder)
    return link


def remove_link(mark: str) -> None:
    """Removes the link, where there is one; the folder itself is `clear_partial`'s."""
    _link(mark).unlink(missing_ok=True)


def _link(mark: str) -> Path:
    name = blake2b(mark.encode(), digest_size=6).hexdigest()
    return Path("/tmp") / f"speech-prep-{name}"  # noqa: S108 - a socket's path must be short

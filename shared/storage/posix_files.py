"""A store in a folder, local or mounted."""

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from shared.errors import StoreError
from shared.storage.files import FileEntry, checked_name, new_digest
from shared.system.durable import create_name, fsync_directory, replace_name
from shared.system.read_errors import refuse_unreadable


class PosixFiles:
    """`StoreFiles` below the folder *root*. A sealed file has to lie on its file system; folders have to exist.

    A sealed file that `create` gave its name keeps its own as well; one that `replace` took has that name only.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def where(self) -> str:
        """The folder."""
        return str(self.root)

    def path(self, name: str) -> Path:
        """Where *name* lies. Raises StoreError for a name that leaves the store."""
        return self.root / checked_name(name)

    def create(self, name: str, sealed: Path) -> bool:
        """By `link`, which replaces nothing; raises OSError as that does."""
        return create_name(sealed, self.path(name))

    def replace(self, name: str, sealed: Path) -> None:
        """By `rename`; raises OSError as that does."""
        replace_name(sealed, self.path(name))

    def read_range(self, name: str, start: int, stop: int) -> bytes:
        """Reads the file; raises UnreadableError where the system does not let us."""
        path = self.path(name)
        try:
            with path.open("rb", buffering=0) as file:
                file.seek(start)
                return _exactly(file.read(stop - start), name, start, stop)
        except OSError as error:
            refuse_unreadable(path, error)
            raise StoreError(f"{path} cannot be read: {error.strerror}", "restore it") from error

    def list(self, folder: str = "") -> Iterator[FileEntry]:
        """Walks the folder; links are not followed, and only plain files count."""
        top = self.path(folder) if folder else self.root
        for path in sorted(top.rglob("*"), key=lambda path: path.as_posix()):
            if path.is_file() and not path.is_symlink():
                yield FileEntry(path.relative_to(self.root).as_posix(), path.stat().st_size)

    def size(self, name: str) -> int | None:
        """By `stat`; raises UnreadableError where the system does not let us."""
        path = self.path(name)
        try:
            return path.stat().st_size
        except OSError as error:
            refuse_unreadable(path, error)
            return None

    def digest(self, name: str) -> str:
        """Reads the file; raises UnreadableError where the system does not let us."""
        path = self.path(name)
        try:
            with path.open("rb") as file:
                return hashlib.file_digest(file, new_digest).hexdigest()
        except OSError as error:
            refuse_unreadable(path, error)
            return ""

    def delete(self, name: str) -> None:
        """By `unlink`; raises OSError as that does."""
        path = self.path(name)
        with suppress(FileNotFoundError):
            path.unlink()
            fsync_directory(path.parent)


def _exactly(content: bytes, name: str, start: int, stop: int) -> bytes:
    if len(content) != stop - start:
        message = f"{name} has {start + len(content):,} bytes, {stop:,} were expected"
        raise StoreError(message, "the file was cut off or changed: restore it")
    return content

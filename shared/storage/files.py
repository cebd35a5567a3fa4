"""What a store needs of the place where its files lie."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from shared.errors import StoreError

_NAME = re.compile(r"[^/\0]+(/[^/\0]+)*")


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file: its *name* below the store, with `/` between folders, and its *size* in bytes."""

    name: str
    size: int


class StoreFiles(Protocol):
    """The files of one store, by names below it (`data/train-00000-of-00431.parquet`).

    A *sealed* file is a local one that is whole and on the disk. All methods may be called from several threads, and
    raise StoreError for a name that leaves the store.
    """

    @property
    def where(self) -> str:
        """The place in words, as the user named it: without keys and endpoint."""

    def create(self, name: str, sealed: Path) -> bool:
        """Gives the content of *sealed* its *name*, durably and whole; False when that name existed.

        Where the place can tell, a file of that name that differs is a StorageError.
        """

    def replace(self, name: str, sealed: Path) -> None:
        """As `create`; an existing file of that *name* gives way atomically."""

    def read_range(self, name: str, start: int, stop: int) -> bytes:
        """Bytes *start* to *stop* (exclusive) of *name*, neither more nor fewer. Raises StoreError where it has not."""

    def list(self, folder: str = "") -> Iterator[FileEntry]:
        """All files below *folder*, in the order of their names.

        A place may be late: what was created a moment ago can be missing. Only `size` tells that a file is absent.
        """

    def size(self, name: str) -> int | None:
        """Bytes of *name*, None when there is no such file."""

    def digest(self, name: str) -> str:
        """`digest_of` all of *name*, as its writer put it beside it where there is such a note; "" without a file."""

    def delete(self, name: str) -> None:
        """Removes *name*, durably, if there is such a file."""


def checked_name(name: str) -> str:
    """*name*. Raises StoreError where it would lead out of the store or is no name: a bucket holds any."""
    if not _NAME.fullmatch(name) or {".", ".."} & set(name.split("/")):
        raise StoreError(f"{name!r} is no name of a file in a store", "remove it from the store")
    return name


def new_digest() -> "hashlib.blake2b":
    """The running checksum of a file's content: blake2b of 16 bytes."""
    return hashlib.blake2b(digest_size=16)


def digest_of(content: memoryview) -> str:
    """The checksum of *content*, in hexadecimal."""
    digest = new_digest()
    digest.update(content)
    return digest.hexdigest()

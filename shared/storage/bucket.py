"""What `ObjectFiles` asks of a bucket: five requests, and the three ways in which they fail."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from shared.errors import StorageError


class TakenError(StorageError):
    """The server says that the name exists. It may be wrong (409 of a race), or mean what we wrote ourselves (412)."""


class BusyError(StorageError):
    """500, 503, a connection that broke or no answer: whether the request was carried out is unknown."""


class RefusedError(StorageError):
    """The server does not want to: no right, no such bucket, a request that it does not know. Trying again is vain."""


class MissingError(RefusedError):
    """There is no such object, or no such bucket: to some requests a server answers the same."""


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """An object's *size* in bytes, and its `digest_of` where whoever wrote it put that beside it ("" otherwise)."""

    size: int
    digest: str = ""


class Bucket(Protocol):
    """A bucket below one prefix. Every request may raise BusyError or RefusedError, without keys or endpoint in it."""

    def put(self, name: str, content: memoryview, digest: str, *, only_new: bool) -> None:
        """Writes *name* in one request, with *digest* beside it; with *only_new* TakenError where it exists."""

    def head(self, name: str) -> ObjectFacts | None:
        """What is known of *name*; None where there is no such object."""

    def read(self, name: str, start: int, stop: int) -> bytes:
        """Bytes *start* to *stop* of *name*; may be fewer. Raises MissingError where there is no such object."""

    def list(self, folder: str) -> Iterator[tuple[str, int]]:
        """Name and size of every object below *folder* (all for "")."""

    def delete(self, name: str) -> None:
        """Removes *name*; well, too, where there is no such object."""

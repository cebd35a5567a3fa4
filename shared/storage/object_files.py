"""A store in a bucket. One conditional PUT is the commit; never a multipart upload, whose races several writers win.

No answer of a server is believed alone: after "exists" and after none, the object itself is asked for. Absent means try
again, present means compare. So whatever is lost or answered twice, an object is what was to be written, or an error.
"""

import mmap
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from shared.errors import StorageError, StoreError
from shared.storage.bucket import Bucket, BusyError, ObjectFacts, RefusedError, TakenError
from shared.storage.files import FileEntry, checked_name, digest_of, new_digest

WAITS = (0.5, 1.0, 2.0, 4.0)
"""Seconds between attempts; the client below retries on its own before an attempt counts."""
_CHUNK = 8 << 20
_ANSWER = "see that the server answers, then repeat the command: it goes on where it stopped"
_IGNORES = "ignores conditions: it let one name be created twice"
_HONOURS = "use one that honours If-None-Match on PUT (AWS S3, MinIO, SeaweedFS, Ceph), or a shared folder"
T = TypeVar("T")


class ObjectFiles:
    """`StoreFiles` in *bucket*, which the user calls *where*. *sleep* waits between attempts."""

    def __init__(self, bucket: Bucket, where: str, sleep: Callable[[float], None] = time.sleep) -> None:
        self._bucket, self._where, self._sleep = bucket, where, sleep

    @property
    def where(self) -> str:
        """The address, without keys and endpoint."""
        return self._where

    def create(self, name: str, sealed: Path) -> bool:
        """By a PUT that a server refuses where *name* exists, from a map of *sealed*: memory stays small.

        False also where an earlier attempt of ours was carried out and its answer lost. Raises StorageError where the
        object differs, or the server does not answer.
        """
        with _mapped(sealed) as content:
            return self._create(checked_name(name), content)

    def replace(self, name: str, sealed: Path) -> None:
        """By a PUT without condition. Raises StorageError where the server does not answer."""
        with _mapped(sealed) as content:
            digest = digest_of(content)
            self._patiently(lambda: self._bucket.put(checked_name(name), content, digest, only_new=False), name)

    def read_range(self, name: str, start: int, stop: int) -> bytes:
        """By a range request; one that is answered in part is asked for the rest."""
        parts, at, vain = [], start, 0
        while at < stop and vain <= len(WAITS):
            part = self._patiently(lambda at=at: self._bucket.read(checked_name(name), at, stop), name)[: stop - at]  # type: ignore[misc]
            vain = 0 if part else vain + 1
            parts.append(part)
            at += len(part)
        if at < stop:
            raise StoreError(
                f"{self._of(name)} has {at:,} bytes, {stop:,} were expected", "it was cut off or changed: restore it"
            )
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def list(self, folder: str = "") -> Iterator[FileEntry]:
        """By listing requests, which a server may answer late."""
        found = self._patiently(lambda: sorted(self._bucket.list(folder)), folder or "listing")
        return (FileEntry(name, size) for name, size in found)

    def size(self, name: str) -> int | None:
        """By a HEAD request."""
        facts = self._facts(checked_name(name))
        return None if facts is None else facts.size

    def digest(self, name: str) -> str:
        """By a HEAD request; an object that another program wrote is read."""
        facts = self._facts(checked_name(name))
        return "" if facts is None else facts.digest or self._read_digest(name, facts.size)

    def delete(self, name: str) -> None:
        """By a DELETE request."""
        self._patiently(lambda: self._bucket.delete(checked_name(name)), name)

    def probe(self) -> None:
        """Raises StorageError where the server does not refuse a second create of a name: two writers would both win.

        An object of its own is made and removed.
        """
        name = f".probe-{uuid.uuid4().hex}"
        try:
            self._create(name, memoryview(b"first"))
            self._refuse_unconditional(name)
        finally:
            # What is left of a probe is five bytes that no reader knows; the reason to fail is the other error's.
            with suppress(StorageError):
                self.delete(name)

    def _refuse_unconditional(self, name: str) -> None:
        """Raises StorageError where *name*, which holds five bytes, is let be created again."""
        second, said = memoryview(b"second"), ""
        for wait in (*WAITS, None):
            try:
                self._bucket.put(name, second, digest_of(second), only_new=True)
            except (TakenError, BusyError) as error:
                refused, said = isinstance(error, TakenError), error.message
            facts = None if not said else self._facts(name)
            if not said or (facts is not None and facts.size == len(second)):
                raise StorageError(f"the server of {self._where} {_IGNORES}", _HONOURS)
            # After no answer at all nothing is known yet: the request may never have arrived.
            if refused and facts is not None:
                return
            if wait is not None:
                self._sleep(wait)
        raise StorageError(f"{self._of(name)}: {said}", _ANSWER)

    def _create(self, name: str, content: memoryview) -> bool:
        digest, said = digest_of(content), ""
        for wait in (*WAITS, None):
            try:
                self._bucket.put(name, content, digest, only_new=True)
            except (TakenError, BusyError) as error:
                said = error.message
            else:
                return True
            facts = self._facts(name)
            if facts is not None:
                self._require_equal(name, facts, len(content), digest)
                return False
            if wait is not None:
                self._sleep(wait)
        raise StorageError(f"{self._of(name)} could not be written: {said}", _ANSWER)

    def _require_equal(self, name: str, facts: ObjectFacts, size: int, digest: str) -> None:
        if facts.size == size and (facts.digest or self._read_digest(name, size)) == digest:
            return
        what = f"{facts.size:,} bytes instead of {size:,}" if facts.size != size else "other bytes of the same number"
        message = f"{self._of(name)} exists and is not what was to be written: {what}"
        raise StorageError(message, "use another prefix, or remove that object if it is of no use to anybody")

    def _read_digest(self, name: str, size: int) -> str:
        """Of an object that another program wrote."""
        digest = new_digest()
        for start in range(0, size, _CHUNK):
            digest.update(self.read_range(name, start, min(size, start + _CHUNK)))
        return digest.hexdigest()

    def _facts(self, name: str) -> ObjectFacts | None:
        return self._patiently(lambda: self._bucket.head(name), name)

    def _patiently(self, request: Callable[[], T], name: str) -> T:
        """What *request* gives, which may be sent again. Raises StorageError that names *name*."""
        for wait in WAITS:
            try:
                return request()
            except (BusyError, TakenError):
                self._sleep(wait)
            except RefusedError as error:
                raise RefusedError(f"{self._of(name)}: {error.message}", error.remedy) from error
        try:
            return request()
        except (BusyError, TakenError) as error:
            raise StorageError(f"{self._of(name)}: {error.message}", _ANSWER) from error

    def _of(self, name: str) -> str:
        return f"{self._where}/{name}"


@contextmanager
def _mapped(sealed: Path) -> Iterator[memoryview]:
    """The content of *sealed*, mapped: a copy of a shard would be 256 MB of memory, its map is none."""
    with sealed.open("rb") as file:
        if not sealed.stat().st_size:
            yield memoryview(b"")
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as view:
            yield view

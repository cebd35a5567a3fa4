"""A bucket that speaks S3, through obstore: the one module that imports it.

Endpoint and keys are read from the environment, by the usual names, and go nowhere else. The messages of obstore carry
the endpoint, and a server's answer whatever it likes, so that of both only status and code are passed on.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Literal

import obstore
from obstore import exceptions
from obstore.store import S3Store

from shared.errors import UsageError
from shared.storage.address import BucketAddress
from shared.storage.bucket import BusyError, MissingError, ObjectFacts, RefusedError, TakenError

_DIGEST = "blake2b"
"""The metadata entry (`x-amz-meta-blake2b`) of an object's checksum."""
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_ADDRESS = re.compile(r"https?://[\w.:\[\]-]+(/[\w./~-]*)?", re.ASCII)
_STATUS = re.compile(r"status code: (\d{3})(?: ([A-Z][A-Za-z ]+))?")
_CODE = re.compile(r"<Code>(\w{1,60})</Code>")
_LATER = {408, 409, 425, 429}
"""Answers below 500 after which the same request may do."""
_ROLES = ("/latest/api/token", "/latest/meta-data")
"""What the client asks a cloud's machine for when no keys are named: the last place where there might be some."""
_RIGHTS = "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and what they may do (files of ~/.aws are not read)"
_PLACE = "check bucket, AWS_ENDPOINT_URL and AWS_REGION"


class S3Bucket:
    """`Bucket` at *address*. *retries* and *patience* (seconds) are the client's own, for each request.

    Raises UsageError for variables of the environment that cannot be.
    """

    def __init__(self, address: BucketAddress, retries: int = 4, patience: float = 60.0) -> None:
        plain = _endpoint().startswith("http://")
        with _configured():
            self._store = S3Store(
                address.bucket,
                prefix=address.prefix or None,
                # A shard of 256 MB on a slow line takes minutes; a server that says nothing is given up long before.
                client_options={
                    "allow_http": plain,
                    "timeout": "1h",
                    "connect_timeout": "10s",
                    "read_timeout": "60s",
                },
                retry_config={"max_retries": retries, "retry_timeout": timedelta(seconds=patience)},
                disable_bulk_delete=True,
            )

    def put(self, name: str, content: memoryview, digest: str, *, only_new: bool) -> None:
        """One PUT, of any size: never a multipart upload."""
        mode: Literal["create", "overwrite"] = "create" if only_new else "overwrite"
        with _explained():
            obstore.put(self._store, name, content, mode=mode, use_multipart=False, attributes={_DIGEST: digest})

    def head(self, name: str) -> ObjectFacts | None:
        """One HEAD."""
        try:
            with _explained():
                found = obstore.get(self._store, name, options={"head": True})
                return ObjectFacts(found.meta["size"], str(found.attributes.get(_DIGEST, "")))
        except MissingError:
            return None

    def read(self, name: str, start: int, stop: int) -> bytes:
        """One GET of a range."""
        with _explained():
            return bytes(obstore.get_range(self._store, name, start=start, end=stop))

    def list(self, folder: str) -> Iterator[tuple[str, int]]:
        """As many listing requests as there are thousands of objects."""
        with _explained():
            for page in obstore.list(self._store, folder or None):
                yield from ((entry["path"], entry["size"]) for entry in page)

    def delete(self, name: str) -> None:
        """One DELETE."""
        with suppress(MissingError), _explained():
            obstore.delete(self._store, name)


@contextmanager
def _configured() -> Iterator[None]:
    """Nothing is sent yet: an error is of the environment, whose values are not repeated."""
    try:
        yield
    except (exceptions.BaseError, ValueError, OSError):
        raise UsageError("the AWS_ variables of the environment do not belong together", _RIGHTS) from None


def _endpoint() -> str:
    """The address of the server, "" for that of AWS. Raises UsageError for what none is: the client would panic."""
    name = next(filter(os.environ.get, _ENDPOINTS), _ENDPOINTS[0])
    endpoint = os.environ.get(name, "")
    if endpoint and not _ADDRESS.fullmatch(endpoint):
        raise UsageError(f"{name} is no address of a server", "write it as https://s3.example.org:8333")
    return endpoint


@contextmanager
def _explained() -> Iterator[None]:
    """Errors of obstore as this room's, without their text and without themselves as a cause in a traceback."""
    try:
        yield
    except FileNotFoundError as error:
        raise MissingError(_said(error), _PLACE) from None
    except exceptions.AlreadyExistsError as error:
        raise TakenError(_said(error)) from None
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
        raise RefusedError(_said(error), _RIGHTS) from None
    except (exceptions.BaseError, ValueError, OSError) as error:
        if any(path in str(error) for path in _ROLES):
            raise RefusedError("no keys were found", _RIGHTS) from None
        status = _status(error)
        if status is None or status in _LATER or status >= 500:  # noqa: PLR2004 - HTTP's own number
            raise BusyError(_said(error)) from None
        raise RefusedError(_said(error), _PLACE) from None


def _status(error: BaseException) -> int | None:
    match = _STATUS.search(str(error))
    return int(match[1]) if match else None


def _said(error: BaseException) -> str:
    """Status and S3's code of what a server answered; in words where it did not answer."""
    text = str(error)
    status, code = _STATUS.search(text), _CODE.search(text)
    if status is None:
        return "the server did not answer"
    return f"the server answered {' '.join(filter(None, (status[1], status[2], code and f'({code[1]})')))}"

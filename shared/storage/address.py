"""Where a store lies, as a user types it: a folder, or `s3://bucket/prefix`."""

import re
from dataclasses import dataclass
from pathlib import Path

from shared.errors import UsageError
from shared.system.home import expand_home

SCHEME = "s3://"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PART = re.compile(r"[\w.=+-]+", re.ASCII)
_EXAMPLE = "write s3://bucket/prefix; endpoint and keys come from AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and their like"


@dataclass(frozen=True, slots=True)
class BucketAddress:
    """The store below *prefix* ("" for all) of *bucket*. Neither endpoint nor keys: those are the environment's."""

    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.prefix}".rstrip("/")


def parse_address(text: str) -> BucketAddress | Path:
    """Where *text* says that a store lies. Raises UsageError for a bucket or prefix that cannot be one.

    What may be a key (`s3://key:secret@bucket`) is not repeated in the message.

    >>> parse_address("s3://speech/german/v1")
    BucketAddress(bucket='speech', prefix='german/v1')
    """
    if "://" not in text:
        return expand_home(Path(text))
    if not text.startswith(SCHEME):
        raise UsageError(f"stores lie in folders or at {SCHEME}, not at {text.partition('://')[0]}://", _EXAMPLE)
    bucket, _, prefix = text.removeprefix(SCHEME).rstrip("/").partition("/")
    if "@" in text or "?" in text:
        raise UsageError("an address of a store holds neither keys nor options", _EXAMPLE)
    if not _BUCKET.fullmatch(bucket) or ".." in bucket:
        raise UsageError(f"{bucket!r} is no name of a bucket (3 to 63 of a-z, 0-9, dot and hyphen)", _EXAMPLE)
    parts = prefix.split("/") if prefix else []
    for part in parts:
        if not _PART.fullmatch(part) or part in {".", ".."}:
            message = f"{part!r} is no part of a prefix (letters a to z, digits and any of . _ - = +)"
            raise UsageError(message, _EXAMPLE)
    return BucketAddress(bucket, prefix)

"""Small files that strangers wrote, read so that what is wrong with them is an error like any other.

A file of any size and a text nested to any depth end in a ValueError, which says so, not in hours or a RecursionError.
"""

import json
from pathlib import Path
from typing import Any

from shared.units import format_bytes

MAX_BYTES = 64_000_000
"""Many times the largest `tokenizer.json`, or record of a data set."""


def read_text(path: Path) -> str:
    """The text of *path*, without the mark (BOM) that editors on Windows put before it.

    Raises OSError, and ValueError where it is too large to be what it should be; a UnicodeError where it is no UTF-8.
    """
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"it has more than {format_bytes(MAX_BYTES)}, which no such file needs")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnicodeError(f"it is not text in UTF-8: {error.reason} at byte {error.start}") from error


def parse_json(text: str | bytes) -> Any:
    """*text* as `json.loads` reads it; whatever is wrong with it is a ValueError."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("its brackets are nested deeper than in any such file") from error


def read_json(path: Path) -> Any:
    """The JSON value in *path*. Raises OSError and ValueError."""
    return parse_json(read_text(path))

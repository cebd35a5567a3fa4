"""One hostile input, and the outcomes that it may be certain of."""

from typing import NamedTuple

WRITTEN = "written"
EITHER = "either"
"""What a decoder makes of it is its own affair; that the service lives is ours."""
UNDECODABLE, TOO_LONG, TOO_LARGE = "undecodable", "too_long", "too_large"
NOT_FINITE, EMPTY = "not_finite", "empty_audio"


class Hostile(NamedTuple):
    """One input: its bytes and its *outcome*, `WRITTEN`, `EITHER` or a quarantine reason."""

    encoded: bytes
    outcome: str = EITHER

"""Frames of AAC in the open (ADTS, ISO 14496-3): such a file has no other beginning."""

import re

_HEADER_BYTES = 7
_NUM_RATES = 13
_RATES = bytes(value for value in range(256) if value >> 2 & 0xF < _NUM_RATES)
# Twelve bits of sync; a layer that is always 0, which no MP3 has; one of the sampling rates that there are.
_HEADER = re.compile(rb"\xff[\xf0\xf1\xf8\xf9][%s].{4}" % re.escape(_RATES), re.DOTALL)
_CONFIRMED_FRAMES = 5
"""Frames in a row that are no chance."""


def end_of(encoded: bytes, at: int) -> int:
    """The end of the frames that begin at byte *at*, the last of them cut off or not; *at* itself where too few do."""
    end, count = at, 0
    while size := _frame_bytes(encoded, end):
        end += size
        count += end <= len(encoded)
    return min(end, len(encoded)) if count >= _CONFIRMED_FRAMES else at


def begins(encoded: bytes, at: int) -> bool:
    """True where frames follow each other from byte *at* on."""
    return end_of(encoded, at) > at


def _frame_bytes(encoded: bytes, at: int) -> int:
    """The size that the header at *at* states, with the header; 0 where there is none."""
    header = encoded[at : at + _HEADER_BYTES]
    if not _HEADER.match(header):
        return 0
    size = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    return size if size > _HEADER_BYTES else 0

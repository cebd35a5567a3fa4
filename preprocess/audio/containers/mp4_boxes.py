"""What an M4A's boxes would make FFmpeg allocate, from the bytes alone: a file of 6 KB can ask for 3 GB.

Only what FFmpeg parses is searched. `mdat` holds the audio itself, in which the names of boxes turn up by chance.
"""

import struct
from collections.abc import Iterator

from shared.errors import RowRejectedError
from shared.schema import QuarantineReason

_MAX_SAMPLES = 1 << 23
"""FFmpeg's index takes 24 bytes a sample: 200 MB. An hour of AAC has 170,000 samples, 30 s of 192 kHz PCM 6 million."""

# Boxes that count samples, with how far behind the name the count stands.
_COUNTS = {b"stsz": 12, b"stz2": 12, b"trun": 8}
_HEADER_BYTES = 8
_LONG_HEADER_BYTES = 16
_MAX_SPANS = 1_000

_Span = tuple[int, int]


def check_boxes(encoded: bytes) -> None:
    """Raises `RowRejectedError` (`too_large` or `undecodable`) where *encoded* would cost more than its size explains.

    Every sample takes a byte at least. FFmpeg allocates for the claimed count before it reads one of them, and unpacks
    a compressed header of any size.
    """
    spans = _parsed(encoded)
    if any(encoded.find(b"cmov", *span) >= 0 for span in spans):
        raise RowRejectedError(QuarantineReason.UNDECODABLE, "an M4A whose header is compressed; such are not read")
    if any(encoded.find(b"trex", *span) >= 0 for span in spans):
        # In a fragmented file, tables of offsets may lead FFmpeg to boxes inside `mdat`.
        spans = [(0, len(encoded))]
    num_samples = sum(count for span in spans for count in _sample_counts(encoded, span))
    if num_samples > min(len(encoded), _MAX_SAMPLES):
        message = f"M4A sample tables count {num_samples:,} samples in {len(encoded):,} bytes"
        raise RowRejectedError(QuarantineReason.TOO_LARGE, f"{message}; the limit is {_MAX_SAMPLES:,}")


def _parsed(encoded: bytes) -> list[_Span]:
    """Where the top-level boxes other than `mdat` lie; what follows a broken one, or very many, counts too."""
    spans: list[_Span] = []
    at = 0
    while at + _HEADER_BYTES <= len(encoded) and len(spans) < _MAX_SPANS:
        size, name = struct.unpack_from(">I4s", encoded, at)
        if size == 1 and at + _LONG_HEADER_BYTES <= len(encoded):
            size = struct.unpack_from(">Q", encoded, at + _HEADER_BYTES)[0]
        broken = 0 < size < _HEADER_BYTES
        # A size of 0 means: to the end of the file.
        end = at + size if size and not broken else len(encoded)
        if broken or name != b"mdat":
            start = spans.pop()[0] if spans and spans[-1][1] == at else at
            spans.append((start, end))
        at = end
    return [*spans, (at, len(encoded))]


def _sample_counts(encoded: bytes, span: _Span) -> Iterator[int]:
    for name, skip in _COUNTS.items():
        at = encoded.find(name, *span)
        while at >= 0:
            if at + skip + 4 <= len(encoded):
                yield struct.unpack_from(">I", encoded, at + skip)[0]
            at = encoded.find(name, at + 4, span[1])


def next_file(encoded: bytes, at: int) -> int:
    """Where the file after the M4A at byte *at* begins, at the top level; the end of *encoded* where there is none."""
    begun = False
    for _ in range(_MAX_SPANS):
        if at + _HEADER_BYTES > len(encoded):
            break
        size, name = struct.unpack_from(">I4s", encoded, at)
        # What is no box has letters for its size, and leads beyond the end.
        if begun and (name == b"ftyp" or at + size > len(encoded)):
            return at
        begun = begun or name in {b"moov", b"mdat", b"moof"}
        if size == 1 and at + _LONG_HEADER_BYTES <= len(encoded):
            size = struct.unpack_from(">Q", encoded, at + _HEADER_BYTES)[0]
        if size < _HEADER_BYTES:
            break
        at += size
    return len(encoded)

"""Where the next file begins in a chained Ogg (RFC 3533) or a joined WavPack: each has its own rate and channels."""

import struct

from preprocess.audio.containers import adts, mpeg_frames
from preprocess.audio.containers.starts import after_tags, kind_at

_HEADER_BYTES = 27
_TYPE_BYTE = 5
_BEGINS = 0x02
_MAGIC = b"OggS"
_BLOCK = struct.Struct("<4sIHBBIIII")
_FIRST_OF_ALL_CHANNELS = 0x800


def next_ogg(encoded: bytes, at: int) -> int:
    """The first byte of the link or file after the Ogg at byte *at*; the end of *encoded* where there is none.

    Streams that run side by side all begin before the first page of data; one that begins later is another link.
    """
    beginning = True
    while at >= 0 and at + _HEADER_BYTES <= len(encoded):
        if not encoded.startswith(_MAGIC, at):
            if kind_at(encoded, at) or _frames_begin(encoded, after_tags(encoded, at)):
                return at
            at = encoded.find(_MAGIC, at + 1)
            continue
        begins = bool(encoded[at + _TYPE_BYTE] & _BEGINS)
        if begins and not beginning:
            return at
        beginning = begins
        num_segments = encoded[at + _HEADER_BYTES - 1]
        head = at + _HEADER_BYTES + num_segments
        at = head + sum(encoded[at + _HEADER_BYTES : head])
    return len(encoded)


def _frames_begin(encoded: bytes, at: int) -> bool:
    return mpeg_frames.begins(encoded, at) or adts.begins(encoded, at)


def next_wavpack(encoded: bytes, at: int) -> int:
    """The first byte of the file after the WavPack at byte *at*; the end of *encoded* where there is none.

    Blocks count their samples, and a second file counts from 0 again.
    """
    seen, end = False, at
    while at + _BLOCK.size <= len(encoded):
        magic, size, _, _, _, _, index, num_samples, flags = _BLOCK.unpack_from(encoded, at)
        if magic != b"wvpk":
            break
        if num_samples and not index and flags & _FIRST_OF_ALL_CHANNELS:
            if seen:
                return at
            seen = True
        end = at + size + 8
        at = after_tags(encoded, end)
    return min(end, len(encoded))

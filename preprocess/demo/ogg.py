"""Ogg pages with a serial number of our choice: libsndfile draws a random one, which would change the bytes."""

import struct
import zlib

_CAPTURE = b"OggS"
_HEADER_BYTES = 27
_SERIAL = slice(14, 18)
_CHECKSUM = slice(22, 26)
_ALL_ONES = 0xFFFF_FFFF
_REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def with_serial(stream: bytes, serial: int) -> bytes:
    """The Ogg *stream* with *serial* (32 bits) in every page and the checksums set right.

    Raises `ValueError` where *stream* is no whole number of Ogg pages.
    """
    result = bytearray(stream)
    start = 0
    while start < len(result):
        end = _page_end(result, start)
        page = result[start:end]
        page[_SERIAL] = struct.pack("<I", serial)
        page[_CHECKSUM] = bytes(4)
        page[_CHECKSUM] = struct.pack("<I", _crc(page))
        result[start:end] = page
        start = end
    return bytes(result)


def _page_end(stream: bytearray, start: int) -> int:
    if stream[start : start + 4] != _CAPTURE:
        raise ValueError(f"no Ogg page at byte {start}")
    segments = stream[start + 26]
    body = start + _HEADER_BYTES + segments
    return body + sum(stream[start + _HEADER_BYTES : body])


def _crc(page: bytearray) -> int:
    """Ogg's CRC-32: zlib's polynomial, but with bits taken from the top and no inversion before or after."""
    reflected = zlib.crc32(page.translate(_REVERSED_BITS), _ALL_ONES) ^ _ALL_ONES
    return int(f"{reflected:032b}"[::-1], 2)

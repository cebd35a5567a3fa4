"""The commonest WAV, one channel of 16-bit samples, read where they lie. Of any other file it says nothing.

Its chunks are `fmt `, perhaps a `LIST`, and `data`, whose sizes fill the file to its last byte. The samples are
libsndfile's to the last bit.
"""

import struct

import numpy as np

from preprocess.audio.clip import Clip
from preprocess.audio.limits import DecodeLimits, StreamInfo, frame_cap
from shared.errors import RowRejectedError

_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_CHUNK = struct.Struct("<4sI")
_PCM, _FORMAT_BYTES, _VALUE_BYTES, _BITS = 1, 16, 2, 16
_FULL_SCALE = np.float32(1 / 32_768)


def read_plain(encoded: bytes, limits: DecodeLimits) -> Clip | None:
    """The clip of *encoded* where that is such a file and within *limits*; None otherwise."""
    if len(encoded) < _HEADER.size:
        return None
    form, outer, wave, fmt, fmt_bytes, codec, channels, rate, per_second, per_frame, bits, name, size = (
        _HEADER.unpack_from(encoded)
    )
    if (form, wave, fmt, fmt_bytes, codec) != (b"RIFF", b"WAVE", b"fmt ", _FORMAT_BYTES, _PCM):
        return None
    if (channels, per_frame, bits, per_second) != (1, _VALUE_BYTES, _BITS, _VALUE_BYTES * rate):
        return None
    first = _HEADER.size
    if name == b"LIST" and first + size + _CHUNK.size <= len(encoded) and _is_info(encoded[first : first + size]):
        first += size + _CHUNK.size
        name, size = _CHUNK.unpack_from(encoded, first - _CHUNK.size)
    if name != b"data" or size % _VALUE_BYTES or not size or first + size != len(encoded) or outer + 8 != len(encoded):
        return None
    info = StreamInfo(rate, 1, size // _VALUE_BYTES, binding=True)
    try:
        frame_cap(info, limits)
    except RowRejectedError:
        return None
    return Clip(np.frombuffer(encoded, "<i2", offset=first) * _FULL_SCALE, rate)


def _is_info(content: bytes) -> bool:
    """True where texts, each of an even number of bytes behind its name and length, fill *content*."""
    at = 4
    while content.startswith(b"INFO") and at + _CHUNK.size <= len(content):
        name, size = _CHUNK.unpack_from(content, at)
        if not name.isalnum() or size % 2:
            return False
        at += _CHUNK.size + size
    return at == len(content)

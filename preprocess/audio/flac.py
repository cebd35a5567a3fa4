"""FLAC without libsndfile: whole, well-formed files of one or two channels and 16 or 24 bits, as encoders write them.

Of any other file it says nothing, and whoever asked decodes it otherwise. The samples are libsndfile's to the last bit.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from preprocess.audio.clip import Clip
from preprocess.audio.limits import DecodeLimits, StreamInfo, collect, frame_cap
from shared.errors import RowRejectedError

_MAGIC = b"fLaC"
_INFO_BYTES, _SEEK_POINT_BYTES = 34, 18
_INFO, _PADDING, _SEEK_TABLE, _COMMENTS = 0, 1, 3, 4
_MAX_VALUES = 1 << 22
"""Samples of all channels that are decoded at once, 16 MiB: libsndfile gives larger ones block by block."""
_BLOCK_VALUES = 1 << 18
_LEAST_BLOCK, _LARGEST_BLOCK = 16, 1 << 14
_MOST_METADATA = 1 << 16
"""Bytes before the frames. Empty blocks and comments by the million are a C library's to count."""


class _Header(NamedTuple):
    """What a file says of itself, and the byte at which its frames begin."""

    rate: int
    channels: int
    bits: int
    block: int
    num_samples: int
    frames_at: int


def read(encoded: bytes, limits: DecodeLimits) -> Clip | None:
    """The clip of *encoded* where that is one well-formed file to its last byte, within *limits*; None otherwise."""
    header = _header(encoded) if encoded.startswith(_MAGIC) else None
    if header is None or header.num_samples * header.channels > _MAX_VALUES:
        return None
    info = StreamInfo(header.rate, header.channels, header.num_samples, binding=True)
    try:
        frame_cap(info, limits)
        frames = _frames(encoded, header)
        return None if frames is None else collect(_blocks(frames), info, limits)
    except RowRejectedError:
        return None


def _frames(encoded: bytes, header: _Header) -> NDArray[np.float32] | None:
    """All samples, [num_samples, channels]; None where the frames are not what encoders write."""
    from preprocess.audio.flac_frames import HISTORY, SPARE_WORDS, decode_frames  # noqa: PLC0415 - numba: as in `compiled`

    padded = encoded + bytes(-len(encoded) % 4 + 4 * SPARE_WORDS)
    words = np.frombuffer(padded, ">u4").astype(np.uint32)
    frames = np.empty((header.num_samples, header.channels), np.float32)
    about = np.array([header.rate, header.channels, header.bits, header.block], np.int64)
    samples, scratch = np.zeros((2, HISTORY + header.block), np.int32), np.zeros(HISTORY + 1, np.int64)
    end = decode_frames(words, 8 * header.frames_at, about, samples, scratch, frames)
    return frames if end == 8 * len(encoded) else None


def _blocks(frames: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """*frames* as `sndfile` gives them: the energy of channels is summed block by block."""
    if frames.shape[1] == 1:
        yield frames[:, 0]
        return
    size = _BLOCK_VALUES // frames.shape[1]
    for start in range(0, len(frames), size):
        yield frames[start : start + size]


def _header(encoded: bytes) -> _Header | None:
    """What `STREAMINFO` says, None where it is unusual or other blocks of metadata are."""
    head, at, last, kinds = encoded[:_MOST_METADATA], len(_MAGIC), False, []
    while not last:
        if at + 4 > len(head):
            return None
        kind, size = head[at] & 0x7F, int.from_bytes(head[at + 1 : at + 4])
        content, last = head[at + 4 : at + 4 + size], bool(head[at] & 0x80)
        if len(content) < size or not _is_usual(kind, content):
            return None
        kinds.append(kind)
        at += 4 + size
    if kinds[0] != _INFO or kinds.count(_INFO) > 1:
        return None
    least, block, packed = struct.unpack_from(">HH6xQ", encoded, 8)
    rate, channels, bits = packed >> 44, (packed >> 41 & 7) + 1, (packed >> 36 & 31) + 1
    num_samples = packed & (1 << 36) - 1
    usual = least == block and _LEAST_BLOCK <= block <= _LARGEST_BLOCK and channels <= 2 and bits in {16, 24}  # noqa: PLR2004 - stereo
    return _Header(rate, channels, bits, block, num_samples, at) if usual and num_samples else None


def _is_usual(kind: int, content: bytes) -> bool:
    if kind == _COMMENTS:
        return _are_comments(content)
    sizes = {_INFO: len(content) == _INFO_BYTES, _PADDING: True, _SEEK_TABLE: len(content) % _SEEK_POINT_BYTES == 0}
    return sizes.get(kind, False)


def _are_comments(content: bytes) -> bool:
    """True where strings, each behind its length, fill *content*: the writer's name, a number, so many comments."""
    at = _behind_string(content, 0)
    count = int.from_bytes(content[at : at + 4], "little")
    at += 4
    while count and at < len(content):
        at, count = _behind_string(content, at), count - 1
    return at == len(content) and not count


def _behind_string(content: bytes, at: int) -> int:
    return at + 4 + int.from_bytes(content[at : at + 4], "little")

"""What libsndfile reads: WAV and its relatives, FLAC, MP3, Ogg Vorbis and Opus."""

import io
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from preprocess.audio import padding
from preprocess.audio.clip import Clip
from preprocess.audio.formats import LOSSY_SUBTYPES
from preprocess.audio.limits import DecodeLimits, StreamInfo, collect, frame_cap
from shared.errors import RowRejectedError
from shared.schema import QuarantineReason

_BLOCK_VALUES = 1 << 18
# libsndfile says 2^63 - 1 where it knows nothing.
_UNKNOWN_FRAMES = 2**62
# Containers whose frame count is an estimate, or a field that whole clips leave wrong.
_ESTIMATED = frozenset({"MP3", "OGG"})


class Read(NamedTuple):
    """What was read: the *clip*, libsndfile's name of its container, how many bytes of the file were not looked at."""

    clip: Clip
    container: str
    unread_bytes: int


class NotRecognisedError(Exception):
    """libsndfile does not read the file."""


def read(encoded: bytes, limits: DecodeLimits) -> Read:
    """All of *encoded*. Raises `NotRecognisedError`, and `RowRejectedError` where it is damaged or over a limit."""
    buffer = _Encoded(encoded)
    try:
        stream = _Stream(buffer)
    except soundfile.SoundFileRuntimeError as error:
        raise NotRecognisedError(_words(error)) from error
    with stream:
        return Read(_read_all(stream, limits), str(stream.format), len(encoded) - buffer.tell())


class _Stream(soundfile.SoundFile):  # type: ignore[misc]  # soundfile ships no types
    """A file that is read once, forwards: soundfile would seek after each read, which costs MP3 and Opus a decode."""

    def seekable(self) -> bool:
        return False


class _Encoded(io.BytesIO):
    """A file in memory. A seek to nowhere leaves the position as it is, like one in a file on disk."""

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """The new position; never raises."""
        try:
            return super().seek(offset, whence)
        except (OverflowError, ValueError):
            # libsndfile goes where the header says. What a callback raises would be printed, never seen by us.
            return self.tell()


def _read_all(stream: _Stream, limits: DecodeLimits) -> Clip:
    frames = stream.frames if stream.frames < _UNKNOWN_FRAMES else None
    added = padding.LOSSY if stream.subtype.startswith(LOSSY_SUBTYPES) else 0
    info = StreamInfo(stream.samplerate, stream.channels, frames, stream.format not in _ESTIMATED, added)
    num_frames = min(stream.frames, frame_cap(info, limits) + 1)
    try:
        return collect(_blocks(stream, num_frames), info, limits)
    except soundfile.SoundFileRuntimeError as error:
        raise RowRejectedError(
            QuarantineReason.UNDECODABLE, f"damaged or truncated {stream.format} data: {_words(error)}"
        ) from error


def _blocks(stream: _Stream, num_frames: int) -> Iterator[NDArray[np.float32]]:
    """Up to *num_frames* frames: mono in one read, more channels in blocks that bound the interleaved copy."""
    shape = () if stream.channels == 1 else (stream.channels,)
    largest = num_frames if stream.channels == 1 else max(1, _BLOCK_VALUES // stream.channels)
    while num_frames > 0:
        wanted = min(num_frames, largest)
        block: NDArray[np.float32] = stream.read(out=np.empty((wanted, *shape), np.float32))
        yield block
        num_frames = num_frames - wanted if len(block) == wanted else 0


def _words(error: Exception) -> str:
    """What the library said, without Python's name for the buffer."""
    return str(error).rsplit(">: ", 1)[-1].strip() or type(error).__name__

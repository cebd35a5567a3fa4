"""Encoded bytes to float32 mono at 16 kHz, for any input whatever: samples, or `RowRejectedError`.

libsndfile reads WAV, FLAC, MP3, Ogg Vorbis and Opus; `audio_av` reads M4A, AAC and WebM, and files whose header
understates them. What a header claims can refuse a clip early; it never makes us allocate or loop beyond the limits.

What becomes of a file that ends too soon depends on what its container promises. FLAC, RIFF and M4A state their
length, so a transcript would describe more than there is: rejected. The length fields of MP3, Ogg, WebM and streamed
WAV are often missing or wrong in whole clips, so what decodes is the clip, as for a user of soundfile or librosa.
"""

import io
import struct
from collections.abc import Iterator

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from preprocess.audio.limits import DecodeLimits, StreamInfo, collect, frame_cap
from shared.errors import RowRejectedError
from shared.schema import SAMPLING_RATE, QuarantineReason

__all__ = ["DecodeLimits", "decode", "decode_native", "resample"]

_PEAK_LIMIT = 2.0**31
"""Integer samples stored as float reach 2^31; far beyond, the power spectrum overflows float32."""

_BLOCK_VALUES = 1 << 18
# A good file is read to its last byte but for tags. More is audio that the header did not count.
_UNREAD_BYTES = 1_024
# Writers often count a header twice; an eighth of a second of 16-bit 16 kHz audio is no truncation.
_RIFF_SLACK_BYTES = 4_096
# Who writes to a pipe cannot know the size and fills in 2 or 4 GiB, less a header.
_RIFF_UNKNOWN_BYTES = 0x7FFF_0000
# libsndfile says 2^63 - 1 where it knows nothing.
_UNKNOWN_FRAMES = 2**62
# Containers whose frame count is an estimate, or a field that whole clips leave wrong.
_ESTIMATED = frozenset({"MP3", "OGG"})
# Containers whose frames may go on after the count in the header, with the demuxer that reads on.
_DEMUXERS = {"MP3": "mp3", "OGG": "ogg", "FLAC": "flac", "WAV": "wav", "WAVEX": "wav"}
_PCM = frozenset({"WAV", "WAVEX"})
# libsndfile prints to stdout, amid the lines of `--view json`, what it dislikes about a MIDI sample dump.
_SAMPLE_DUMP = b"\xf0\x7e"

_NativeClip = tuple[NDArray[np.float32], int]
"""Mono samples and their sampling rate in Hz."""


def decode(encoded: bytes, limits: DecodeLimits) -> NDArray[np.float32]:
    """The clip as finite float32 mono at 16 kHz, `[num_samples]`, at least one sample.

    Raises `RowRejectedError`: `empty_audio`, `undecodable`, `not_finite`, `too_long` or `too_large`.
    """
    return resample(*decode_native(encoded, limits))


def decode_native(encoded: bytes, limits: DecodeLimits) -> _NativeClip:
    """The clip as float32 mono at its own rate, and that rate in Hz. Raises as `decode` does."""
    if not encoded:
        raise RowRejectedError(QuarantineReason.EMPTY_AUDIO, "the audio is 0 bytes long")
    if len(encoded) > limits.max_encoded_bytes:
        raise RowRejectedError(
            QuarantineReason.TOO_LARGE, f"{len(encoded):,} encoded bytes; the limit is {limits.max_encoded_bytes:,}"
        )
    samples, sampling_rate = _decode_any(encoded, limits)
    if not len(samples):
        raise RowRejectedError(QuarantineReason.EMPTY_AUDIO, "the file is valid and holds no samples")
    # A comparison with NaN is false, so these two find it as well.
    if not (samples.min() >= -_PEAK_LIMIT and samples.max() <= _PEAK_LIMIT):
        raise RowRejectedError(QuarantineReason.NOT_FINITE, "the samples hold NaN, infinity or values beyond 2^31")
    return samples, sampling_rate


def resample(samples: NDArray[np.float32], sampling_rate: int) -> NDArray[np.float32]:
    """Mono *samples* at 16 kHz: soxr HQ with the length that `librosa.resample` gives, `ceil(n * 16000 / rate)`."""
    if sampling_rate == SAMPLING_RATE:
        return samples
    out: NDArray[np.float32] = soxr.resample(samples, sampling_rate, SAMPLING_RATE, quality="soxr_hq")
    num_samples = -(-len(samples) * SAMPLING_RATE // sampling_rate)
    return out[:num_samples] if len(out) >= num_samples else np.pad(out, (0, num_samples - len(out)))


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


def _decode_any(encoded: bytes, limits: DecodeLimits) -> _NativeClip:
    if encoded.startswith(_SAMPLE_DUMP):
        raise RowRejectedError(QuarantineReason.UNDECODABLE, "a MIDI sample dump; such are not read")
    buffer = _Encoded(encoded)
    try:
        stream = _Stream(buffer)
    except soundfile.SoundFileRuntimeError as error:
        return _decode_foreign(encoded, limits, error)
    with stream:
        clip, container = (_read_all(stream, limits), int(stream.samplerate)), str(stream.format)
        num_unread = len(encoded) - buffer.tell()
    _check_riff(encoded)
    # Chunks of metadata follow the samples of a good WAV; only one without any samples was left open by its writer.
    understated = container in _DEMUXERS and (container not in _PCM or not len(clip[0]))
    if understated and num_unread > _UNREAD_BYTES:
        return _decode_further(encoded, limits, _DEMUXERS[container], clip)
    return clip


def _read_all(stream: _Stream, limits: DecodeLimits) -> NDArray[np.float32]:
    frames = stream.frames if stream.frames < _UNKNOWN_FRAMES else None
    info = StreamInfo(stream.samplerate, stream.channels, frames, binding=stream.format not in _ESTIMATED)
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


def _check_riff(encoded: bytes) -> None:
    """Refuses a WAV that ends before the size in its own header; libsndfile would return the part."""
    if encoded[:4] != b"RIFF":
        return
    promised = struct.unpack_from("<I", encoded, 4)[0] + 8
    if promised < _RIFF_UNKNOWN_BYTES and promised - len(encoded) > _RIFF_SLACK_BYTES:
        raise RowRejectedError(
            QuarantineReason.UNDECODABLE,
            f"truncated WAV: its header promises {promised:,} bytes and there are {len(encoded):,}",
        )


def _decode_foreign(encoded: bytes, limits: DecodeLimits, error: Exception) -> _NativeClip:
    """A file that libsndfile does not read."""
    from preprocess.audio import ffmpeg as audio_av  # noqa: PLC0415 - FFmpeg costs an actor 20 MB, which most data sets never need

    demuxer = audio_av.demuxer_of(encoded)
    if demuxer is None:
        raise RowRejectedError(QuarantineReason.UNDECODABLE, f"no audio format: {_words(error)}") from error
    return audio_av.decode(encoded, demuxer, limits)


def _decode_further(encoded: bytes, limits: DecodeLimits, demuxer: str, known: _NativeClip) -> _NativeClip:
    """The whole of a file whose header counts fewer frames than it holds; *known* where FFmpeg finds no more."""
    from preprocess.audio import ffmpeg as audio_av  # noqa: PLC0415 - as in _decode_foreign

    try:
        samples, rate = audio_av.decode(encoded, demuxer, limits)
    except RowRejectedError as error:
        if error.reason == QuarantineReason.UNDECODABLE:
            return known
        raise
    # An encoder's padding, which only libsndfile trims, is no find.
    return (samples, rate) if len(samples) / rate > len(known[0]) / known[1] + 0.1 else known


def _words(error: Exception) -> str:
    """What the library said, without Python's name for the buffer."""
    return str(error).rsplit(">: ", 1)[-1].strip() or type(error).__name__

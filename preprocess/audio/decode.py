"""Encoded bytes to float32 mono at 16 kHz, for any input whatever: samples, or `RowRejectedError`.

libsndfile reads WAV, FLAC, MP3, Ogg Vorbis and Opus; FFmpeg reads what else `formats` lists, and files whose header
understates them. A file of several files (`parts`) is all of them. What a header claims can refuse a clip early; it
never makes us allocate or loop beyond the limits.

What becomes of a file that ends too soon depends on what its container promises. FLAC, RIFF, M4A and others state their
length, so a transcript would describe more than there is: rejected. The length fields of MP3, Ogg, WebM and streamed
WAV are often missing or wrong in whole clips, so what decodes is the clip, as for a user of soundfile or librosa. What
is there and does not decode is never left out of a clip but at its very ends, a frame cut in two.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from preprocess.audio import flac, plain_wav, sndfile
from preprocess.audio.clip import Clip, joined, resample
from preprocess.audio.containers import riff
from preprocess.audio.containers.parts import Part, behind_flac, mpeg_parts, parts
from preprocess.audio.limits import DecodeLimits, too_long
from preprocess.audio.mpeg_decode import decode_stream
from preprocess.audio.padding import fitted
from shared.errors import RowRejectedError
from shared.schema import QuarantineReason
from shared.units import format_counted

__all__ = ["DecodeLimits", "decode", "decode_clip", "decode_native", "resample"]

_PEAK_LIMIT = 2.0**31
"""Integer samples stored as float reach 2^31; far beyond, the power spectrum overflows float32."""
# A good file is read to its last byte but for tags. More is audio that the header did not count.
_UNREAD_BYTES = 1_024
_FURTHER_SECONDS = 0.1
"""An encoder's padding, which only libsndfile trims, is no find."""
# Containers whose frames may go on after the count in the header, with the demuxer that reads on.
_DEMUXERS = {"OGG": "ogg", "FLAC": "flac", "WAV": "wav", "WAVEX": "wav"}
_PCM = frozenset({"WAV", "WAVEX"})
# libsndfile prints to stdout, amid the lines of `--view json`, what it dislikes about a MIDI sample dump.
_SAMPLE_DUMP = b"\xf0\x7e"


def decode(encoded: bytes, limits: DecodeLimits) -> NDArray[np.float32]:
    """The clip as finite float32 mono at 16 kHz, `[num_samples]`, at least one sample.

    Raises `RowRejectedError`: `empty_audio`, `undecodable`, `not_finite`, `too_long` or `too_large`.
    """
    return resample(*decode_native(encoded, limits))


def decode_native(encoded: bytes, limits: DecodeLimits) -> tuple[NDArray[np.float32], int]:
    """The clip as float32 mono at its own rate, and that rate in Hz. Raises as `decode` does."""
    clip = decode_clip(encoded, limits)
    return clip.samples, clip.sampling_rate


def decode_clip(encoded: bytes, limits: DecodeLimits) -> Clip:
    """The clip at its own rate, or at 16 kHz where its parts have several. Raises as `decode` does."""
    if not encoded:
        raise RowRejectedError(QuarantineReason.EMPTY_AUDIO, "the audio is 0 bytes long")
    if len(encoded) > limits.max_encoded_bytes:
        raise RowRejectedError(
            QuarantineReason.TOO_LARGE, f"{len(encoded):,} encoded bytes; the limit is {limits.max_encoded_bytes:,}"
        )
    if encoded.startswith(_SAMPLE_DUMP):
        raise _undecodable("a MIDI sample dump; such are not read")
    # Whole files of the two commonest kinds, whose samples are finite as they come; None is any other.
    plain = plain_wav.read_plain(encoded, limits) or flac.read(encoded, limits)
    return fitted(plain, limits) if plain else _any_clip(encoded, limits)


def _any_clip(encoded: bytes, limits: DecodeLimits) -> Clip:
    clips = _all_clips(encoded, limits)
    if not any(len(clip.samples) for clip in clips):
        raise RowRejectedError(QuarantineReason.EMPTY_AUDIO, "the file is valid and holds no samples")
    clip = fitted(joined(clips), limits)
    samples = clip.samples
    # A comparison with NaN is false, so these two find it as well.
    if not (samples.min() >= -_PEAK_LIMIT and samples.max() <= _PEAK_LIMIT):
        raise RowRejectedError(QuarantineReason.NOT_FINITE, "the samples hold NaN, infinity or values beyond 2^31")
    return clip


def _all_clips(encoded: bytes, limits: DecodeLimits) -> list[Clip]:
    """The clips of all parts."""
    clips: list[Clip] = []
    seconds = 0.0
    for clip in _each_clip(encoded, limits):
        clips.append(clip)
        seconds += clip.seconds - clip.padding / clip.sampling_rate
        if seconds > limits.max_seconds:
            raise too_long(f"{format_counted(len(clips), 'part')} of {seconds:,.3f} s and more", limits)
    return clips


def _each_clip(encoded: bytes, limits: DecodeLimits) -> Iterator[Clip]:
    for part in parts(encoded):
        yield from _clips(part, limits)


def _clips(part: Part, limits: DecodeLimits) -> Iterable[Clip]:
    if part.stream is not None:
        return decode_stream(part.encoded, part.stream, limits, alone=part.alone)
    encoded = part.encoded
    riff.check_length(encoded, part.kind)
    if part.kind == "riff":
        encoded = riff.with_one_data_chunk(encoded)
    try:
        read = sndfile.read(encoded, limits)
    except sndfile.NotRecognisedError as error:
        return _foreign(encoded, limits, str(error))
    if part.kind == "flac" and (end := behind_flac(encoded, len(encoded) - read.unread_bytes)) < len(encoded):
        return chain([read.clip], _each_clip(encoded[end:], limits))
    # Chunks of metadata follow the samples of a good WAV; only one without any samples was left open by its writer.
    understated = read.container in _DEMUXERS and (read.container not in _PCM or not len(read.clip.samples))
    if understated and read.unread_bytes > _UNREAD_BYTES:
        return _further(encoded, limits, _DEMUXERS[read.container], read.clip)
    return [read.clip]


def _foreign(encoded: bytes, limits: DecodeLimits, said: str) -> Sequence[Clip]:
    """A file that libsndfile does not read, or MPEG audio behind junk."""
    from preprocess.audio import ffmpeg  # noqa: PLC0415 - FFmpeg costs an actor 20 MB, which most data sets never need

    decoded = ffmpeg.decode(encoded, limits)
    if decoded is None:
        found = mpeg_parts(encoded)
        if not found:
            raise _undecodable(f"no audio format: {said}")
        return [clip for part in found for clip in _clips(part, limits)]
    if decoded.broken:
        raise _undecodable(f"damaged data after {decoded.seconds:.2f} s: {decoded.broken}")
    return decoded.clips


def _further(encoded: bytes, limits: DecodeLimits, demuxer: str, known: Clip) -> Sequence[Clip]:
    """The whole of a file whose header counts fewer frames than it holds; *known* where FFmpeg finds no more."""
    from preprocess.audio import ffmpeg  # noqa: PLC0415 - as in _foreign

    try:
        decoded = ffmpeg.decode(encoded, limits, demuxer)
    except RowRejectedError as error:
        if error.reason == QuarantineReason.UNDECODABLE:
            return [known]
        raise
    if decoded is None or decoded.seconds <= known.seconds + _FURTHER_SECONDS:
        return [known]
    if decoded.broken:
        raise _undecodable(f"goes on after the {known.seconds:.2f} s that its header counts: {decoded.broken}")
    return decoded.clips


def _undecodable(message: str) -> RowRejectedError:
    return RowRejectedError(QuarantineReason.UNDECODABLE, message)

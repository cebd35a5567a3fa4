"""One stream of MPEG audio to samples, and the proof that none were left out: its frames were counted before."""

from collections.abc import Sequence

from preprocess.audio import sndfile
from preprocess.audio.clip import Clip
from preprocess.audio.containers.mpeg_frames import Stream
from preprocess.audio.limits import DecodeLimits
from shared.errors import RowRejectedError
from shared.schema import QuarantineReason

_DECODER_FRAMES = 4
"""Frames that a decoder may leave out: those whose bits begin before a cut, and its own delay."""


def decode_stream(encoded: bytes, stream: Stream, limits: DecodeLimits, *, alone: bool) -> Sequence[Clip]:
    """The clip of *stream* in the file *encoded*, in which it is *alone* or one of several.

    The count in its Xing header is believed where its frames bear it out. Raises `RowRejectedError` as `decode` does,
    `undecodable` where less decodes than there are frames.
    """
    xing = stream.xing
    trusted = xing is None or not xing.num_frames or xing.num_frames >= stream.num_frames - 1
    content = stream.content(encoded, with_xing=True)
    if trusted and (clip := (_read(encoded, limits) if alone else None) or _read(content, limits)):
        # What LAME counted as padding is gone.
        clip = clip._replace(padding=0) if xing and xing.padding else clip
        if _is_whole(clip, stream):
            return [clip]
    clip = _read(stream.content(encoded, with_xing=False), limits)
    if clip and _is_whole(clip, stream):
        return [clip]
    return _through_ffmpeg(content, stream, limits)


def _read(content: bytes, limits: DecodeLimits) -> Clip | None:
    """What libsndfile reads of *content*, None where it does not take it for MPEG audio."""
    try:
        read = sndfile.read(content, limits)
    except sndfile.NotRecognisedError:
        return None
    return read.clip if read.container == "MP3" else None


def _is_whole(clip: Clip, stream: Stream) -> bool:
    padding = stream.xing.padding if stream.xing else 0
    return len(clip.samples) >= stream.num_samples - padding - _DECODER_FRAMES * stream.frame.samples


def _through_ffmpeg(content: bytes, stream: Stream, limits: DecodeLimits) -> Sequence[Clip]:
    from preprocess.audio import ffmpeg  # noqa: PLC0415 - FFmpeg costs an actor 20 MB, which most data sets never need

    decoded = ffmpeg.decode(content, limits, "mp3")
    seconds = stream.num_samples / stream.frame.kind.rate
    if decoded is None or decoded.broken or not any(_is_whole(clip, stream) for clip in decoded.clips):
        found = decoded.seconds if decoded else 0.0
        message = f"damaged MPEG audio: {found:.2f} s of {seconds:,.2f} s decode"
        raise RowRejectedError(QuarantineReason.UNDECODABLE, message)
    return decoded.clips

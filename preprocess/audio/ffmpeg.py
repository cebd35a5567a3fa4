"""What FFmpeg reads and libsndfile does not, or not to the end. Imported only when such a file appears.

FFmpeg tells the format itself, among those of `formats.DEMUXERS` alone; a file opens no other file, address or video.
"""

import io
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import groupby
from typing import Any, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from preprocess.audio import padding
from preprocess.audio.clip import Clip
from preprocess.audio.containers.mp4_boxes import check_boxes
from preprocess.audio.formats import DEMUXERS, LOSSLESS, STATES_LENGTH
from preprocess.audio.limits import DecodeLimits, StreamInfo, collect, frame_cap, too_long
from shared.errors import RowRejectedError
from shared.schema import QuarantineReason

_TRUNCATION_SECONDS = 0.25
"""AAC encoders add and strip up to an eighth of a second; more is missing data."""
_MAX_STREAMS = 32
"""FFmpeg takes 0.7 MB for each track of a file, whatever it holds. Clips have one, and perhaps a cover or chapters."""
_BROKEN_AT_START = 2
"""Packets that may fail before any decodes: a file that was cut out of a stream begins within a frame."""
_BROKEN_AT_END = 1
"""A file that was cut off ends within a frame."""


class Decoded(NamedTuple):
    """What a file holds: *clips*, one after the other, each of one rate and number of channels.

    *broken* says why there is more that does not decode; it is empty where all did.
    """

    clips: Sequence[Clip]
    broken: str

    @property
    def seconds(self) -> float:
        """How long all are together."""
        return sum(clip.seconds for clip in self.clips)


def demuxer_of(encoded: bytes) -> str | None:
    """FFmpeg's name for the container of *encoded*, None where it is none that is read."""
    try:
        with _opened(encoded, None) as container:
            return _name(container)
    except (*_ERRORS, RowRejectedError):
        return None


def decode(encoded: bytes, limits: DecodeLimits, demuxer: str | None = None) -> Decoded | None:
    """The default audio track, or the first, from its first packet to the last or to one that is broken.

    The format is *demuxer*'s, or what FFmpeg takes it for; None where it takes it for none that is read, or for MP3.
    Raises `RowRejectedError`: `undecodable` (less than the container says, too), `too_long` or `too_large`.
    """
    name = demuxer
    try:
        with _opened(encoded, demuxer) as container:
            name = _name(container)
            return None if name == "mp3" != demuxer else _decode_track(container, limits, binding=name in STATES_LENGTH)
    except _ERRORS as error:
        if name is None:
            return None
        raise _undecodable(f"damaged or truncated {name} data: {error}") from error


_ERRORS = (av.FFmpegError, ValueError, MemoryError, OverflowError)


def _opened(encoded: bytes, demuxer: str | None) -> Any:
    # What these words stand in may be taken for an M4A.
    if demuxer == "mov" or b"moov" in encoded or b"moof" in encoded:
        check_boxes(encoded)
    options = {
        "max_streams": str(_MAX_STREAMS),
        "format_whitelist": ",".join(DEMUXERS),
        "codec_whitelist": _audio_decoders(),
        "protocol_whitelist": "none",
    }
    return av.open(io.BytesIO(encoded), format=demuxer, metadata_errors="replace", container_options=options)


@cache
def _audio_decoders() -> str:
    """All of FFmpeg's decoders of audio: it opens others only to describe tracks that are not read."""
    names = []
    for name in av.codecs_available:
        try:
            codec = av.Codec(name, "r")
        except av.codec.codec.UnknownCodecError:
            continue
        if codec.type == "audio":
            names.append(name)
    return ",".join(sorted(names))


def _name(container: Any) -> str:
    return str(container.format.name).split(",", 1)[0]


def _decode_track(container: Any, limits: DecodeLimits, *, binding: bool) -> Decoded:
    """What is in the track; *binding* says that the container's length is to be believed."""
    track = _track(container)
    track.thread_type = "NONE"
    added = 0 if track.codec_context.name.startswith(LOSSLESS) else padding.LOSSY
    promised = float(track.duration * track.time_base) if binding and track.duration else 0.0
    length = int(promised * track.sample_rate) or None
    frame_cap(StreamInfo(track.sample_rate, track.channels, length, binding, added), limits)
    frames = _Frames(container, track)
    clips: list[Clip] = []
    for (rate, channels), same in groupby(frames, key=lambda frame: (frame.sample_rate, frame.layout.nb_channels)):
        info = StreamInfo(rate, channels, length, binding, added)
        frame_cap(info, limits)
        clips.append(collect(_blocks(same, channels), info, limits))
        if sum(clip.seconds for clip in clips) > limits.max_seconds + added / rate:
            raise too_long("goes on after a change of its rate or channels", limits)
    decoded = Decoded(clips, frames.broken)
    if not decoded.broken and promised - decoded.seconds > _TRUNCATION_SECONDS:
        raise _undecodable(f"truncated {_name(container)}: {decoded.seconds:.2f} s of {promised:,.2f} s decode")
    return decoded


def _track(container: Any) -> Any:
    # A codec that FFmpeg does not know has no context, and then the track has neither rate nor channels.
    tracks = [one for one in container.streams.audio if one.codec_context and one.sample_rate and one.channels]
    if not tracks:
        raise _undecodable("no audio track with a rate and channels")
    return next((track for track in tracks if track.disposition & av.stream.Disposition.default), tracks[0])


class _Frames:
    """Decoded frames of *track*, once, up to the first hole; *broken* then says what failed there."""

    def __init__(self, container: Any, track: Any) -> None:
        self._packets = container.demux(track)
        self.broken = ""

    def __iter__(self) -> Iterator[Any]:
        failed: list[str] = []
        begun = False
        for packet in self._packets:
            try:
                frames = packet.decode()
            except av.FFmpegError as error:
                failed.append(str(error))
                continue
            if frames and len(failed) > (0 if begun else _BROKEN_AT_START):
                self.broken = failed[0]
                return
            if frames:
                begun, failed = True, []
            yield from frames
        if len(failed) > _BROKEN_AT_END:
            self.broken = failed[0]


def _blocks(frames: Iterator[Any], channels: int) -> Iterator[NDArray[np.float32]]:
    """*frames* of one format as interleaved float32 `[frames, channels]`."""
    convert: Any = av.AudioResampler(format="flt")
    for frame in frames:
        for packed in convert.resample(frame):
            yield packed.to_ndarray().reshape(-1, channels)


def _undecodable(message: str) -> RowRejectedError:
    return RowRejectedError(QuarantineReason.UNDECODABLE, message)

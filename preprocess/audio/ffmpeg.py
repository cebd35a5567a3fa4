"""M4A, AAC and WebM through FFmpeg, and files that libsndfile stops reading too soon.

Imported only when such a file appears. The demuxer is chosen here, never by FFmpeg's own guess among hundreds.
"""

import io
from collections.abc import Iterator
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from preprocess.audio.limits import DecodeLimits, StreamInfo, collect, frame_cap
from preprocess.audio.mp4_boxes import check_boxes
from shared.errors import RowRejectedError
from shared.schema import QuarantineReason

_TRUNCATION_SECONDS = 0.25
"""AAC encoders add and strip up to an eighth of a second; more is missing data."""
_OPTIONS = {"max_streams": "32"}
"""FFmpeg takes 0.7 MB for each track of a file, whatever it holds. Clips have one, and perhaps a cover or chapters."""


def demuxer_of(encoded: bytes) -> str | None:
    """FFmpeg's name for the container of *encoded*, None where it is none of M4A, WebM and ADTS AAC."""
    if encoded[4:8] == b"ftyp":
        return "mov"
    if encoded[:4] == b"\x1a\x45\xdf\xa3":
        return "matroska"
    # ADTS: twelve sync bits, then layer 0.
    if len(encoded) > 1 and encoded[0] == 0xFF and encoded[1] & 0xF6 == 0xF0:  # noqa: PLR2004 - the sync word
        return "aac"
    return None


def decode(encoded: bytes, demuxer: str, limits: DecodeLimits) -> tuple[NDArray[np.float32], int]:
    """The first audio track as float32 mono at its own rate, and that rate in Hz.

    Raises `RowRejectedError`: `undecodable` (a truncated M4A too), `too_long` or `too_large`.
    """
    if demuxer == "mov":
        check_boxes(encoded)
    try:
        with av.open(
            io.BytesIO(encoded), format=demuxer, metadata_errors="replace", container_options=_OPTIONS
        ) as container:
            return _decode_track(container, limits, binding=demuxer == "mov")
    except (av.FFmpegError, ValueError, MemoryError, OverflowError) as error:
        raise _undecodable(f"damaged or truncated {demuxer} data: {error}") from error


def _decode_track(container: Any, limits: DecodeLimits, *, binding: bool) -> tuple[NDArray[np.float32], int]:
    """Samples and rate of the first audio track; *binding* says that the container's length is to be believed."""
    track = next(iter(container.streams.audio), None)
    # A codec that FFmpeg does not know has no context, and then the track has neither.
    if track is None or track.codec_context is None or not track.sample_rate or not track.channels:
        raise _undecodable("no audio track with a rate and channels")
    track.thread_type = "NONE"
    rate = int(track.sample_rate)
    promised = float(track.duration * track.time_base) if binding and track.duration else 0.0
    info = StreamInfo(rate, int(track.channels), int(promised * rate) or None, binding=binding)
    frame_cap(info, limits)
    samples = collect(_blocks(container, track, info), info, limits)
    if promised - len(samples) / rate > _TRUNCATION_SECONDS:
        raise _undecodable(f"truncated M4A: {len(samples) / rate:.2f} s of {promised:,.2f} s decode")
    return samples, rate


def _blocks(container: Any, track: Any, info: StreamInfo) -> Iterator[NDArray[np.float32]]:
    """Decoded frames as interleaved float32 `[frames, channels]`."""
    convert: Any = av.AudioResampler(format="flt")
    for frame in container.decode(track):
        if (frame.sample_rate, frame.layout.nb_channels) != (info.sampling_rate, info.channels):
            raise _undecodable("the rate or the number of channels changes within the file")
        for packed in convert.resample(frame):
            yield packed.to_ndarray().reshape(-1, info.channels)


def _undecodable(message: str) -> RowRejectedError:
    return RowRejectedError(QuarantineReason.UNDECODABLE, message)

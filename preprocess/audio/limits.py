"""What one clip may cost to decode, and the one place where that is checked, whichever library decodes."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preprocess.audio.clip import Clip
from shared.errors import RowRejectedError
from shared.schema import QuarantineReason
from shared.units import format_counted

_MIN_SAMPLING_RATE = 1_000
_MAX_SAMPLING_RATE = 768_000
"""Rates outside this range are header damage; the resampler's filters would grow with them."""
_SILENT_POWER = 1e-8
"""Mean square of a channel in which nothing is heard (-80 dB), so that nothing of it can be lost either."""
_KEPT_SHARE = 0.05
"""Of the channels' power; channels that have nothing in common keep half, and one beside a silent one, too."""


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """What one clip may cost. *max_decoded_bytes* counts float32 values of all channels at the native rate."""

    max_seconds: float = 30.0
    max_decoded_bytes: int = 512 * 1024 * 1024
    max_encoded_bytes: int = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What a container says. *num_frames* is None where it says nothing; only a *binding* length can refuse a clip.

    A codec may have added up to *padding* frames: the limit of seconds is applied without them (`padding.fitted`).
    """

    sampling_rate: int
    channels: int
    num_frames: int | None = None
    binding: bool = False
    padding: int = 0


def frame_cap(info: StreamInfo, limits: DecodeLimits) -> int:
    """Frames that a clip may have; decoding one more tells that it goes on.

    Raises `RowRejectedError` where the header alone is enough to refuse the clip.
    """
    rate = info.sampling_rate
    if not _MIN_SAMPLING_RATE <= rate <= _MAX_SAMPLING_RATE:
        raise RowRejectedError(
            QuarantineReason.UNDECODABLE,
            f"the header declares {rate:,} Hz; audio has {_MIN_SAMPLING_RATE:,} to {_MAX_SAMPLING_RATE:,} Hz",
        )
    if info.binding and info.num_frames is not None:
        _check_length(info.num_frames, info, limits)
    return min(int(limits.max_seconds * rate) + info.padding, limits.max_decoded_bytes // (4 * info.channels))


def collect(blocks: Iterable[NDArray[np.float32]], info: StreamInfo, limits: DecodeLimits) -> Clip:
    """All *blocks* (`[frames, channels]` or `[frames]`) as one mono clip; ends at the first over a limit.

    Raises `RowRejectedError` for a clip that is too long or too large.
    """
    parts, num_frames, before, after = [], 0, 0.0, 0.0
    for block in blocks:
        num_frames += len(block)
        _check_length(num_frames, info, limits)
        parts.append(_mono(block))
        if block.ndim > 1 and block.shape[1] > 1:
            before += _energy(block) / block.shape[1]
            after += _energy(parts[-1])
    samples = parts[0] if len(parts) == 1 else np.concatenate(parts) if parts else np.empty(0, np.float32)
    cancelled = before > _SILENT_POWER * num_frames and after < _KEPT_SHARE * before
    return Clip(samples, info.sampling_rate, info.padding, cancelled)


def too_long(length: str, limits: DecodeLimits) -> RowRejectedError:
    """The error for a clip of *length*, which is said in words."""
    return RowRejectedError(QuarantineReason.TOO_LONG, f"{length}; the limit is {limits.max_seconds:g} s")


def _check_length(num_frames: int, info: StreamInfo, limits: DecodeLimits) -> None:
    """Refuses *num_frames*, whether a header claims or a decoder delivered them."""
    if num_frames > limits.max_seconds * info.sampling_rate + info.padding:
        declared = (info.num_frames or 0) / info.sampling_rate
        beyond = declared > limits.max_seconds
        raise too_long(
            f"{declared:,.3f} s" if beyond else f"goes on after {format_counted(num_frames, 'frame')}", limits
        )
    num_bytes = 4 * info.channels * num_frames
    if num_bytes > limits.max_decoded_bytes:
        raise RowRejectedError(
            QuarantineReason.TOO_LARGE,
            f"{num_bytes:,} bytes decoded ({format_counted(info.channels, 'channel')}); the limit is "
            f"{limits.max_decoded_bytes:,}",
        )


def _mono(block: NDArray[np.float32]) -> NDArray[np.float32]:
    """Channels averaged. numpy's own mean is several times slower over an axis as short as this."""
    if block.ndim == 1:
        return block
    if block.shape[1] == 1:
        return block[:, 0]
    # NaN, infinity and overflow are rejected once for the whole clip.
    with np.errstate(over="ignore", invalid="ignore"):
        total: NDArray[np.float32] = block[:, 0] + block[:, 1]
        for channel in range(2, block.shape[1]):
            total += block[:, channel]
        total /= np.float32(block.shape[1])
    return total


def _energy(values: NDArray[np.float32]) -> float:
    """Sum of squares."""
    flat = values.reshape(-1)
    # As in _mono: what overflows here is rejected for the whole clip.
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.dot(flat, flat))

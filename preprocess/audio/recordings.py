"""Parts of long recordings, cut in samples of the recording's own rate: what lies between is neither read nor held.

A part becomes a WAV of the recording's own samples, so that whoever decodes it computes what it would of a clip.
"""

import struct
from dataclasses import dataclass, field
from fractions import Fraction
from math import floor
from typing import BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from preprocess.audio.decode import DecodeLimits, decode_native
from shared.errors import RowRejectedError
from shared.schema import QuarantineReason

OVERHANG = Fraction(1, 10)
"""Seconds that a part may end, or a length be stated, after the recording does: times are rounded, encoders pad."""
_MAX_PART_BYTES = 256 * 1024**2
_MAX_ENCODED_BYTES = 512 * 1024**2
_WHOLE = DecodeLimits(max_seconds=14_400.0, max_decoded_bytes=3 * 1024**3, max_encoded_bytes=_MAX_ENCODED_BYTES)
"""What a recording may cost that can only be decoded from its beginning; its mono samples are held meanwhile."""

_SURE_OF_THEIR_END = frozenset({"WAV", "WAVEX", "RF64", "W64", "AIFF", "CAF", "AU"})
"""What libsndfile finds in these is all there is, unless that is nothing; others may go on after the end it sees."""

_Samples = tuple[NDArray[np.float32], int]


@dataclass(frozen=True, slots=True)
class Part:
    """What of a recording is wanted, in exact seconds; *stop* None: to its end. *channel* from 0; None: all."""

    start: Fraction
    stop: Fraction | None = None
    channel: int | None = None

    def bounds(self, sampling_rate: int) -> tuple[int, int | None]:
        """First sample and the one after the last: each time to the nearest sample, so that parts meet exactly."""
        stop = None if self.stop is None else nearest_sample(self.stop, sampling_rate)
        return nearest_sample(self.start, sampling_rate), stop


def nearest_sample(seconds: Fraction, sampling_rate: int) -> int:
    """The sample nearest to *seconds*, the later one of two."""
    return floor(seconds * sampling_rate + Fraction(1, 2))


@dataclass(slots=True)
class Recording:
    """An open *file* that parts are cut from. libsndfile seeks to the very sample; what it cannot read is decoded once.

    Not safe to share between threads; closing the file is the caller's.
    """

    file: BinaryIO
    _sound: soundfile.SoundFile | None = None
    _mono: _Samples | None = None
    _unreadable: bool = field(default=False)

    def wav(self, part: Part) -> bytes:
        """*part* as a WAV of float32 samples, the same on every call.

        Raises RowRejectedError: `empty_audio` for no samples, `undecodable` for a part that is not all there or a
        channel that there is not, `too_large`, and what decoding raises.
        """
        if part.start < 0 or (part.stop is not None and part.stop <= part.start):
            raise RowRejectedError(QuarantineReason.EMPTY_AUDIO, f"nothing lies from {_words(part)}")
        found = self._seek(part)
        samples, rate = found if found is not None else self._decoded(part)
        if not len(samples):
            raise RowRejectedError(QuarantineReason.EMPTY_AUDIO, f"nothing lies from {_words(part)}")
        return _wav(samples, rate)

    def _seek(self, part: Part) -> _Samples | None:
        """The part by seeking; None where libsndfile cannot open the file, or finds less in it than is wanted."""
        sound = self._opened()
        if sound is None:
            return None
        rate = int(sound.samplerate)
        if part.stop is None and sound.format not in _SURE_OF_THEIR_END and self._goes_on(sound):
            return None
        first, stop = part.bounds(rate)
        wanted = (sound.frames if stop is None else min(stop, sound.frames)) - first
        if wanted <= 0 or (stop is not None and stop - sound.frames > OVERHANG * rate):
            if sound.frames and sound.format in _SURE_OF_THEIR_END:
                raise _not_there(part, sound.frames, rate)
            return None
        _check_size(wanted * sound.channels)
        try:
            sound.seek(first)
            samples = sound.read(wanted, dtype="float32", always_2d=True)
        except soundfile.SoundFileRuntimeError:
            return None
        return None if len(samples) < wanted else (_channel(samples, part), rate)

    def _opened(self) -> soundfile.SoundFile | None:
        if self._sound is None and not self._unreadable:
            self.file.seek(0)
            try:
                self._sound = soundfile.SoundFile(self.file)
            except soundfile.SoundFileRuntimeError:
                self._unreadable = True
        return self._sound

    def _goes_on(self, sound: soundfile.SoundFile) -> bool:
        """Whether the file has more than libsndfile counts: it is joined, or its count is an estimate."""
        mono, rate = self._whole()
        return bool(len(mono) / rate > sound.frames / sound.samplerate + OVERHANG)

    def _whole(self) -> _Samples:
        """All that any decoder finds in the file, mixed down."""
        if self._mono is None:
            self.file.seek(0)
            self._mono = decode_native(self.file.read(_MAX_ENCODED_BYTES + 1), _WHOLE)
        return self._mono

    def _decoded(self, part: Part) -> _Samples:
        """The part of what `_whole` finds."""
        mono, rate = self._whole()
        if part.channel is not None and (self._sound is None or self._sound.channels > 1):
            message = (
                f"channel {part.channel} cannot be had: all that can be read of this file is a mix of its channels"
            )
            raise RowRejectedError(QuarantineReason.UNDECODABLE, message)
        first, stop = part.bounds(rate)
        if first >= len(mono) or (stop is not None and stop - len(mono) > OVERHANG * rate):
            raise _not_there(part, len(mono), rate)
        found = mono[first:stop]
        _check_size(len(found))
        return found.reshape(-1, 1), rate


def _not_there(part: Part, num_samples: int, rate: int) -> RowRejectedError:
    message = f"the part goes from {_words(part)}, and the recording has {num_samples / rate:,.3f} s"
    return RowRejectedError(QuarantineReason.UNDECODABLE, message)


def _channel(samples: NDArray[np.float32], part: Part) -> NDArray[np.float32]:
    if part.channel is None:
        return samples
    if not 0 <= part.channel < samples.shape[1]:
        message = f"channel {part.channel} of a recording with {samples.shape[1]} (counted from 0)"
        raise RowRejectedError(QuarantineReason.UNDECODABLE, message)
    return samples[:, part.channel : part.channel + 1]


def _check_size(num_values: int) -> None:
    if 4 * num_values > _MAX_PART_BYTES:
        message = f"a part of {4 * num_values:,} bytes decoded; the limit is {_MAX_PART_BYTES:,}"
        raise RowRejectedError(QuarantineReason.TOO_LARGE, message)


def _words(part: Part) -> str:
    stop = "its end" if part.stop is None else f"{float(part.stop):,.3f} s"
    return f"{float(part.start):,.3f} s to {stop}"


def _wav(samples: NDArray[np.float32], rate: int) -> bytes:
    """By hand: libsndfile would write the time of day into it."""
    content = np.ascontiguousarray(samples, "<f4").tobytes()
    channels = samples.shape[1]
    layout = struct.pack("<HHIIHH", 3, channels, rate, 4 * channels * rate, 4 * channels, 32)
    head = struct.pack(
        "<4sI4s4sI16s4sI", b"RIFF", 36 + len(content), b"WAVE", b"fmt ", 16, layout, b"data", len(content)
    )
    return head + content

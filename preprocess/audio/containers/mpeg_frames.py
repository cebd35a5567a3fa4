"""The streams of a file of MPEG audio frames (MP3, MP2), found by walking from frame to frame.

A file joined by `cat` is several streams, each with its own tags, Xing header, rate and channels. What stands between
frames (tags, junk, zeros) is left out. Frames of the free format are not recognised; libsndfile reads those alone.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from preprocess.audio.containers import adts
from preprocess.audio.containers.starts import after_tags, kind_at

_JUNK_BYTES = 1 << 20
"""Bytes that are searched for a frame in all, as many as FFmpeg looks at to tell a format."""
_CONFIRMED_FRAMES = 3
"""Frames in a row that make a stream after junk; one alone is chance."""
# Eleven bits of sync, then a version, a layer, a bit rate and a sampling rate that are none of the forbidden.
_RATES = b"".join(rb"\x%x0-\x%xb" % (index, index) for index in range(1, 15))
_SYNC = re.compile(rb"\xff[\xe2-\xe7\xf2-\xf7\xfa-\xff][%s]" % _RATES)
_KBIT = {
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Bit rates in kbit/s by (version 1, layer), from index 1 on."""
_HERTZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
"""Sampling rates by the version's two bits: 1, 2 and 2.5."""
_NAMES = (b"Xing", b"Info", b"VBRI")
_MONO = 3
_HEADER_BYTES = 4


class Kind(NamedTuple):
    """What all frames of a stream share."""

    rate: int
    version: int
    layer: int
    mono: bool


class Frame(NamedTuple):
    """One frame's header: *size* bytes with it, *samples* per channel."""

    size: int
    samples: int
    kind: Kind


class Xing(NamedTuple):
    """The first frame of most streams, which has no audio: how many frames follow, and how many samples are padding.

    Either is 0 where it does not say.
    """

    num_frames: int
    padding: int


@dataclass(slots=True)
class Stream:
    """One stream: where its frames lie (*runs* of bytes), what they have in common, how many they are with *xing*'s."""

    frame: Frame
    xing: Xing | None
    runs: list[tuple[int, int]] = field(default_factory=list)
    num_frames: int = 0

    @property
    def num_samples(self) -> int:
        """Samples of its frames of audio, padding included."""
        return (self.num_frames - (self.xing is not None)) * self.frame.samples

    def content(self, encoded: bytes, *, with_xing: bool) -> bytes:
        """Its frames without anything between them."""
        first, *rest = self.runs
        start = first[0] + (0 if with_xing or self.xing is None else self.frame.size)
        return b"".join(encoded[begin:end] for begin, end in [(start, first[1]), *rest])


def streams(encoded: bytes, at: int = 0) -> list[Stream]:
    """The streams from byte *at* on, in order, up to the end or to a file of another kind; none where no frames are."""
    found: list[Stream] = []
    for start, end, num_frames in _runs(encoded, at):
        frame = _frame_at(encoded, start)
        assert frame is not None
        xing = _xing(encoded, start, frame)
        if not found or xing is not None or frame.kind != found[-1].frame.kind:
            found.append(Stream(frame, xing))
        found[-1].runs.append((start, end))
        found[-1].num_frames += num_frames
    return found


def follow(encoded: bytes, at: int, number: int) -> bool:
    """True where *number* whole frames of one kind follow each other from byte *at* on."""
    first = _frame_at(encoded, at)
    for _ in range(number):
        frame = _frame_at(encoded, at)
        if first is None or frame is None or frame.kind != first.kind or at + frame.size > len(encoded):
            return False
        at += frame.size
    return True


def begins(encoded: bytes, at: int) -> bool:
    """True where frames follow each other from byte *at* on."""
    return _confirmed(encoded, at)


def _runs(encoded: bytes, at: int) -> Iterator[tuple[int, int, int]]:
    """Frames of one kind without anything between them: first byte, end, number."""
    junk = _JUNK_BYTES
    while True:
        at = after_tags(encoded, at)
        start = _next_frame(encoded, at, junk)
        if start is None:
            return
        junk -= start - at
        at, num_frames = _run(encoded, start)
        yield start, at, num_frames


def _run(encoded: bytes, start: int) -> tuple[int, int]:
    """Where the frames that begin at *start* end, and how many there are; a Xing frame begins another run."""
    first = _frame_at(encoded, start)
    at, count, kind = start, 0, first.kind if first else None
    name = _next_name(encoded, start + (first.size if first else 0))
    while (frame := _frame(encoded[at : at + _HEADER_BYTES])) and frame.kind == kind:
        if at + frame.size > len(encoded):
            # Cut off within a frame: its bytes go along, but it does not count.
            return len(encoded), count
        if at + frame.size > name:
            if _xing(encoded, at, frame):
                break
            name = _next_name(encoded, at + frame.size)
        at += frame.size
        count += 1
    return at, count


def _next_name(encoded: bytes, at: int) -> int:
    """Where the next name of a header such as Xing's is, by chance or not; the end of *encoded* where there is none."""
    found = [place for name in _NAMES if (place := encoded.find(name, at)) >= 0]
    return min(found, default=len(encoded))


def _next_frame(encoded: bytes, at: int, most_junk: int) -> int | None:
    """Where the next frames begin, behind at most *most_junk* bytes of junk; None where another file begins there."""
    if _confirmed(encoded, at):
        return at
    end = min(at + most_junk, len(encoded))
    while not _is_other(encoded, at) and (found := _SYNC.search(encoded, at, end)):
        at = found.start()
        if _confirmed(encoded, at):
            return at
        at += 1
    return None


def _is_other(encoded: bytes, at: int) -> bool:
    return kind_at(encoded, at) is not None or adts.begins(encoded, at)


def _confirmed(encoded: bytes, at: int) -> bool:
    """True where frames of one kind follow each other from *at* on, enough of them or to the end of the file."""
    first = _frame_at(encoded, at)
    for _ in range(_CONFIRMED_FRAMES):
        frame = _frame_at(encoded, at)
        if first is None or frame is None or frame.kind != first.kind:
            return False
        at += frame.size
        if after_tags(encoded, at) == len(encoded):
            return True
    return True


def _frame_at(encoded: bytes, at: int) -> Frame | None:
    return _frame(encoded[at : at + _HEADER_BYTES])


@lru_cache(maxsize=1 << 12)
def _frame(header: bytes) -> Frame | None:
    """What *header* says, None where it is none."""
    if len(header) < _HEADER_BYTES or not _SYNC.match(header):
        return None
    _, first, rates, mode = header
    version, layer = first >> 3 & 3, 4 - (first >> 1 & 3)
    rate = _HERTZ[version][rates >> 2 & 3]
    bits = 1_000 * _KBIT[version == 3, layer][(rates >> 4) - 1]  # noqa: PLR2004 - version 1
    padded = rates >> 1 & 1
    shared = Kind(rate, version, layer, mode >> 6 == _MONO)
    if layer == 1:
        return Frame(4 * (12 * bits // rate + padded), 384, shared)
    samples = 576 if layer == 3 and version != 3 else 1_152  # noqa: PLR2004 - layer III of version 2 and 2.5
    return Frame(samples // 8 * bits // rate + padded, samples, shared)


def _xing(encoded: bytes, at: int, frame: Frame) -> Xing | None:
    """The Xing, Info or VBRI header in the frame at *at*, None where it is a frame of audio."""
    beside = {(True, True): 17, (True, False): 32, (False, True): 9, (False, False): 17}
    head = at + _HEADER_BYTES + beside[frame.kind.version == 3, frame.kind.mono]  # noqa: PLR2004 - version 1
    content = encoded[head : at + frame.size]
    if content[:4] in {b"Xing", b"Info"}:
        return _counts(content)
    vbri = encoded[at + 36 : at + frame.size]
    if vbri[:4] == b"VBRI":
        return Xing(int.from_bytes(vbri[14:18]), 0)
    return None


def _counts(content: bytes) -> Xing:
    flags = int.from_bytes(content[4:8])
    num_frames = int.from_bytes(content[8:12]) if flags & 1 else 0
    # Frames, bytes, a table and a quality come first, each if its flag is set; then what LAME added.
    lame = 8 + sum(size for bit, size in enumerate((4, 4, 100, 4)) if flags >> bit & 1)
    paddings = int.from_bytes(content[lame + 21 : lame + 24])
    return Xing(num_frames, (paddings >> 12) + (paddings & 0xFFF))

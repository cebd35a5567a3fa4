"""A file's parts: whole files one after the other in it, as `cat` or a chain of Ogg links makes them."""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

from preprocess.audio.containers import adts, links, mp4_boxes, mpeg_frames, stated_ends
from preprocess.audio.containers.mpeg_frames import Stream
from preprocess.audio.containers.riff import read_wav
from preprocess.audio.containers.starts import after_tags, kind_at, next_of, starts_behind
from shared.errors import RowRejectedError
from shared.schema import QuarantineReason

_MAX_PARTS = 1_000
_UNANNOUNCED_FRAMES = 5
"""Frames in a row that are no chance among the bytes of a codec, in millions of clips."""
_LAST_FRAMES = 12 << 10
"""Bytes that some frames of MPEG audio or AAC, with a tag behind them, fit into."""
_SYNC = re.compile(rb"\xff[\xe2-\xff][^\xff]")
_READ_AHEAD = 12 << 10
"""Bytes that a decoder may have looked at behind the end of its file: libFLAC reads 8 KiB at a time."""


class Part(NamedTuple):
    """One file: its bytes and what kind it is, None where it is of none that `starts` knows.

    Of MPEG audio, *stream* says which bytes, and *alone* that there is no other.
    """

    encoded: bytes
    kind: str | None = None
    stream: Stream | None = None
    alone: bool = False


def parts(encoded: bytes) -> Iterator[Part]:
    """The parts of *encoded*, one or more, in order; a file that begins at once and has no other is that part.

    What follows the last part and begins no file is left out. Raises `RowRejectedError` for too many parts.
    """
    for number, part in enumerate(_parts(encoded)):
        if number >= _MAX_PARTS:
            message = f"a file of more than {_MAX_PARTS:,} files; the limit is {_MAX_PARTS:,}"
            raise RowRejectedError(QuarantineReason.TOO_LARGE, message)
        yield part


def mpeg_parts(encoded: bytes, at: int = 0) -> list[Part]:
    """The streams of MPEG audio from byte *at* on; none where there are no frames."""
    found = mpeg_frames.streams(encoded, at)
    return [Part(encoded, "mpeg", one) for one in found]


def next_file(encoded: bytes, at: int) -> int:
    """Where a file of any kind, or MPEG audio or AAC, begins behind byte *at*; the end where none does."""
    begun = (start for start in starts_behind(encoded, at) if _begins(encoded, _start(encoded, start)))
    named = min(begun, default=len(encoded))
    # Frames that nothing announces go on to the end, as a rule, and looking for them there costs little.
    bare = _next_frames(encoded, max(at + 1, len(encoded) - _LAST_FRAMES)) < len(encoded)
    return min(named, _next_frames(encoded, at + 1)) if bare else named


def _next_frames(encoded: bytes, at: int) -> int:
    """Where frames of MPEG audio or AAC begin from byte *at* on that nothing announces; the end where none do."""
    for found in _SYNC.finditer(encoded, at):
        if mpeg_frames.follow(encoded, found.start(), _UNANNOUNCED_FRAMES) or adts.begins(encoded, found.start()):
            return found.start()
    return len(encoded)


def behind_flac(encoded: bytes, read_bytes: int) -> int:
    """As `next_file`, behind the FLAC that begins *encoded* and of which a decoder has looked at *read_bytes*.

    All of a large file is not searched: that would take as long as decoding it.
    """
    at, last = 4, False
    while not last and at + 4 <= len(encoded):
        # Metadata may hold the header of the WAV that this was made from.
        last = bool(encoded[at] & 0x80)
        at += 4 + int.from_bytes(encoded[at + 1 : at + 4])
    return next_file(encoded, max(at, read_bytes - _READ_AHEAD))


def _parts(encoded: bytes) -> Iterator[Part]:
    at = 0
    while at < len(encoded):
        start = _start(encoded, at)
        kind = kind_at(encoded, start)
        if kind is not None:
            end = _ENDS[kind](encoded, start) if kind in _ENDS else next_file(encoded, start)
            if after_tags(encoded, end) < len(encoded) and not _begins(encoded, _start(encoded, end)):
                end = len(encoded)
            yield Part(encoded if end - start == len(encoded) else encoded[start:end], kind)
            at = end
            continue
        if (end := adts.end_of(encoded, start)) > start:
            yield Part(encoded if end - start == len(encoded) else encoded[start:end])
            at = end
            continue
        found = mpeg_parts(encoded, start) if mpeg_frames.begins(encoded, start) else []
        at_end = found[-1].stream.runs[-1][1] if found and found[-1].stream else len(encoded)
        if len(found) == 1 and not at and not _begins(encoded, _start(encoded, at_end)):
            yield found[0]._replace(alone=True)
        else:
            yield from found
        if not found and not at:
            yield Part(encoded)
        at = at_end


def _begins(encoded: bytes, at: int) -> bool:
    return kind_at(encoded, at) is not None or mpeg_frames.begins(encoded, at) or adts.begins(encoded, at)


def _start(encoded: bytes, at: int) -> int:
    """Where a file begins from *at* on, behind tags and zeros."""
    if kind_at(encoded, at):
        return at
    start = after_tags(encoded, at)
    # An M4A begins with the zeros of its first size.
    return next((start - zeros for zeros in (2, 3) if start - zeros > at and kind_at(encoded, start - zeros)), start)


_ENDS: Mapping[str, Callable[[bytes, int], int]] = {
    "riff": lambda encoded, at: read_wav(encoded, at).end,
    "ogg": links.next_ogg,
    "mp4": mp4_boxes.next_file,
    "wavpack": links.next_wavpack,
    "aiff": stated_ends.end_of_aiff,
    "avi": stated_ends.end_of_avi,
    "au": stated_ends.end_of_au,
    "caf": stated_ends.end_of_caf,
    "w64": stated_ends.end_of_w64,
    "ebml": stated_ends.end_of_ebml,
    # What is in it may begin as other files do: `behind_flac`.
    "flac": partial(next_of, "flac"),
    # Keeps the header of the WAV that it was made from.
    "ape": partial(next_of, "ape"),
}
"""Where a file of a kind ends; of others, where the next file begins."""

"""The lengths that WAV, AIFF, AU, CAF and W64 state: which of them fit the file, and where a WAV ends.

Where they differ from each other, the one of the audio itself counts.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from preprocess.audio.containers.starts import kind_at, next_of
from shared.errors import RowRejectedError
from shared.schema import QuarantineReason

# Writers often count a header twice; an eighth of a second of 16-bit 16 kHz audio is no truncation.
_SLACK_BYTES = 4_096
# Who writes to a pipe cannot know the size and fills in 2 or 4 GiB, less a header.
_UNKNOWN_BYTES = 0x7FFF_0000
_HEADER_BYTES = 8
_FORM_BYTES = 12
_LONG_SIZES = struct.Struct("<4sIQQ")
_MAX_CHUNKS = 10_000
_PRINTABLE = range(0x20, 0x7F)
_BEHIND_AUDIO = frozenset(
    (
        b"LIST",
        b"data",
        b"id3 ",
        b"ID3 ",
        b"bext",
        b"iXML",
        b"axml",
        b"_PMX",
        b"cue ",
        b"smpl",
        b"JUNK",
        b"junk",
        b"FLLR",
        b"PAD ",
        b"acid",
        b"inst",
    )
)


@dataclass(slots=True)
class Wav:
    """One WAV in a file: the spans of bytes that are its audio, of which *missing_bytes* lie beyond the file's end.

    *end* is where its chunks end: at the next file, at what is no chunk, or at the end. *outer_end* is where its first
    header says so.
    """

    outer_end: int
    end: int
    audio: list[tuple[int, int]] = field(default_factory=list)
    missing_bytes: int = 0


def read_wav(encoded: bytes, at: int = 0) -> Wav:
    """The WAV that begins at byte *at*, from its chunks' headers."""
    layout = ">4sI" if encoded[at : at + 4] == b"RIFX" else "<4sI"
    form, outer = struct.unpack_from(layout, encoded, at)
    wav = Wav(at + _HEADER_BYTES + outer, len(encoded))
    sizes = _long_sizes(encoded, at) if form in {b"RF64", b"BW64"} else {}
    at += _FORM_BYTES
    for _ in range(_MAX_CHUNKS):
        if not _is_chunk(encoded, at):
            wav.end = min(at, len(encoded))
            break
        name, size = struct.unpack_from(layout, encoded, at)
        first = at + _HEADER_BYTES
        end = first + sizes.get(name, size)
        if wav.audio and end > len(encoded) and name not in _BEHIND_AUDIO:
            # Samples may look like a name, but seldom have a size that fits.
            wav.end = at
            break
        if name == b"data" and _is_open(wav, first, end, len(encoded)):
            # No size says where it ends: what it holds is all up to the next WAV.
            wav.end = next_of("riff", encoded, at)
            break
        at = _after(encoded, end)
    return wav


def with_one_data_chunk(encoded: bytes) -> bytes:
    """The WAV *encoded* with the contents of its `data` chunks in one, since libsndfile reads one alone."""
    wav = read_wav(encoded)
    if len(wav.audio) < 2:  # noqa: PLR2004 - several
        return encoded
    content = b"".join(encoded[first:end] for first, end in wav.audio)
    first, _ = wav.audio[0]
    size = len(content).to_bytes(4, "big" if encoded.startswith(b"RIFX") else "little")
    return encoded[: first - 4] + size + content


def check_length(encoded: bytes, kind: str | None) -> None:
    """Raises `RowRejectedError`, `undecodable`, where *encoded*, a file of *kind*, has less audio than it says.

    libsndfile would return the part. Files of other kinds pass.
    """
    if kind == "riff":
        _check_wav(encoded)
    elif kind is not None and kind in _PROMISES:
        end = _PROMISES[kind](encoded)
        if end is not None and end - len(encoded) > _SLACK_BYTES:
            raise _undecodable(f"truncated {kind}: its audio ends at byte {end:,} and there are {len(encoded):,}")


def _check_wav(encoded: bytes) -> None:
    """Refuses a WAV that was cut off.

    The size of its `data` chunk decides, not that of the whole, which is often wrong; only where the whole fits the
    file to a few bytes, so that nothing was cut off, that chunk is not believed.
    """
    wav = read_wav(encoded)
    missing = wav.missing_bytes
    if not wav.audio and wav.outer_end < _UNKNOWN_BYTES:
        missing = wav.outer_end - len(encoded)
    whole = abs(wav.outer_end - len(encoded)) <= _SLACK_BYTES
    if not whole and missing > _SLACK_BYTES:
        raise _undecodable(f"truncated WAV: {missing:,} bytes of the audio that its header promises are not there")
    # Between the end of the chunks and that of the whole lies what neither a chunk nor a tag can be.
    uncounted = min(wav.outer_end, len(encoded)) - wav.end
    if wav.audio and uncounted > _SLACK_BYTES and encoded[wav.end : wav.end + uncounted].strip(b"\0"):
        raise _undecodable(f"a WAV whose data chunk leaves out {uncounted:,} bytes that the whole counts")


def _is_open(wav: Wav, first: int, end: int, file_end: int) -> bool:
    """Counts a `data` chunk from byte *first* to *end*; True where its size does not say where it ends."""
    size = end - first
    wav.audio.append((first, min(end, file_end)))
    if size < _UNKNOWN_BYTES:
        wav.missing_bytes += max(0, end - file_end)
    # A size of 0 that something follows was left open by its writer.
    return end > file_end or (not size and file_end > first)


def _is_chunk(encoded: bytes, at: int) -> bool:
    """True where a chunk may begin, and no other file does."""
    if at + _HEADER_BYTES > len(encoded) or kind_at(encoded, at):
        return False
    return all(value in _PRINTABLE for value in encoded[at : at + 4])


def _after(encoded: bytes, end: int) -> int:
    """Where the chunk after one that ends at *end* begins: chunks are padded to an even length, not by everybody."""
    return end + 1 if end % 2 and not _is_chunk(encoded, end) else end


def _long_sizes(encoded: bytes, at: int) -> dict[bytes, int]:
    """The 64-bit size of `data` that an RF64 keeps in its first chunk."""
    head = encoded[at + _FORM_BYTES : at + _FORM_BYTES + _LONG_SIZES.size]
    name, _, _, size = _LONG_SIZES.unpack(head.ljust(_LONG_SIZES.size, b"\0"))
    return {b"data": size} if name == b"ds64" else {}


class _Chunks(NamedTuple):
    """How chunks lie in a file: after *first* bytes, each with a *header* of name and size; the audio's is *audio*."""

    first: int
    header: struct.Struct
    audio: bytes
    size_has_header: bool = False
    align: int = 1


def _end_of_chunk(chunks: _Chunks, encoded: bytes) -> int | None:
    """Where the audio ends by its own size, None where that says nothing."""
    at = chunks.first
    for _ in range(_MAX_CHUNKS):
        if at + chunks.header.size > len(encoded):
            break
        name, size = chunks.header.unpack_from(encoded, at)
        end = at + size + (0 if chunks.size_has_header else chunks.header.size)
        if name.startswith(chunks.audio):
            return end if 0 < size < _UNKNOWN_BYTES else None
        if end <= at:
            break
        at = -(-end // chunks.align) * chunks.align
    return None


def _end_of_au(encoded: bytes) -> int | None:
    first, size = struct.unpack_from(">II", encoded, 4)
    return first + size if size < _UNKNOWN_BYTES else None


_AIFF = _Chunks(_FORM_BYTES, struct.Struct(">4sI"), b"SSND", align=2)
_CAF = _Chunks(8, struct.Struct(">4sq"), b"data")
_W64 = _Chunks(40, struct.Struct("<16sQ"), b"data", size_has_header=True, align=8)
_PROMISES: Mapping[str, Callable[[bytes], int | None]] = {
    "aiff": partial(_end_of_chunk, _AIFF),
    "caf": partial(_end_of_chunk, _CAF),
    "w64": partial(_end_of_chunk, _W64),
    "au": _end_of_au,
}


def _undecodable(message: str) -> RowRejectedError:
    return RowRejectedError(QuarantineReason.UNDECODABLE, message)

"""Where files end that state their length. What follows them is another file, or junk."""

from preprocess.audio.containers.starts import next_of

_CAF_CHUNKS = frozenset(
    b"desc data chan kuki pakt info mark regn strg umid ovvw peak edct midi inst uuid free magc cues".split()
)
_SEGMENT = b"\x18\x53\x80\x67"
_UNKNOWN_AU = 0xFFFFFFFF
_UNKNOWN_CAF = (1 << 64) - 1


def end_of_aiff(encoded: bytes, at: int) -> int:
    """The end of the AIFF at byte *at*: its FORM with the pad byte of an odd one."""
    size = int.from_bytes(encoded[at + 4 : at + 8])
    return _within(encoded, at, 8 + size + size % 2)


def end_of_avi(encoded: bytes, at: int) -> int:
    """The end of the AVI at byte *at*: its RIFF."""
    return _within(encoded, at, 8 + int.from_bytes(encoded[at + 4 : at + 8], "little"))


def end_of_au(encoded: bytes, at: int) -> int:
    """The end of the AU at byte *at*; that of *encoded* where its size is left open."""
    head, size = (int.from_bytes(encoded[at + skip : at + skip + 4]) for skip in (4, 8))
    return len(encoded) if size == _UNKNOWN_AU else _within(encoded, at, head + size)


def end_of_w64(encoded: bytes, at: int) -> int:
    """The end of the Wave64 at byte *at*, whose size counts its own 24 bytes; chunks are aligned to 8."""
    size = int.from_bytes(encoded[at + 16 : at + 24], "little")
    return _within(encoded, at, -(-size // 8) * 8)


def end_of_caf(encoded: bytes, at: int) -> int:
    """The end of the last chunk of the CAF at byte *at*; that of *encoded* where its data is left open."""
    end = at + 8
    while end + 12 <= len(encoded) and encoded[end : end + 4] in _CAF_CHUNKS:
        size = int.from_bytes(encoded[end + 4 : end + 12])
        if size == _UNKNOWN_CAF:
            return len(encoded)
        end = _within(encoded, end, 12 + size)
    return end


def end_of_ebml(encoded: bytes, at: int) -> int:
    """The end of the Matroska or WebM at byte *at*, a header and a segment; where it is left open, the next one."""
    segment = _after_element(encoded, at) or at
    end = _after_element(encoded, segment) if encoded.startswith(_SEGMENT, segment) else None
    return next_of("ebml", encoded, at) if end is None else min(end, len(encoded))


def _after_element(encoded: bytes, at: int) -> int | None:
    """Behind the element at *at*, whose id has 4 bytes; None where its size, as RFC 8794 writes it, is left open."""
    first = encoded[at + 4] if at + 4 < len(encoded) else 0
    if not first:
        return None
    width = 9 - first.bit_length()
    size = int.from_bytes(encoded[at + 4 : at + 4 + width]) & (1 << 7 * width) - 1
    return None if size == (1 << 7 * width) - 1 else at + 4 + width + size


def _within(encoded: bytes, at: int, size: int) -> int:
    return min(at + size, len(encoded))

"""How files begin that may follow each other in one: tags to skip, magic numbers too long to come by chance."""

import re
from collections.abc import Iterator
from itertools import chain

_WAVES = (rb"RIF[FX]....WAVE", rb"RF64....WAVE", rb"BW64....WAVE")
_STARTS = {
    "riff": b"(?:%s)" % b"|".join(_WAVES),
    "avi": rb"RIFF....AVI LIST",
    "ogg": rb"OggS\x00[\x02\x06]",
    "flac": rb"fLaC[\x00\x80]\x00\x00\x22",
    "mp4": rb"\x00\x00..ftyp",
    "ebml": rb"\x1a\x45\xdf\xa3.{1,48}?\x42\x82[\x80-\x8f](?:webm|matroska)",
    "aiff": rb"FORM....AIF[FC]",
    "au": rb"\.snd\x00\x00......\x00\x00\x00[\x01-\x1b]\x00[\x00-\x0b]..\x00\x00\x00.",
    "w64": rb"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00",
    "caf": rb"caff\x00\x01\x00\x00desc",
    "asf": rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c",
    "amr": rb"#!AMR(?:-WB)?\n",
    "tta": rb"TTA1[\x01\x02]\x00[\x01-\x08]\x00",
    "ape": rb"MAC .[\x0d-\x0f]\x00\x00",
    "wavpack": rb"wvpk...\x00.\x04",
    "voc": rb"Creative Voice File\x1a",
    "musepack": rb"MPCKSH",
    "dsf": rb"DSD \x1c\x00\x00\x00\x00\x00\x00\x00",
    "flv": rb"FLV\x01[\x01\x04\x05]\x00\x00\x00\x09",
}
_PATTERNS = {kind: re.compile(pattern, re.DOTALL) for kind, pattern in _STARTS.items()}
# One by one and each with a letter that it begins with: those are looked for at the speed of memory.
_SEARCHED = [re.compile(pattern, re.DOTALL) for kind, pattern in _STARTS.items() if kind != "riff"]
_SEARCHED += [re.compile(pattern, re.DOTALL) for pattern in _WAVES]
_ANY = re.compile(b"|".join(b"(?P<%s>%s)" % (kind.encode(), start) for kind, start in _STARTS.items()), re.DOTALL)
_TAG = re.compile(rb"ID3[\x02-\x04]\x00[\x00-\xf0][\x00-\x7f]{4}")
_INSIDE_MATROSKA = re.compile(rb"\x63\xa2.{1,8}\Z", re.DOTALL)
"""Stands before a codec's own data, which may begin as its files do."""
_NOT_ZERO = re.compile(rb"[^\x00]")

_ID3V1_BYTES = 128
_APE_BYTES = 32
_APE_HAS_HEADER = 1 << 31
_APE_IS_HEADER = 1 << 29
_ID3V2_BYTES = 10
_ID3V2_HAS_FOOTER = 0x10


def kind_at(encoded: bytes, at: int) -> str | None:
    """What kind of file begins at byte *at*, None where none of the table does."""
    found = _ANY.match(encoded, at)
    return found.lastgroup if found else None


def next_of(kind: str, encoded: bytes, at: int) -> int:
    """Where the next file of *kind* begins behind the one that begins at *at*; the end of *encoded* where none does."""
    return next(_matches(_PATTERNS[kind], encoded, at), len(encoded))


def starts_behind(encoded: bytes, at: int) -> Iterator[int]:
    """Where files of the table, or ID3v2 tags, may begin behind byte *at*; by kind, so not in order."""
    return chain.from_iterable(_matches(pattern, encoded, at) for pattern in (*_SEARCHED, _TAG))


def _matches(pattern: re.Pattern[bytes], encoded: bytes, at: int) -> Iterator[int]:
    for found in pattern.finditer(encoded, at + 1):
        if not _INSIDE_MATROSKA.search(encoded, max(0, found.start() - 10), found.start()):
            yield found.start()


def after_tags(encoded: bytes, at: int) -> int:
    """The first byte from *at* on that belongs neither to a tag (ID3v1, ID3v2, APE) nor to a run of zeros."""
    while at < len(encoded):
        end = _after_tag(encoded, at)
        if end == at:
            break
        at = end
    return min(at, len(encoded))


def _after_tag(encoded: bytes, at: int) -> int:
    if encoded[at] == 0:
        found = _NOT_ZERO.search(encoded, at)
        return found.start() if found else len(encoded)
    if encoded.startswith(b"ID3", at) and at + _ID3V2_BYTES <= len(encoded):
        return at + _id3v2_bytes(encoded, at)
    if encoded.startswith(b"TAG", at) and len(encoded) - at >= _ID3V1_BYTES:
        return at + _ID3V1_BYTES
    if encoded.startswith(b"APETAGEX", at) and at + _APE_BYTES <= len(encoded):
        flags, size = (int.from_bytes(encoded[at + skip : at + skip + 4], "little") for skip in (20, 12))
        # Without a header, what is found is the footer: the items were taken for junk before it.
        return at + _APE_BYTES + (size if flags & _APE_HAS_HEADER and flags & _APE_IS_HEADER else 0)
    return at


def _id3v2_bytes(encoded: bytes, at: int) -> int:
    """Bytes of the tag at *at*; its head alone where the size leads beyond the file."""
    size = 0
    for value in encoded[at + 6 : at + _ID3V2_BYTES]:
        size = size << 7 | value & 0x7F
    whole = _ID3V2_BYTES + size + (_ID3V2_BYTES if encoded[at + 5] & _ID3V2_HAS_FOOTER else 0)
    return whole if at + whole <= len(encoded) else _ID3V2_BYTES

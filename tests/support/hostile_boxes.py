"""Hostile M4A and WebM: trees of boxes and elements whose sizes, counts and times lie."""

import struct
import zlib

from tests.support.encoded import RARE, VALID, after, patched
from tests.support.hostile_input import TOO_LARGE, UNDECODABLE, WRITTEN, Hostile

M4A, ALAC, FRAGMENTED = VALID["m4a"], VALID["alac"], RARE["fragmented m4a"]
WEBM, MKV = VALID["webm"], RARE["mkv of pcm"]
FTYP = M4A[: struct.unpack_from(">I", M4A)[0]]
PARENTS = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
MOST = 2**32 - 1


def box(name, content=b"", size=None):
    return ints(len(content) + 8 if size is None else size) + name + content


def moov(encoded=M4A):
    """The content of `moov`, and where its box begins."""
    at = encoded.index(b"moov") - 4
    return encoded[at + 8 : at + struct.unpack_from(">I", encoded, at)[0]], at


def with_box(parent, addition, encoded=M4A):
    """*encoded* with *addition* as the last box of the first *parent*; all boxes around it grow with it."""
    at = encoded.index(parent) - 4
    end = at + struct.unpack_from(">I", encoded, at)[0]
    grown = encoded[:end] + addition + encoded[end:]
    for name in PARENTS[: PARENTS.index(parent) + 1]:
        start = encoded.index(name) - 4
        grown = patched(grown, start, ">I", struct.unpack_from(">I", encoded, start)[0] + len(addition))
    return grown


def ints(*values):
    return struct.pack(f">{len(values)}I", *values)


def edited(*edit):
    """M4A with an edit list of 64-bit times of one *edit*: its length and where it begins."""
    return with_box(b"trak", box(b"edts", box(b"elst", ints(1 << 24, 1) + struct.pack(">qqHH", *edit, 1, 0))))


def field(name, skip, layout, *values, encoded=M4A):
    """*encoded* with *values* written *skip* bytes behind the name of its first box *name*."""
    return patched(encoded, after(encoded, name, skip), layout, *values)


def tables():
    return {
        "m4a of 178 million samples": Hostile(field(b"stsz", 8, ">I", 178_000_000), TOO_LARGE),
        "m4a of 2^32 - 1 samples of one size": Hostile(field(b"stsz", 4, ">II", 1, MOST), TOO_LARGE),
        "m4a of 2^32 - 1 compact samples": Hostile(_compact(MOST), TOO_LARGE),
        "m4a of 178 million compact samples": Hostile(_compact(178_000_000), TOO_LARGE),
        "m4a of 2^32 - 1 times": Hostile(field(b"stts", 4, ">III", MOST, MOST, MOST)),
        "m4a of one time 2^32 - 1 times": Hostile(field(b"stts", 8, ">II", MOST, MOST)),
        "m4a of negative times": Hostile(field(b"stts", 8, ">iI", -1, 2**31)),
        "m4a of 2^32 - 1 chunks": Hostile(field(b"stco", 4, ">I", MOST)),
        "m4a of chunks at 4 GiB": Hostile(field(b"stco", 8, ">I", MOST)),
        "m4a of 2^32 - 1 samples a chunk": Hostile(field(b"stsc", 8, ">II", 1, MOST)),
        "m4a of 2^32 - 1 runs of chunks": Hostile(field(b"stsc", 4, ">I", MOST)),
        "m4a of composition times without end": Hostile(with_box(b"stbl", box(b"ctts", ints(0, 1, MOST, 1)))),
        "m4a of sample groups without end": Hostile(
            with_box(b"stbl", box(b"sbgp", bytes(4) + b"roll" + ints(1, MOST, 1)))
        ),
        "m4a of key frames without end": Hostile(with_box(b"stbl", box(b"stss", ints(0, MOST)))),
        "m4a of 2^32 - 1 descriptions": Hostile(field(b"stsd", 4, ">I", MOST)),
    }


def _compact(count):
    """The sample table's sizes as `stz2` in place of `stsz`, of 4 bits each."""
    return patched(field(b"stsz", 4, ">II", 4, count), M4A.index(b"stsz"), "4s", b"stz2")


def times():
    return {
        "m4a of an edit of 2^63": Hostile(edited(2**63 - 1, 2**62)),
        "m4a of a negative edit": Hostile(edited(-1, -(2**63))),
        "m4a of 2^32 - 1 edits": Hostile(with_box(b"trak", box(b"edts", box(b"elst", ints(0, MOST))))),
        "m4a of time scale 0": Hostile(field(b"mdhd", 12, ">I", 0)),
        "m4a of time scale 2^32 - 1": Hostile(field(b"mdhd", 12, ">I", MOST)),
        "m4a of 2^32 - 1 ticks": Hostile(field(b"mdhd", 16, ">I", MOST)),
        "m4a of 0 Hz": Hostile(field(b"mp4a", 24, ">I", 0)),
        "m4a of 65,535 channels": Hostile(field(b"mp4a", 16, ">H", 65_535)),
        "alac of 255 channels": Hostile(_alac(">B", 17, 255)),
        "alac of frames of 2^32 - 1": Hostile(_alac(">I", 8, MOST)),
        "pcm of 65,535 channels": Hostile(field(b"sowt", 16, ">H", 65_535, encoded=RARE["mov of pcm"])),
        "pcm of 0 channels": Hostile(field(b"sowt", 16, ">H", 0, encoded=RARE["mov of pcm"])),
    }


def _alac(layout, skip, value):
    """ALAC's own configuration is the second box of that name; its version comes first."""
    at = ALAC.index(b"alac", ALAC.index(b"alac") + 4) + 4
    return patched(ALAC, at - 4 + skip, layout, value)


def trees():
    content, at = moov()
    by_chance = b"".join(name + b"\xff" * 16 for name in (b"stsz", b"trun", b"cmov"))
    references = ints(0, 1, 1, 0, 0, 65_535)
    cover = box(b"ilst", box(b"covr", box(b"data", bytes(8), MOST)))
    deep = box(b"moov", content)
    for _ in range(1_000):
        deep = box(b"moov", deep)
    rest = M4A[len(FTYP) : at]
    unpacked = box(b"moov", content)
    bomb = zlib.compress(bytes(512 << 20), 1)
    return {
        "m4a of ftyp alone": Hostile(FTYP, UNDECODABLE),
        "m4a without moov": Hostile(FTYP + rest, UNDECODABLE),
        "m4a without mdat": Hostile(FTYP + box(b"moov", content)),
        "m4a of a moov 1,000 deep": Hostile(FTYP + rest + deep),
        "m4a of a moov to the end, over and over": Hostile(FTYP + rest + box(b"moov", content, 0) * 50),
        "m4a of 1,000 moovs": Hostile(FTYP + rest + box(b"moov", content) * 1_000),
        "m4a of 1,000 tracks": Hostile(FTYP + rest + box(b"moov", content[:108] + _tracks(content) * 1_000)),
        "m4a of a box of 2^63 bytes": Hostile(FTYP + struct.pack(">I4sQ", 1, b"free", 2**63) + M4A[len(FTYP) :]),
        "m4a of a box of -1 bytes": Hostile(FTYP + struct.pack(">I4sQ", 1, b"moov", 2**64 - 1) + content),
        "m4a of 100,000 empty boxes": Hostile(FTYP + box(b"free") * 100_000 + M4A[len(FTYP) :]),
        "m4a of boxes of 4 bytes": Hostile(FTYP + box(b"free", b"", 4) * 1_000 + M4A[len(FTYP) :]),
        "m4a of a packed moov": Hostile(FTYP + rest + _packed(zlib.compress(unpacked), len(unpacked)), UNDECODABLE),
        "m4a of a packed moov of 512 MiB": Hostile(FTYP + _packed(bomb, 512 << 20), UNDECODABLE),
        "m4a of a packed moov of 2 GiB": Hostile(FTYP + _packed(bomb, 2**31 - 1), UNDECODABLE),
        "m4a of a cover of 4 GiB": Hostile(with_box(b"moov", box(b"udta", box(b"meta", bytes(4) + cover)))),
        "m4a whose samples lie in another file": Hostile(_elsewhere()),
        "m4a whose audio says stsz, trun and cmov by chance": Hostile(M4A + box(b"mdat", by_chance), WRITTEN),
        "fragmented m4a": Hostile(FRAGMENTED, WRITTEN),
        "fragmented m4a of 2^32 - 1 samples": Hostile(_run(MOST), TOO_LARGE),
        "fragmented m4a of 80 million samples": Hostile(_run(80_000_000), TOO_LARGE),
        "fragmented m4a of 1 million samples": Hostile(_run(1_000_000), TOO_LARGE),
        "fragmented m4a of references without end": Hostile(FRAGMENTED + box(b"sidx", references)),
    }


def _tracks(content):
    at = content.index(b"trak") - 4
    return content[at : at + struct.unpack_from(">I", content, at)[0]]


def _packed(compressed, claimed):
    """A movie header that is compressed with zlib and says how large it will be."""
    return box(b"moov", box(b"cmov", box(b"dcom", b"zlib") + box(b"cmvd", ints(claimed) + compressed)))


def _elsewhere():
    """An alias in place of `url `: the samples are said to lie in /etc/passwd."""
    name = b"/etc/passwd"
    record = bytes(150) + struct.pack(">hH", 2, len(name)) + name + b"\0" + struct.pack(">h", -1)
    alias = box(b"alis", bytes(4) + record)
    drefs = M4A.index(b"dref")
    # The old entry becomes free space; `dref` lies in boxes that the new one makes longer.
    content = ints(0, 1) + alias
    grown = len(content) + 8 - struct.unpack_from(">I", M4A, drefs - 4)[0]
    changed = M4A[: drefs - 4] + box(b"dref", content) + M4A[drefs - 4 + struct.unpack_from(">I", M4A, drefs - 4)[0] :]
    for name in (*PARENTS[:4], b"dinf"):
        start = M4A.index(name) - 4
        changed = patched(changed, start, ">I", struct.unpack_from(">I", M4A, start)[0] + grown)
    return changed


def _run(count):
    """A fragment whose samples have no field of their own, so that *count* of them take no byte."""
    flags = after(FRAGMENTED, b"trun")
    return patched(FRAGMENTED, flags, ">II", 0, count)


def element(name, content, size=None):
    """An EBML element with an 8-byte size; -1 is the size that says it is not known."""
    length = len(content) if size is None else size
    return name + b"\1" + struct.pack(">Q", length % 2**56)[1:] + content


SEGMENT, CLUSTER, TRACKS, TAGS, SEEK_HEAD = (
    b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75", b"\x16\x54\xae\x6b", b"\x12\x54\xc3\x67", b"\x11\x4d\x9b\x74"
)  # fmt: skip
HEAD = WEBM[: WEBM.index(SEGMENT)]


def webm():
    at = WEBM.index(CLUSTER)
    rate = after(MKV, b"\xb5\x88")
    private = element(b"\xae", element(b"\x63\xa2", b"", 2**28 - 1))
    deep = b""
    for _ in range(1_000):
        deep = element(b"\x67\xc8", deep)
    return {
        "webm": Hostile(WEBM, WRITTEN),
        "webm of an EBML header alone": Hostile(HEAD, UNDECODABLE),
        "webm of an EBML header of 2^56 bytes": Hostile(b"\x1a\x45\xdf\xa3" + b"\1" + b"\xff" * 6 + b"\xfe" + WEBM[5:]),
        "webm of unknown sizes": Hostile(HEAD + element(SEGMENT, _content(WEBM), -1)),
        "webm of a segment of 2^55 bytes": Hostile(HEAD + element(SEGMENT, _content(WEBM), 2**55)),
        "webm of clusters without end": Hostile(WEBM[:at] + element(CLUSTER, b"", -1) * 10_000),
        "webm cut off": Hostile(WEBM[: len(WEBM) // 2]),
        "webm of 10,000 tracks": Hostile(HEAD + element(SEGMENT, element(TRACKS, _track() * 10_000) + WEBM[at:])),
        "webm of private data of 256 MB": Hostile(HEAD + element(SEGMENT, element(TRACKS, private))),
        "webm of a tag 1,000 deep": Hostile(HEAD + element(SEGMENT, element(TAGS, deep) + _content(WEBM))),
        "webm that seeks itself": Hostile(HEAD + element(SEGMENT, _seek(0) * 1_000 + _content(WEBM))),
        "webm that seeks 2^63": Hostile(HEAD + element(SEGMENT, _seek(2**63) + _content(WEBM))),
        "mkv of rate NaN": Hostile(patched(MKV, rate, ">d", float("nan"))),
        "mkv of rate infinity": Hostile(patched(MKV, rate, ">d", float("inf"))),
        "mkv of rate -48,000": Hostile(patched(MKV, rate, ">d", -48_000.0)),
        "mkv of rate 1e300": Hostile(patched(MKV, rate, ">d", 1e300)),
        "mkv of 255 channels": Hostile(patched(MKV, rate - 6 + MKV[rate - 6 :].index(b"\x9f\x81") + 2, "B", 255)),
        "mkv of blocks of noise": Hostile(MKV[: MKV.index(CLUSTER) + 40] + bytes(range(256)) * 400),
    }


def _content(encoded):
    start = after(encoded, SEGMENT)
    # The first byte of a size has as many leading zeros as bytes follow it.
    return encoded[start + 9 - encoded[start].bit_length() :]


def _track():
    content = element(b"\xd7", b"\1") + element(b"\x83", b"\2") + element(b"\x86", b"A_PCM/INT/LIT")
    return element(b"\xae", content + element(b"\xe1", element(b"\x9f", b"\1")))


def _seek(position):
    place = element(b"\x53\xab", SEEK_HEAD) + element(b"\x53\xac", struct.pack(">Q", position))
    return element(SEEK_HEAD, element(b"\x4d\xbb", place))


def hostile():
    return tables() | times() | trees() | webm()

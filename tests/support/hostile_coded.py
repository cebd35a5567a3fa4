"""Hostile FLAC, MP3, AAC, Ogg: streams whose headers, tags and pages lie."""

import io
import struct

import numpy as np
import soundfile

from preprocess.demo.ogg import with_serial
from tests.support.encoded import OGG_SERIAL, VALID, after, encode, encode_av, patched, tone
from tests.support.hostile_input import EMPTY, TOO_LARGE, TOO_LONG, UNDECODABLE, WRITTEN, Hostile

FLAC, MP3, AAC = VALID["flac"], VALID["mp3"], VALID["aac"]
VORBIS, OPUS = VALID["ogg vorbis"], VALID["opus"]
SILENCE = np.zeros(600 * 16_000, np.int16)
LAST = 0x80
"""The flag of the last metadata block of a FLAC file."""


def flac_claiming(encoded, num_frames):
    """STREAMINFO's 36-bit sample count begins in the low half of byte 21."""
    high = (encoded[21] & 0xF0) | (num_frames >> 32)
    return patched(patched(encoded, 21, "B", high), 22, ">I", num_frames & 0xFFFFFFFF)


def flac_with(kind, content, size=None):
    """FLAC with a metadata block of *kind* behind STREAMINFO, which is 38 bytes long and then not the last."""
    block = struct.pack(">I", (kind << 24) | (len(content) if size is None else size)) + content
    return patched(FLAC, 4, "B", FLAC[4] & ~LAST)[:42] + block + FLAC[42:]


def flac():
    minutes = encode(SILENCE, 16_000, "FLAC")
    dense = encode(np.zeros((1_000, 8), np.int16), 655_350, "FLAC")
    seek_points = struct.pack(">QQH", 2**63, 2**63, 4_096) * 1_000
    return {
        "flac that claims 2^36 - 1 samples": Hostile(flac_claiming(FLAC, 2**36 - 1), TOO_LONG),
        "flac of ten minutes of silence": Hostile(minutes, TOO_LONG),
        "the same without a length": Hostile(flac_claiming(minutes, 0), TOO_LONG),
        "the same that claims a second": Hostile(flac_claiming(minutes, 16_000), TOO_LONG),
        "655 kHz, 8 channels, 40 s": Hostile(flac_claiming(dense, 655_350 * 40), TOO_LONG),
        "655 kHz, 8 channels, 29 s": Hostile(flac_claiming(dense, 655_350 * 29), TOO_LARGE),
        "192 kHz, 8 channels, 15 s": Hostile(encode(np.zeros((192_000 * 15, 8), np.int16), 192_000, "FLAC"), WRITTEN),
        "flac of a wrong md5": Hostile(patched(FLAC, 26, "16s", b"\xff" * 16)),
        "flac of minimum block size 0": Hostile(patched(FLAC, 8, ">H", 0)),
        "flac of maximum block size 0": Hostile(patched(FLAC, 8, ">HH", 0, 0)),
        "flac of 0 Hz": Hostile(patched(FLAC, 18, ">H", 0)),
        "flac cut off": Hostile(FLAC[: len(FLAC) // 2], UNDECODABLE),
        "flac header alone": Hostile(FLAC[:42]),
        "flac of seek points at 2^63": Hostile(flac_with(3, seek_points)),
        "flac of a picture of 16 MB": Hostile(flac_with(6, b"\xff" * 32, 2**24 - 1)),
        "flac of 2^32 - 1 comments": Hostile(flac_with(4, b"\0\0\0\0\xff\xff\xff\xff")),
        "flac of 100,000 empty blocks": Hostile(FLAC[:4] + b"\0" + FLAC[5:42] + b"\1\0\0\0" * 100_000 + FLAC[42:]),
        "flac behind 1 MB of zeros": Hostile(bytes(2**20) + FLAC),
    }


def mpeg():
    xing = after(MP3, b"Info", 4) if b"Info" in MP3 else after(MP3, b"Xing", 4)
    other = encode(tone(0.3, 22_050, 2), 22_050, "MP3")
    return {
        "mp3 of two minutes": Hostile(encode(SILENCE[: 120 * 16_000], 16_000, "MP3"), TOO_LONG),
        "mp3 that counts 2^32 - 1 frames": Hostile(patched(MP3, xing, ">I", 2**32 - 1)),
        "mp3 that counts 1 frame": Hostile(patched(MP3, xing, ">I", 1)),
        "two minutes of mp3 that count 1 frame": Hostile(_two_minutes_of_one_frame()),
        "mp3 of free format": Hostile(b"\xff\xfb\x00\x00" + bytes(413) + b"\xff\xfb\x00\x00" + bytes(413)),
        "mp3 that changes its rate": Hostile(MP3 + other),
        "mp3 of sync words alone": Hostile(b"\xff\xfb\x90\x00" * 50_000),
        "mp3 behind an id3 tag of 256 MB": Hostile(b"ID3\4\0\0\x7f\x7f\x7f\x7f" + MP3),
        "mp3 behind 1,000 id3 tags": Hostile(b"ID3\4\0\0\0\0\0\0" * 1_000 + MP3),
        "id3 tag alone": Hostile(b"ID3\4\0\0\0\0\1\0" + bytes(128), UNDECODABLE),
        "id3 of a frame of 4 GiB": Hostile(b"ID3\3\0\0\0\0\2\0APIC\xff\xff\xff\xff\0\0" + bytes(246) + MP3),
        "mp3 with an ape tag of 4 GiB": Hostile(MP3 + b"APETAGEX" + struct.pack("<4I", 2_000, 2**32 - 1, 2**32 - 1, 0)),
        "mp3 of 3 MB of noise": Hostile(MP3 + np.random.default_rng(2).bytes(3_000_000)),
        "adts header alone": Hostile(AAC[:7], UNDECODABLE),
        "adts of frames of 8,191": Hostile(patched(AAC, 3, ">H", 0x83FF)),
        "adts of frames of 0": Hostile(b"\xff\xf1\x4c\x80\x00\x1f\xfc" * 10_000),
        "adts of channels unknown": Hostile(patched(AAC, 2, ">H", 0x4C00)),
        "adts behind 1,000 headers": Hostile(AAC[:7] * 1_000 + AAC),
    }


def _two_minutes_of_one_frame():
    minutes = encode(SILENCE[: 120 * 16_000], 16_000, "MP3")
    at = after(minutes, b"Info" if b"Info" in minutes[:200] else b"Xing", 4)
    return patched(minutes, at, ">I", 1)


def pages(stream):
    found = []
    while stream:
        head = 27 + stream[26]
        end = head + sum(stream[27:head])
        found.append(stream[:end])
        stream = stream[end:]
    return found


def sealed(*found, serial=OGG_SERIAL):
    """One Ogg stream of the pages *found*, with true checksums."""
    return with_serial(b"".join(found), serial)


def with_granule(stream, granule):
    """*stream* whose last page says that so many samples lie behind it."""
    *others, last = pages(stream)
    return sealed(*others, patched(last, 6, "<q", granule))


def ogg():
    head, *rest = pages(OPUS)
    vorbis_head = after(VORBIS, b"\1vorbis")
    chained = encode(tone(0.3, 16_000), 16_000, "OGG", "VORBIS")
    return {
        "vorbis of three minutes": Hostile(minutes_of_vorbis(), TOO_LONG),
        "ogg of a broken checksum": Hostile(patched(VORBIS, len(VORBIS) - 100, "B", VORBIS[-100] ^ 255)),
        "ogg of broken checksums everywhere": Hostile(b"".join(patched(page, 22, "<I", 1) for page in pages(VORBIS))),
        "ogg of its pages in reverse": Hostile(b"".join(reversed(pages(VORBIS)))),
        "ogg of one page a thousand times": Hostile(head + rest[0] + rest[1] * 1_000),
        "ogg header page alone": Hostile(head),
        "ogg of header pages without end": Hostile(head * 10_000),
        "chained ogg of another rate": Hostile(VORBIS + chained),
        "multiplexed ogg": Hostile(_alternating(VORBIS, with_serial(OPUS, 8))),
        "vorbis that ends at 2^63 - 1": Hostile(with_granule(VORBIS, 2**63 - 1)),
        "vorbis that ends at -2^63": Hostile(with_granule(VORBIS, -(2**63))),
        "opus that ends at 2^63 - 1": Hostile(with_granule(OPUS, 2**63 - 1)),
        "opus that ends at -2^63": Hostile(with_granule(OPUS, -(2**63))),
        "vorbis of 0 channels": Hostile(sealed(patched(VORBIS, vorbis_head + 4, "B", 0)), UNDECODABLE),
        "vorbis of 255 channels": Hostile(sealed(patched(VORBIS, vorbis_head + 4, "B", 255))),
        "vorbis of 0 Hz": Hostile(sealed(patched(VORBIS, vorbis_head + 5, "<I", 0)), UNDECODABLE),
        "vorbis of 2^32 - 1 Hz": Hostile(sealed(patched(VORBIS, vorbis_head + 5, "<I", 2**32 - 1)), UNDECODABLE),
        "vorbis of 2^32 - 1 comments": Hostile(sealed(_comments(VORBIS, b"\3vorbis"))),
        "opus of 2^32 - 1 tags": Hostile(sealed(_comments(OPUS, b"OpusTags"))),
        "opus of 255 channels": Hostile(_opus_of_many_channels()),
        "opus of 0 channels": Hostile(sealed(patched(OPUS, after(OPUS, b"OpusHead", 1), "B", 0)), UNDECODABLE),
        "opus that skips more than it has": Hostile(sealed(patched(OPUS, after(OPUS, b"OpusHead", 2), "<H", 65_535))),
        "opus of a gain of 128 dB": Hostile(sealed(patched(OPUS, after(OPUS, b"OpusHead", 8), "<h", 32_767))),
        "opus of 96 kHz said": Hostile(sealed(patched(OPUS, after(OPUS, b"OpusHead", 4), "<I", 2**32 - 1))),
    }


def minutes_of_vorbis():
    buffer = io.BytesIO()
    # One long write overflows the Vorbis encoder's stack.
    with soundfile.SoundFile(buffer, "w", 16_000, 1, format="OGG", subtype="VORBIS") as out:
        for _ in range(30):
            out.write(np.zeros(6 * 16_000, np.float32))
    return with_serial(buffer.getvalue(), OGG_SERIAL)


def _alternating(one, other):
    first, second = pages(one), pages(other)
    both = [page for pair in zip(first, second, strict=False) for page in pair]
    return b"".join(both + first[len(second) :] + second[len(first) :])


def _comments(stream, word):
    """*stream* whose comment header names no vendor and 2^32 - 1 comments."""
    return patched(stream, after(stream, word), "<II", 0, 2**32 - 1)


def _opus_of_many_channels():
    """A header of 255 channels with mapping family 255: each channel is a stream of its own."""
    content = b"OpusHead" + struct.pack("<BBHIhBBB", 1, 255, 312, 48_000, 0, 255, 255, 0) + bytes(range(255))
    lacing = bytes([255, len(content) - 255])
    head = pages(OPUS)[0][:26] + bytes([2]) + lacing + content
    return sealed(head, *pages(OPUS)[1:])


def hostile():
    nothing = {"flac of no samples": Hostile(encode(SILENCE[:0], 16_000, "FLAC"), EMPTY)}
    # FFmpeg dies of some such, so it is never asked to read one.
    adx = {"adx": Hostile(encode_av("adx", "adpcm_adx"), UNDECODABLE)}
    return nothing | adx | flac() | mpeg() | ogg()

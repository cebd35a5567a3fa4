"""Hostile WAV and its relatives: headers that lie about size, shape and rate, and samples that are no numbers."""

import struct

import numpy as np

from tests.support.encoded import RARE, VALID, after, encode, patched, tone
from tests.support.hostile_input import EMPTY, NOT_FINITE, TOO_LONG, UNDECODABLE, WRITTEN, Hostile

WAV = VALID["wav"]
NOISE = np.random.default_rng(0).normal(0, 0.1, 8_000).astype(np.float32)
RAW = (NOISE * 20_000).astype("<i2").tobytes()


def chunk(name, content, size=None):
    return name + struct.pack("<I", len(content) if size is None else size) + content


def fmt(*, tag=1, channels=1, rate=16_000, align=2, bits=16, extra=b""):
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, rate, rate * align % 2**32, align, bits) + extra)


def riff(*chunks, size=None, form=b"WAVE"):
    content = form + b"".join(chunks)
    return chunk(b"RIFF", content, size)


def wav(**header):
    return riff(fmt(**header), chunk(b"data", RAW))


def floats(*values):
    """A second of noise as 64-bit floats, with *values* in its midst."""
    samples = NOISE.astype("<f8")
    samples[4_000 : 4_000 + len(values)] = values
    return riff(fmt(tag=3, align=8, bits=64), chunk(b"data", samples.tobytes()))


def headers():
    return {
        "wav header alone": Hostile(riff(fmt(), chunk(b"data", b"")), EMPTY),
        "wav cut off in its header": Hostile(WAV[:30], UNDECODABLE),
        "wav without a fmt chunk": Hostile(riff(chunk(b"data", RAW)), UNDECODABLE),
        "wav with its fmt chunk last": Hostile(riff(chunk(b"data", RAW), fmt())),
        "wav of two fmt chunks": Hostile(riff(fmt(), fmt(channels=2, align=4), chunk(b"data", RAW))),
        "wav of two data chunks": Hostile(riff(fmt(), chunk(b"data", RAW), chunk(b"data", RAW))),
        "wav of 0 channels": Hostile(wav(channels=0), UNDECODABLE),
        "wav of 1,000 channels": Hostile(wav(channels=1_000, align=2_000), WRITTEN),
        "wav of 65,535 channels": Hostile(wav(channels=65_535, align=65_534)),
        "wav of 0 Hz": Hostile(wav(rate=0), UNDECODABLE),
        "wav of 1 Hz": Hostile(wav(rate=1), UNDECODABLE),
        "wav of 2^32 - 1 Hz": Hostile(wav(rate=2**32 - 1), UNDECODABLE),
        "wav of block align 0": Hostile(wav(align=0)),
        "wav of 0 bits": Hostile(wav(bits=0)),
        "wav of 65,535 bits": Hostile(wav(bits=65_535)),
        "wav of an unknown codec": Hostile(wav(tag=0x1234), UNDECODABLE),
        "wav extensible of an unknown codec": Hostile(wav(tag=0xFFFE, extra=b"\x16\0\x10\0\4\0\0\0" + b"x" * 16)),
        "wav of big-endian RIFX": Hostile(b"RIFX" + WAV[4:]),
        "avi": Hostile(riff(fmt(), chunk(b"data", RAW), form=b"AVI "), UNDECODABLE),
        "webp": Hostile(riff(chunk(b"VP8 ", RAW), form=b"WEBP"), UNDECODABLE),
    }


def sizes():
    data_at = after(WAV, b"data")
    nested = [chunk(b"LIST", b"INFO", 2**20)] * 1_000
    return {
        "wav of data size 0": Hostile(patched(WAV, data_at, "<I", 0)),
        "wav that claims 4 GiB": Hostile(patched(patched(WAV, 4, "<I", 2**32 - 1), data_at, "<I", 2**32 - 1), WRITTEN),
        "wav that claims 1 GiB": Hostile(patched(patched(WAV, 4, "<I", 2**30), data_at, "<I", 2**30), UNDECODABLE),
        "wav of negative data": Hostile(patched(WAV, data_at, "<i", -8)),
        "wav of a negative chunk": Hostile(riff(fmt(), chunk(b"LIST", b"INFO", 2**32 - 16), chunk(b"data", RAW))),
        "wav of a chunk of 2^31": Hostile(riff(fmt(), chunk(b"junk", b"", 2**31), chunk(b"data", RAW))),
        "wav of a negative fmt": Hostile(riff(chunk(b"fmt ", b"\1\0\1\0", 2**32 - 4), chunk(b"data", RAW))),
        "wav of 100,000 empty chunks": Hostile(riff(fmt(), chunk(b"junk", b"") * 100_000, chunk(b"data", RAW))),
        "wav of 1,000 nested lists": Hostile(riff(fmt(), *nested, chunk(b"data", RAW))),
        "wav of 2^32 - 1 cue points": Hostile(riff(fmt(), chunk(b"cue ", b"\xff" * 28), chunk(b"data", RAW))),
        "wav of 2^32 - 1 loops": Hostile(riff(fmt(), chunk(b"smpl", b"\xff" * 60), chunk(b"data", RAW))),
        "wav of a broken bext": Hostile(riff(fmt(), chunk(b"bext", b"\xff" * 700), chunk(b"data", RAW))),
        "rf64 of 2^63 samples": Hostile(_rf64(2**63 - 1)),
        "rf64 of 2^64 bytes": Hostile(_rf64(2**64 - 1)),
        "w64 of 2^63 bytes": Hostile(patched(RARE["w64"], after(RARE["w64"], b"data", 12), "<Q", 2**63 - 1)),
        "w64 of a negative chunk": Hostile(patched(RARE["w64"], after(RARE["w64"], b"fmt ", 12), "<q", -24)),
    }


def _rf64(claimed):
    return patched(RARE["rf64"], after(RARE["rf64"], b"ds64", 4), "<QQQ", claimed, claimed, claimed)


def codecs():
    adpcm = RARE["wav of ms adpcm"]
    return {
        "wav of a-law": Hostile(RARE["wav of a-law"], WRITTEN),
        "wav of ima adpcm": Hostile(RARE["wav of ima adpcm"], WRITTEN),
        "wav of ms adpcm": Hostile(adpcm, WRITTEN),
        "wav of 24 bits": Hostile(RARE["wav of 24 bits"], WRITTEN),
        "ms adpcm of 65,535 coefficients": Hostile(patched(adpcm, 40, "<H", 65_535)),
        "ms adpcm of 0 samples a block": Hostile(patched(adpcm, 38, "<H", 0)),
        "ms adpcm of blocks of 65,535": Hostile(patched(patched(adpcm, 32, "<H", 65_535), 38, "<H", 65_535)),
        "ms adpcm of blocks of 1": Hostile(patched(adpcm, 32, "<H", 1)),
        "ima adpcm of blocks of 0": Hostile(patched(RARE["wav of ima adpcm"], 32, "<H", 0)),
        "gsm of noise": Hostile(RARE["wav of gsm"][:60] + RAW),
    }


def samples():
    second = np.ones(16_000, np.float32)
    stereo = np.random.default_rng(1).integers(-9_000, 9_000, (192_000 * 40, 2), np.int16)
    return {
        "wav of one sample": Hostile(encode(second[:1], 16_000, "WAV"), WRITTEN),
        "wav of silence": Hostile(encode(0 * second, 16_000, "WAV"), WRITTEN),
        "wav of direct current": Hostile(encode(second, 16_000, "WAV"), WRITTEN),
        "wav of NaN": Hostile(encode(second * np.nan, 16_000, "WAV", "FLOAT"), NOT_FINITE),
        "wav of one NaN": Hostile(floats(np.nan), NOT_FINITE),
        "wav of infinity": Hostile(floats(np.inf, -np.inf), NOT_FINITE),
        "wav of 1e38": Hostile(floats(1e38, -1e38), NOT_FINITE),
        "wav of 1e300": Hostile(floats(1e300), NOT_FINITE),
        "wav of denormals": Hostile(encode(second * np.float32(1e-42), 16_000, "WAV", "FLOAT"), WRITTEN),
        "wav of 2^31 - 1": Hostile(floats(2.0**31 - 1), WRITTEN),
        "40 s of 192 kHz in stereo": Hostile(encode(stereo, 192_000, "WAV"), TOO_LONG),
        "29 s of 192 kHz in stereo": Hostile(encode(stereo[: 29 * 192_000], 192_000, "WAV"), WRITTEN),
        "30.001 s": Hostile(encode(np.zeros(480_016, np.int16), 16_000, "WAV"), TOO_LONG),
        "30 s": Hostile(encode(tone(30, 16_000), 16_000, "WAV"), WRITTEN),
    }


def relatives():
    mat4 = RARE["mat4"]
    aiff, au, caf = RARE["aiff"], RARE["au"], RARE["caf"]
    common, data = after(aiff, b"COMM", 4), after(caf, b"data")
    return {
        "aiff": Hostile(aiff, WRITTEN),
        "aiff of 2^32 - 1 frames": Hostile(patched(aiff, common + 2, ">I", 2**32 - 1)),
        "aiff of 0 channels": Hostile(patched(aiff, common, ">H", 0), UNDECODABLE),
        "aiff of rate NaN": Hostile(patched(aiff, common + 8, ">HQ", 0x7FFF, 2**64 - 1), UNDECODABLE),
        "aiff of rate 2^16000": Hostile(patched(aiff, common + 8, ">HQ", 0x7FFE, 2**63), UNDECODABLE),
        "aiff of a negative chunk": Hostile(patched(aiff, common - 4, ">i", -1)),
        "au": Hostile(au, WRITTEN),
        "au of unknown size": Hostile(patched(au, 8, ">I", 2**32 - 1), WRITTEN),
        "au whose data begin at 4 GiB": Hostile(patched(au, 4, ">I", 2**32 - 1)),
        "au of 2^31 channels": Hostile(patched(au, 20, ">I", 2**31), UNDECODABLE),
        "caf": Hostile(caf, WRITTEN),
        "caf of 2^63 bytes": Hostile(patched(caf, data, ">Q", 2**63 - 1)),
        "caf of negative data": Hostile(patched(caf, data, ">q", -2)),
        "caf of rate NaN": Hostile(patched(caf, after(caf, b"desc", 8), ">d", np.nan), UNDECODABLE),
        "caf of 2^32 - 1 channels": Hostile(patched(caf, after(caf, b"desc", 32), ">I", 2**32 - 1), UNDECODABLE),
        "caf of alac of 2^63 packets": Hostile(_packets(2**63 - 1)),
        "caf of alac of -1 packets": Hostile(_packets(2**64 - 1)),
        "caf of alac of frames of 2^32 - 1": Hostile(_alac_frames(2**32 - 1)),
        "mat4 of 2^31 rows": Hostile(patched(mat4, after(mat4, b"wavedata\0", -20), "<II", 2**31, 2**31)),
        "sds": Hostile(RARE["sds"], UNDECODABLE),
        "sds of noise": Hostile(RARE["sds"][:21] + RAW, UNDECODABLE),
    }


def _packets(count):
    caf = RARE["caf of alac"]
    return patched(caf, after(caf, b"pakt", 8), ">Q", count)


def _alac_frames(count):
    caf = RARE["caf of alac"]
    return patched(caf, after(caf, b"kuki", 8), ">I", count)


def hostile():
    return headers() | sizes() | codecs() | samples() | relatives()

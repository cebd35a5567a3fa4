"""Damaged, lying and oversized files: `decode` returns finite samples within its limits, or rejects the row."""

import io
import json
import struct
import subprocess
import sys

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocess.audio import DecodeLimits, decode
from shared.errors import RowRejectedError
from shared.schema import QuarantineReason

LIMITS = DecodeLimits(max_seconds=5.0)


def tone(seconds, sampling_rate, channels=1):
    phase = np.arange(int(seconds * sampling_rate))[:, None] * (0.05 + 0.01 * np.arange(channels))
    return np.squeeze((0.3 * np.sin(phase)).astype(np.float32))


def encode(samples, sampling_rate, container, subtype=None):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, sampling_rate, format=container, subtype=subtype)
    return buffer.getvalue()


def encode_av(container, codec):
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as out:
        stream = out.add_stream(codec, rate=48_000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(tone(0.6, 48_000)[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 48_000, 0
        for converted in av.AudioResampler(format=stream.format.name, layout="mono").resample(frame):
            out.mux(stream.encode(converted))
        out.mux(stream.encode(None))
    return buffer.getvalue()


VALID = {
    "wav": encode(tone(0.6, 16_000), 16_000, "WAV", "PCM_16"),
    "wav of floats": encode(tone(0.3, 48_000, 2), 48_000, "WAV", "FLOAT"),
    "wav of mu-law": encode(tone(0.6, 8_000), 8_000, "WAV", "ULAW"),
    "flac": encode(tone(0.6, 16_000), 16_000, "FLAC"),
    "flac of 6 channels": encode(tone(0.2, 44_100, 6), 44_100, "FLAC"),
    "mp3": encode(tone(0.6, 48_000), 48_000, "MP3"),
    "mp3 in stereo": encode(tone(0.6, 22_050, 2), 22_050, "MP3"),
    "ogg vorbis": encode(tone(0.6, 44_100, 2), 44_100, "OGG", "VORBIS"),
    "opus": encode(tone(0.6, 16_000), 16_000, "OGG", "OPUS"),
    "m4a": encode_av("mp4", "aac"),
    "alac": encode_av("mp4", "alac"),
    "aac": encode_av("adts", "aac"),
    "webm": encode_av("webm", "libopus"),
}

WORDS = [b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\1", b"\1\0\0\0", b"\0\0\xc0\x7f"]
SHARE = st.floats(0, 1, exclude_max=True)
DAMAGE = st.one_of(
    st.tuples(st.just("flip"), SHARE, st.integers(1, 255)),
    st.tuples(st.just("flip in header"), SHARE, st.integers(1, 255)),
    st.tuples(st.just("word in header"), SHARE, st.sampled_from(WORDS)),
    st.tuples(st.just("cut off"), SHARE, st.none()),
    st.tuples(st.just("cut out"), SHARE, st.integers(1, 2_000)),
    st.tuples(st.just("zeros"), SHARE, st.integers(1, 500)),
    st.tuples(st.just("splice"), SHARE, st.sampled_from(sorted(VALID))),
)


def damaged(data, kind, share, detail):
    header = min(len(data), 400)
    at = int(share * (header if "header" in kind else len(data)))
    if kind.startswith("flip"):
        return data[:at] + bytes([data[at] ^ detail]) + data[at + 1 :] if data else data
    if kind == "word in header":
        return data[:at] + detail + data[at + 4 :]
    if kind == "cut off":
        return data[:at]
    if kind == "cut out":
        return data[:at] + data[at + detail :]
    if kind == "zeros":
        return data[:at] + bytes(detail) + data[at + detail :]
    return data[:at] + VALID[detail][int(share * len(VALID[detail])) :] + data[at:]


def outcome(encoded):
    """What `decode` returns, or the row's rejection; anything else fails the test."""
    try:
        return decode(encoded, LIMITS)
    except RowRejectedError as error:
        return error


def check(encoded):
    """The promise: finite float32 within the limits, or a row that is rejected for a known reason, in words."""
    result = outcome(encoded)
    if isinstance(result, RowRejectedError):
        assert result.reason in set(QuarantineReason)
        assert result.message
    else:
        assert result.dtype == np.float32
        assert 0 < len(result) <= LIMITS.max_seconds * 16_000
        assert np.isfinite(result).all()


@pytest.mark.parametrize("name", sorted(VALID))
@settings(max_examples=80, deadline=None)
@given(damages=st.lists(DAMAGE, min_size=1, max_size=4))
def test_a_damaged_file_decodes_within_the_limits_or_is_rejected(name, damages):
    encoded = VALID[name]
    for damage in damages:
        encoded = damaged(encoded, *damage)
    check(encoded)


@settings(max_examples=200, deadline=None)
@given(magic=st.sampled_from(sorted(VALID)), tail=st.binary(max_size=2_000), kept=st.integers(0, 64))
def test_random_bytes_after_a_true_magic_number_decode_within_the_limits_or_are_rejected(magic, tail, kept):
    check(VALID[magic][:kept] + tail)


def patched(encoded, offset, layout, *values):
    data = bytearray(encoded)
    struct.pack_into(layout, data, offset, *values)
    return bytes(data)


def flac_claiming(encoded, num_frames):
    """STREAMINFO's 36-bit sample count begins in the low half of byte 21."""
    high = (encoded[21] & 0xF0) | (num_frames >> 32)
    return patched(patched(encoded, 21, "B", high), 22, ">I", num_frames & 0xFFFFFFFF)


def minutes_of_vorbis():
    buffer = io.BytesIO()
    # One long write overflows the Vorbis encoder's stack.
    with soundfile.SoundFile(buffer, "w", 16_000, 1, format="OGG", subtype="VORBIS") as out:
        for _ in range(30):
            out.write(np.zeros(6 * 16_000, np.float32))
    return buffer.getvalue()


def bombs():
    """Small files that claim or unpack to far more, each with the reason for its rejection, '' where it decodes."""
    wav, flac = VALID["wav"], VALID["flac"]
    silence = np.zeros(600 * 16_000, np.int16)
    minutes = encode(silence, 16_000, "FLAC")
    dense = encode(np.zeros((1_000, 8), np.int16), 655_350, "FLAC")
    table = VALID["m4a"].index(b"stsz")
    return {
        "flac that claims 2^36 - 1 samples": (flac_claiming(flac, 2**36 - 1), "too_long"),
        "flac of ten minutes of silence": (minutes, "too_long"),
        "the same without a length": (flac_claiming(minutes, 0), "too_long"),
        "the same that claims a second": (flac_claiming(minutes, 16_000), "too_long"),
        "mp3 of two minutes": (encode(silence[: 120 * 16_000], 16_000, "MP3"), "too_long"),
        "vorbis of three minutes": (minutes_of_vorbis(), "too_long"),
        "655 kHz, 8 channels, 40 s": (flac_claiming(dense, 655_350 * 40), "too_long"),
        "655 kHz, 8 channels, 29 s": (flac_claiming(dense, 655_350 * 29), "too_large"),
        "192 kHz, 8 channels, 15 s": (encode(np.zeros((192_000 * 15, 8), np.int16), 192_000, "FLAC"), ""),
        "wav that claims 4 GiB": (patched(patched(wav, 4, "<I", 2**32 - 1), 40, "<I", 2**32 - 1), ""),
        "wav of 1,000 channels": (patched(patched(wav, 22, "<H", 1_000), 32, "<H", 2_000), ""),
        "wav of 8 Hz": (patched(wav, 24, "<I", 8), "undecodable"),
        "wav of 2 GHz": (patched(wav, 24, "<I", 2**31 - 1), "undecodable"),
        "m4a of 178 million samples": (patched(VALID["m4a"], table + 12, ">I", 178_000_000), "too_large"),
    }


DECODE_AND_WEIGH = """
import json, resource, sys
from pathlib import Path
from preprocess.audio import DecodeLimits, decode
from preprocess import audio_av
from shared.errors import RowRejectedError

def peak_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

def outcome(encoded):
    try:
        return decode(encoded, DecodeLimits()).nbytes
    except RowRejectedError as error:
        return error.reason

warm, *files = map(Path, sys.argv[1:])
decode(warm.read_bytes(), DecodeLimits())
base = peak_bytes()
print(json.dumps([[outcome(file.read_bytes()), peak_bytes() - base] for file in files]))
"""


def test_a_bomb_is_rejected_before_it_takes_memory(tmp_path):
    expected = bombs()
    files = [tmp_path / f"{number}" for number in range(len(expected) + 1)]
    for file, encoded in zip(files, [VALID["m4a"], *(data for data, _ in expected.values())], strict=True):
        file.write_bytes(encoded)

    done = subprocess.run(
        [sys.executable, "-c", DECODE_AND_WEIGH, *map(str, files)], capture_output=True, check=True, timeout=60
    )

    for (name, (encoded, reason)), (result, grown) in zip(expected.items(), json.loads(done.stdout), strict=True):
        assert result == reason if reason else result > 0, name
        # The clip of 8 channels is 92 MB interleaved and 12 MB as mono.
        assert grown < 48 * 1024 * 1024, f"{name}: {grown:,} bytes for {len(encoded):,}"

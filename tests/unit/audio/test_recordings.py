"""Where a part of a recording begins and ends."""

import io
import subprocess
from fractions import Fraction

import numpy as np
import pytest

from preprocess.audio.decode import DecodeLimits, decode
from preprocess.audio.recordings import Part, Recording


@pytest.mark.parametrize(
    ("seconds", "rate", "sample"),
    [("0.99996", 16_000, 15_999), ("0.99998", 16_000, 16_000), ("0.3", 44_100, 13_230), ("1.00003", 8_000, 8_000)],
)
def test_a_time_falls_on_its_nearest_sample(seconds, rate, sample):
    assert Part(Fraction(seconds), Fraction(seconds)).bounds(rate) == (sample, sample)


def speech(path, *options, channels=1):
    chirp = f"aevalsrc={'|'.join(f'0.{3 - at}*sin(2*PI*t*(300+60*t))' for at in range(channels))}:d=2:s=16000"
    command = ("ffmpeg", "-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", chirp, *options, str(path))
    subprocess.run(command, check=True)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("suffix", "times", "options"),
    [("mp3", 2, ()), ("flac", 2, ()), ("ogg", 2, ("-c:a", "libvorbis")), ("mp3", 1, ("-q:a", "5", "-write_xing", "0"))],
)
@pytest.mark.parametrize("start", [0, 1])
def test_a_part_without_an_end_goes_to_the_end_of_the_file_and_not_to_that_of_its_header(
    tmp_path, suffix, times, options, start
):
    encoded = speech(tmp_path / f"a.{suffix}", *options) * times
    whole = decode(encoded, DecodeLimits())
    assert len(whole) >= times * 2 * 16_000
    found = decode(Recording(io.BytesIO(encoded)).wav(Part(Fraction(start))), DecodeLimits())
    np.testing.assert_allclose(found, whole[start * 16_000 :], atol=0.01)


def test_a_channel_without_an_end_is_that_channel(tmp_path):
    encoded = speech(tmp_path / "a.flac", channels=2)
    both = [decode(Recording(io.BytesIO(encoded)).wav(Part(Fraction(0), channel=at)), DecodeLimits()) for at in (0, 1)]
    assert len(both[0]) == 32_000
    np.testing.assert_allclose(both[1], both[0] * 2 / 3, atol=1e-3)

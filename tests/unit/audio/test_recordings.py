"""Where a part of a recording begins and ends."""

from fractions import Fraction

import pytest

from preprocess.audio.recordings import Part


@pytest.mark.parametrize(
    ("seconds", "rate", "sample"),
    [("0.99996", 16_000, 15_999), ("0.99998", 16_000, 16_000), ("0.3", 44_100, 13_230), ("1.00003", 8_000, 8_000)],
)
def test_a_time_falls_on_its_nearest_sample(seconds, rate, sample):
    assert Part(Fraction(seconds), Fraction(seconds)).bounds(rate) == (sample, sample)

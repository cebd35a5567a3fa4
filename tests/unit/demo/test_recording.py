"""The demo's recordings: every encoding holds the sound that went in, and the bytes never change."""

import hashlib
import io
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from preprocess.demo.ogg import with_serial
from preprocess.demo.plan import ORIGINS, plan_clips
from preprocess.demo.recording import encode, record

ENCODINGS = {origin.encoding.subtype + origin.encoding.container: origin.encoding for origin in ORIGINS}.values()


def tone(sampling_rate, num_channels, seconds=1.5):
    time = np.arange(int(seconds * sampling_rate)) / sampling_rate
    channels = [np.sin(2 * np.pi * frequency * time) * 0.4 for frequency in (220, 330)]
    return np.stack(channels[:num_channels], axis=1).astype(np.float32)


@pytest.mark.parametrize("num_channels", [1, 2])
@pytest.mark.parametrize("encoding", ENCODINGS, ids=lambda encoding: encoding.subtype + "-" + encoding.container)
def test_every_encoding_gives_back_the_sound_at_every_rate(encoding, num_channels):
    for sampling_rate in set(encoding.sampling_rates):
        samples = tone(sampling_rate, num_channels)
        file = encode(samples, sampling_rate, encoding, serial=7)
        decoded, rate = soundfile.read(io.BytesIO(file), dtype="float32", always_2d=True)
        assert rate == sampling_rate
        assert decoded.shape == samples.shape
        middle = slice(sampling_rate // 2, sampling_rate)
        correlation = np.corrcoef(decoded[middle].ravel(), samples[middle].ravel())[0, 1]
        assert correlation > 0.99, (encoding, sampling_rate)


@pytest.mark.parametrize("number", range(len(ORIGINS)))
def test_the_same_plan_gives_the_same_bytes(number):
    plan = replace(plan_clips("train", 6, 1)[number], num_channels=2)
    first, second = (hashlib.sha256(record(plan)).hexdigest() for _ in range(2))
    assert first == second


def test_the_shortest_clip_lasts_a_second():
    plan = replace(plan_clips("train", 1, 0)[0], transkription="Ja.")
    info = soundfile.info(io.BytesIO(record(plan)))
    assert info.frames >= info.samplerate


def test_an_ogg_stream_gets_the_serial_number_in_every_page():
    opus = next(encoding for encoding in ENCODINGS if encoding.subtype == "OPUS")
    file = encode(tone(48_000, 1, seconds=4), 48_000, opus, serial=1)
    pages = file.split(b"OggS")[1:]
    assert len(pages) > 3
    assert {page[10:14] for page in pages} == {b"\1\0\0\0"}
    assert with_serial(with_serial(file, 99), 1) == file


def test_bytes_that_are_no_ogg_stream_are_refused():
    with pytest.raises(ValueError, match="no Ogg page at byte 0"):
        with_serial(b"RIFF" + bytes(40), 1)

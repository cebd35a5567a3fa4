"""WAV and FLAC that are read without libsndfile: its samples to the last bit, and no other file than it would read."""

import io
import random
import struct

import numpy as np
import pytest
import soundfile

from preprocess.audio import decode, flac, plain_wav
from preprocess.audio.decode import DecodeLimits
from shared.errors import RowRejectedError
from tests.support.encoded import encode
from tests.support.flac_streams import stream

LIMITS = DecodeLimits()


def passages(channels, num_frames=9_000):
    """A tone with noise, silence, and noise so loud that nothing predicts it."""
    noise, phase = np.random.default_rng(0), np.arange(num_frames)[:, None]
    sound = 0.5 * np.sin(phase * (0.02 + 0.01 * np.arange(channels))) + noise.normal(0, 0.01, (num_frames, channels))
    sound[3_000:5_000] = 0
    sound[6_000:] = noise.uniform(-0.99, 0.99, sound[6_000:].shape)
    return sound.astype(np.float32)


def outcome(decoder, encoded):
    """Samples and what else a clip is, or why it is none."""
    try:
        clip = decoder(encoded, LIMITS)
    except RowRejectedError as error:
        return error.reason, error.message
    return clip.samples.tobytes(), *clip[1:]


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
@pytest.mark.parametrize("level", [0, 0.6, 1])
def test_a_flac_of_an_encoder_has_libsndfiles_samples(channels, subtype, level):
    file = io.BytesIO()
    soundfile.write(file, passages(channels), 16_000, format="FLAC", subtype=subtype, compression_level=level)
    clip = flac.read(file.getvalue(), LIMITS)
    assert clip is not None
    assert outcome(lambda *_: clip, b"") == outcome(decode._any_clip, file.getvalue())


@pytest.mark.parametrize("channels", [1, 2])
def test_a_flac_with_any_bit_turned_has_libsndfiles_outcome(channels):
    encoded = encode(passages(channels, 150), 16_000, "FLAC", "PCM_16")
    taken = 0
    for number in range(8 * len(encoded)):
        damaged = bytearray(encoded)
        damaged[number // 8] ^= 1 << number % 8
        clip = flac.read(bytes(damaged), LIMITS)
        taken += clip is not None
        assert clip is None or outcome(lambda *_, clip=clip: clip, b"") == outcome(decode._any_clip, bytes(damaged))
    # Bits of the encoder's name, its padding and a digest that nobody looks at.
    assert 0 < taken < 4 * len(encoded)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("bits", [16, 24])
def test_a_flac_of_whatever_blocks_has_libsndfiles_outcome(channels, bits):
    """A block that is all warm-up, as that of one sample with a predictor, is none to libsndfile."""
    chance, taken = random.Random(channels * bits), 0
    for _ in range(60):
        encoded = stream(chance, channels, bits)
        clip = flac.read(encoded, LIMITS)
        taken += clip is not None
        assert clip is None or outcome(lambda *_, clip=clip: clip, b"") == outcome(decode._any_clip, encoded)
    assert taken > 40


@pytest.mark.parametrize("change", [lambda flac: flac[:-1], lambda flac: flac + b"\0", lambda flac: flac + flac])
def test_a_flac_that_is_not_one_to_its_last_byte_is_left_to_libsndfile(change):
    assert flac.read(change(encode(passages(1), 16_000, "FLAC", "PCM_16")), LIMITS) is None


@pytest.mark.parametrize("block", [b"\x01\0\0\0", b"\x04\0\0\x08" + bytes(8)])
def test_a_flac_with_blocks_of_metadata_by_the_thousand_is_left_to_libsndfile(block):
    encoded = encode(passages(1, 150), 16_000, "FLAC", "PCM_16")
    behind_info = 4 + 4 + 34
    few, many = (encoded[:behind_info] + block * count + encoded[behind_info:] for count in (100, 20_000))
    assert flac.read(few, LIMITS) is not None
    assert flac.read(many, LIMITS) is None


def wav(*chunks, form=b"RIFF", bits=16, channels=1, codec=1, rate=16_000):
    size = channels * bits // 8
    content = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, codec, channels, rate, rate * size, size, bits)
    content += b"".join(name + struct.pack("<I", len(data)) + data for name, data in chunks)
    return form + struct.pack("<I", len(content)) + content


DATA = (b"data", np.arange(-2_000, 2_000, dtype="<i2").tobytes())
INFO = (b"LIST", b"INFOISFT\x06\0\0\0Lavf60")


@pytest.mark.parametrize("chunks", [(DATA,), (INFO, DATA)])
def test_a_plain_wav_has_libsndfiles_samples(chunks):
    clip = plain_wav.read_plain(wav(*chunks), LIMITS)
    assert clip is not None
    assert outcome(lambda *_: clip, b"") == outcome(decode._any_clip, wav(*chunks))


@pytest.mark.parametrize(
    "encoded",
    [
        wav(DATA)[:-2],
        wav(DATA) + b"\0\0",
        wav(DATA, (b"data", b"\0\0")),
        wav((b"data", b"\0" * 1_001)),
        wav((b"data", b"")),
        wav(DATA, channels=2),
        wav(DATA, bits=8),
        wav(DATA, codec=3),
        wav(DATA, form=b"RIFX"),
        wav(DATA, rate=100),
        wav((b"LIST", b"INFOISFT\xff\0\0\0Lavf60"), DATA),
        wav((b"data", b"\0\0" * 31 * 16_000)),
        wav(INFO),
    ],
)
def test_any_other_wav_is_left_to_libsndfile(encoded):
    assert plain_wav.read_plain(encoded, LIMITS) is None
    assert outcome(decode.decode_clip, encoded) == outcome(decode._any_clip, encoded)

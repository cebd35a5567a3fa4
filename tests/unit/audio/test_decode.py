"""Every encoding of the data sets becomes mono 16 kHz, or one row is rejected with its reason."""

import io
import struct
import subprocess
import sys

import av
import librosa
import numpy as np
import pytest
import soundfile

from preprocess.audio.decode import DecodeLimits, decode, decode_native, resample
from shared.errors import RowRejectedError
from shared.schema import QuarantineReason

LIMITS = DecodeLimits()


def speech_like(seconds, sampling_rate, channels=1):
    """Syllables of a gliding tone over faint noise, every channel different."""
    time = np.arange(int(seconds * sampling_rate)) / sampling_rate
    noise = np.random.default_rng(0).standard_normal((channels, len(time)))
    pitch = 140 * np.arange(1, channels + 1)[:, None] * time + 3 * np.sin(4 * time)
    clip = 0.3 * np.sin(2 * np.pi * pitch) * (np.sin(9 * time) > -0.5) + 0.003 * noise
    return np.squeeze(clip.T.astype(np.float32))


def encode(samples, sampling_rate, container, subtype=None):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, sampling_rate, format=container, subtype=subtype)
    return buffer.getvalue()


def encode_av(file, samples, sampling_rate, container, codec, **options):
    with av.open(file, "w", format=container, options=options) as out:
        stream = out.add_stream(codec, rate=sampling_rate)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = sampling_rate, 0
        for converted in av.AudioResampler(format=stream.format.name, layout="mono").resample(frame):
            out.mux(stream.encode(converted))
        out.mux(stream.encode(None))


def patched(encoded, offset, layout, *values):
    data = bytearray(encoded)
    struct.pack_into(layout, data, offset, *values)
    return bytes(data)


def flac_claiming(encoded, num_frames):
    """STREAMINFO's 36-bit sample count begins in the low half of byte 21."""
    high = (encoded[21] & 0xF0) | (num_frames >> 32)
    return patched(patched(encoded, 21, "B", high), 22, ">I", num_frames & 0xFFFFFFFF)


def reason_of(encoded, limits=LIMITS):
    with pytest.raises(RowRejectedError) as caught:
        decode(encoded, limits)
    return caught.value.reason


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize(
    ("container", "subtype", "sampling_rate"),
    [
        ("WAV", "PCM_16", 16_000),
        ("WAV", "PCM_24", 44_100),
        ("WAV", "FLOAT", 8_000),
        ("WAV", "ULAW", 8_000),
        ("FLAC", "PCM_16", 16_000),
        ("FLAC", "PCM_24", 96_000),
        ("MP3", None, 48_000),
        ("MP3", None, 22_050),
        ("OGG", "VORBIS", 32_000),
        ("OGG", "OPUS", 48_000),
        ("AIFF", "PCM_16", 11_025),
    ],
)
def test_a_clip_decodes_to_what_librosa_loads(container, subtype, sampling_rate, channels):
    if container == "MP3":
        channels = min(channels, 2)
    encoded = encode(speech_like(1.3, sampling_rate, channels), sampling_rate, container, subtype)

    samples = decode(encoded, LIMITS)

    expected, _ = librosa.load(io.BytesIO(encoded), sr=16_000, mono=True, res_type="soxr_hq")
    assert samples.dtype == np.float32
    assert samples.shape == expected.shape
    np.testing.assert_allclose(samples, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("container", "codec"), [("mp4", "aac"), ("adts", "aac"), ("webm", "libopus"), ("mp4", "alac")]
)
def test_m4a_aac_and_webm_decode_to_their_signal(container, codec):
    original = speech_like(2.0, 48_000)
    buffer = io.BytesIO()
    encode_av(buffer, original, 48_000, container, codec)

    samples, sampling_rate = decode_native(buffer.getvalue(), LIMITS)

    # ADTS has no field for the encoder's delay of at most 2,112 samples, so the signal comes later there.
    assert sampling_rate == 48_000
    assert len(original) <= len(samples) <= len(original) + 2_112 + 1_024
    similarity = [
        np.corrcoef(samples[delay : delay + 90_000], original[:90_000])[0, 1]
        for delay in (range(0, 2_113, 8) if container == "adts" else [0])
    ]
    assert max(similarity) > 0.98


@pytest.mark.parametrize("num_samples", [1, 2, 7, 1_000, 44_101])
@pytest.mark.parametrize("sampling_rate", [1_000, 8_000, 11_025, 16_000, 44_100, 48_000, 192_000, 768_000])
def test_resampling_gives_librosas_samples_at_any_rate_and_length(num_samples, sampling_rate):
    samples = speech_like(num_samples / sampling_rate, sampling_rate).reshape(-1)
    expected = librosa.resample(samples, orig_sr=sampling_rate, target_sr=16_000, res_type="soxr_hq")
    actual = resample(samples, sampling_rate)
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-6)


def test_nothing_and_a_file_without_samples_are_empty():
    assert reason_of(b"") == QuarantineReason.EMPTY_AUDIO
    assert reason_of(encode(np.empty(0, np.float32), 16_000, "WAV")) == QuarantineReason.EMPTY_AUDIO


@pytest.mark.parametrize("garbage", [b"\0", b"<html>404</html>" * 20, b"RIFF", b"fLaC" + b"\xff" * 99, b"OggS" * 50])
def test_what_is_no_audio_is_undecodable(garbage):
    assert reason_of(garbage) == QuarantineReason.UNDECODABLE


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
def test_one_value_that_is_no_sample_rejects_the_clip(bad):
    clip = speech_like(0.5, 16_000)
    clip[100] = bad
    assert reason_of(encode(clip, 16_000, "WAV", "FLOAT")) == QuarantineReason.NOT_FINITE


@pytest.mark.parametrize(("container", "subtype"), [("WAV", "PCM_16"), ("FLAC", None), ("MP3", None), ("OGG", "OPUS")])
def test_the_limit_of_seconds_is_inclusive_and_the_message_says_how_long(container, subtype):
    limits = DecodeLimits(max_seconds=2.0)
    assert len(decode(encode(speech_like(2.0, 48_000), 48_000, container, subtype), limits)) == 32_000
    with pytest.raises(RowRejectedError, match=r"2\.5\d+ s; the limit is 2 s") as caught:
        decode(encode(speech_like(2.51, 48_000), 48_000, container, subtype), limits)
    assert caught.value.reason == QuarantineReason.TOO_LONG


def test_the_byte_limits_count_encoded_bytes_and_decoded_bytes_of_all_channels():
    stereo = encode(speech_like(1.0, 16_000, 2), 16_000, "WAV", "PCM_16")
    assert reason_of(stereo, DecodeLimits(max_encoded_bytes=len(stereo) - 1)) == QuarantineReason.TOO_LARGE
    assert reason_of(stereo, DecodeLimits(max_decoded_bytes=16_000 * 2 * 4 - 1)) == QuarantineReason.TOO_LARGE
    assert len(decode(stereo, DecodeLimits(max_decoded_bytes=16_000 * 2 * 4))) == 16_000


@pytest.mark.parametrize("size", [0x7FFF_FFFF, 0xFFFF_FFFF, 0x7FFF_F024])
def test_a_wav_from_a_pipe_with_a_made_up_size_is_whole(size):
    clip = encode(speech_like(1.0, 16_000), 16_000, "WAV", "PCM_16")
    streamed = patched(patched(clip, 4, "<I", size), 40, "<I", size)
    np.testing.assert_array_equal(decode(streamed, LIMITS), decode(clip, LIMITS))


def test_a_wav_whose_writer_never_filled_in_its_sizes_is_whole():
    clip = encode(speech_like(1.0, 16_000), 16_000, "WAV", "PCM_16")
    streamed = patched(patched(clip, 4, "<I", 0), 40, "<I", 0)
    np.testing.assert_array_equal(decode(streamed, LIMITS), decode(clip, LIMITS))


@pytest.mark.parametrize("num_frames", [0, 1_000, 300_000])
def test_a_flac_with_a_missing_or_false_length_is_whole(num_frames):
    clip = encode(speech_like(2.0, 16_000), 16_000, "FLAC")
    np.testing.assert_array_equal(decode(flac_claiming(clip, num_frames), LIMITS), decode(clip, LIMITS))


@pytest.mark.parametrize("num_frames", [5, 500_000])
def test_an_mp3_with_a_false_length_is_whole(num_frames):
    clip = encode(speech_like(4.0, 16_000), 16_000, "MP3")
    lying = patched(clip, clip.index(b"Xing") + 8, ">I", num_frames)
    assert len(decode(lying, LIMITS)) == pytest.approx(64_000, abs=1_200)


def test_an_mp3_without_a_length_is_whole():
    clip = encode(speech_like(4.0, 16_000), 16_000, "MP3")
    second_frame = clip.index(clip[:2], clip.index(b"Xing"))
    assert len(decode(clip[second_frame:], LIMITS)) == pytest.approx(64_000, abs=2_400)


def test_both_links_of_a_chained_ogg_are_heard():
    link = encode(speech_like(2.0, 16_000), 16_000, "OGG", "VORBIS")
    assert len(decode(link + link, LIMITS)) == pytest.approx(64_000, abs=640)


@pytest.mark.parametrize(("container", "subtype"), [("WAV", "PCM_16"), ("FLAC", None)])
def test_a_file_cut_short_of_the_length_it_promises_is_undecodable(container, subtype):
    clip = encode(speech_like(2.0, 16_000), 16_000, container, subtype)
    assert reason_of(clip[: len(clip) // 2]) == QuarantineReason.UNDECODABLE


def test_an_m4a_cut_short_of_the_length_it_promises_is_undecodable(tmp_path):
    path = tmp_path / "clip.m4a"
    encode_av(str(path), speech_like(2.0, 48_000), 48_000, "mp4", "aac", movflags="faststart")
    clip = path.read_bytes()
    assert len(decode(clip, LIMITS)) == pytest.approx(32_000, abs=400)
    assert reason_of(clip[: len(clip) * 2 // 3]) == QuarantineReason.UNDECODABLE


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_that_ends_early_keeps_what_it_holds(subtype):
    clip = encode(speech_like(4.0, 16_000), 16_000, "OGG", subtype)
    assert 0 < len(decode(clip[: len(clip) // 2], LIMITS)) < 64_000


def test_a_header_that_counts_itself_twice_is_no_truncation():
    clip = encode(speech_like(1.0, 16_000), 16_000, "WAV", "PCM_16")
    assert len(decode(patched(clip, 4, "<I", len(clip) + 36), LIMITS)) == 16_000


@pytest.mark.parametrize(("container", "needed"), [("WAV", []), ("MP3", []), ("FLAC", ["numba"])])
def test_decoding_what_libsndfile_reads_never_loads_ffmpeg(container, needed):
    clip = encode(speech_like(0.5, 16_000), 16_000, container)
    program = (
        "import sys; from preprocess.audio.decode import DecodeLimits, decode\n"
        "decode(sys.stdin.buffer.read(), DecodeLimits())\n"
        "print(sorted({'av', 'librosa', 'torch', 'numba'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], input=clip, capture_output=True, check=True)
    assert done.stdout.decode().strip() == str(needed)

"""Audio files as the world makes them: what `ffmpeg` and a hand with a byte editor make, against what must come out.

Right values are the program `ffmpeg`'s decode of the file, or of the parts that it was joined from, or the samples that
went in. Lossy parts differ from the program's by rounding and by an encoder's padding, 0.07 s at most.
"""

import struct
import subprocess

import numpy as np
import pytest
import soundfile

from preprocess.audio.decode import DecodeLimits, decode, decode_clip
from shared.errors import RowRejectedError
from shared.schema import QuarantineReason, num_frames_of

LIMITS = DecodeLimits()
PADDING_SECONDS = 0.07


def ffmpeg(*options, data=b""):
    done = subprocess.run(
        ["ffmpeg", "-v", "error", "-nostdin", "-y", *options], input=data, capture_output=True, check=True
    )
    return done.stdout


def speech(path, seconds, rate, *, channels=1, pitch=300, options=()):
    """A file of a chirp that ffmpeg encodes; its bytes."""
    chirp = f"aevalsrc=0.3*sin(2*PI*t*({pitch}+60*t))*(0.6+0.4*sin(7*t)):d={seconds}:s={rate}"
    ffmpeg("-f", "lavfi", "-i", chirp, "-ac", str(channels), "-ar", str(rate), *options, str(path))
    return path.read_bytes()


def reference(path):
    """What the program decodes, mixed down and at 16 kHz."""
    return np.frombuffer(
        ffmpeg("-i", str(path), "-map", "0:a:0", "-f", "f32le", "-ac", "1", "-ar", "16000", "-"), "<f4"
    )


def reason_of(encoded):
    with pytest.raises(RowRejectedError) as caught:
        decode(encoded, LIMITS)
    return caught.value.reason


def assert_like(found, wanted, least=0.99):
    assert abs(len(found) - len(wanted)) <= PADDING_SECONDS * 16_000
    length = min(len(found), len(wanted))
    assert np.corrcoef(found[:length], wanted[:length])[0, 1] > least


JOINED = {
    "mp3": (".mp3", (), ()),
    "mp3 without tags": (
        ".mp3",
        ("-write_xing", "0", "-id3v2_version", "0"),
        ("-write_xing", "0", "-id3v2_version", "0"),
    ),
    "mp2": (".mp2", (), ()),
    "flac": (".flac", (), ()),
    "wav": (".wav", (), ()),
    "aiff": (".aiff", (), ()),
    "au": (".au", (), ()),
    "w64": (".w64", (), ()),
    "caf": (".caf", (), ()),
    "wavpack": (".wv", (), ()),
    "true audio": (".tta", (), ()),
    "m4a": (".m4a", (), ()),
    "aac": (".aac", (), ()),
    "ac3": (".ac3", (), ()),
    "windows media": (".wma", (), ()),
    "vorbis": (".ogg", ("-c:a", "libvorbis"), ("-c:a", "libvorbis")),
    "opus, then vorbis": (".ogg", ("-c:a", "libopus"), ("-c:a", "libvorbis")),
    "speex, then flac in ogg": (".ogg", ("-c:a", "libspeex"), ("-c:a", "flac")),
    "webm": (".webm", (), ()),
}


@pytest.mark.parametrize("name", JOINED)
def test_all_parts_of_a_joined_file_are_heard_each_by_its_own_format(tmp_path, name):
    suffix, first, second = JOINED[name]
    one, other = tmp_path / f"one{suffix}", tmp_path / f"other{suffix}"
    rate = 32_000 if suffix in {".mp2", ".ac3"} else 16_000
    parts = speech(one, 1.1, rate, options=first), speech(other, 1.7, 48_000, channels=2, pitch=500, options=second)

    found = decode(b"".join(parts), LIMITS)

    one, other = reference(one), reference(other)
    # WebM's Opus comes 4 ms later from the FFmpeg of PyAV than from the program, which moves a tone's phase.
    least = -1 if suffix == ".webm" else 0.97 if suffix in {".aac", ".ac3"} else 0.99
    assert_like(found[: len(one) - 800], one[: len(one) - 800], least)
    assert_like(found[-len(other) + 800 :], other[800:], least)
    assert abs(len(found) - len(one) - len(other)) <= 2 * PADDING_SECONDS * 16_000


def test_three_mp3s_joined_with_their_tags_are_their_samples_one_after_the_other(tmp_path):
    parts = [speech(tmp_path / f"{number}.mp3", 1 + number / 10, 16_000, pitch=200 * number) for number in (1, 2, 3)]
    joined = decode(b"".join(parts), LIMITS)
    np.testing.assert_array_equal(joined, np.concatenate([decode(part, LIMITS) for part in parts]))
    assert len(joined) == 16_000 * 3.6


def test_an_mp3_whose_first_part_alone_has_a_count_is_whole(tmp_path):
    bare = ("-write_xing", "0", "-id3v2_version", "0")
    first = speech(tmp_path / "0.mp3", 1.0, 16_000)
    rest = [speech(tmp_path / f"{number}.mp3", 1.0, 16_000, options=bare) for number in (1, 2, 3)]
    (tmp_path / "all.mp3").write_bytes(b"".join([first, *rest]))
    found, wanted = decode(b"".join([first, *rest]), LIMITS), reference(tmp_path / "all.mp3")
    assert len(found) == pytest.approx(len(wanted), abs=PADDING_SECONDS * 16_000)


@pytest.mark.parametrize("tag", [b"TAG" + bytes(125), b"ID3\3\0\0\0\0\1\0" + bytes(128), bytes(3_000)])
def test_what_stands_between_two_mp3s_is_no_end(tmp_path, tag):
    part = speech(tmp_path / "a.mp3", 1.0, 16_000)
    np.testing.assert_array_equal(decode(part + tag + part, LIMITS), np.tile(decode(part, LIMITS), 2))


def test_files_of_two_formats_in_one_are_both_heard(tmp_path):
    mp3, wav = speech(tmp_path / "a.mp3", 1.0, 16_000), speech(tmp_path / "b.wav", 1.0, 16_000)
    for parts in ((mp3, wav), (wav, mp3), (wav, wav)):
        expected = np.concatenate([decode(part, LIMITS) for part in parts])
        np.testing.assert_array_equal(decode(b"".join(parts), LIMITS), expected)


SUFFIXES = ("flac", "wav", "mp3", "ogg", "m4a", "aiff", "w64", "caf", "au", "wv", "tta", "mka", "flv", "avi")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    options = {"ogg": ("-c:a", "libvorbis"), "mka": ("-c:a", "flac"), "flv": ("-ar", "44100")}
    return {suffix: speech(folder / f"a.{suffix}", 1.0, 16_000, options=options.get(suffix, ())) for suffix in SUFFIXES}


@pytest.mark.parametrize("first", SUFFIXES)
def test_behind_a_file_of_any_format_one_of_any_other_is_heard(files, first):
    alone = {suffix: len(decode(files[suffix], LIMITS)) for suffix in SUFFIXES}
    for second in SUFFIXES:
        found = len(decode(files[first] + files[second], LIMITS))
        assert found == pytest.approx(alone[first] + alone[second], abs=0.1 * 16_000), second


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """Frames with no tag or header before them."""
    folder, plain = tmp_path_factory.mktemp("bare"), ("-write_xing", "0", "-id3v2_version", "0")
    return {"mp3": speech(folder / "a.mp3", 1.0, 16_000, options=plain), "aac": speech(folder / "a.aac", 1.0, 16_000)}


@pytest.mark.parametrize("second", ["mp3", "aac"])
@pytest.mark.parametrize("first", SUFFIXES)
def test_frames_that_nothing_announces_are_heard_behind_a_file(files, bare, first, second):
    alone = len(decode(files[first], LIMITS)) + len(decode(bare[second], LIMITS))
    assert len(decode(files[first] + bare[second], LIMITS)) == pytest.approx(alone, abs=0.15 * 16_000)


@pytest.mark.parametrize("suffix", ["wav", "wv"])
@pytest.mark.parametrize("tail", [b"TAG" + bytes(125), bytes(3_000), b"ID3\3\0\0\0\0\1\0" + bytes(128)])
def test_tags_and_zeros_behind_a_file_are_no_damage(files, suffix, tail):
    np.testing.assert_array_equal(decode(files[suffix] + tail, LIMITS), decode(files[suffix], LIMITS))


def test_the_header_of_a_wav_that_a_flac_keeps_is_no_further_file(files):
    flac, kept = files["flac"], b"riff" + files["wav"]
    with_wav = flac[:42] + b"\x02" + len(kept).to_bytes(3) + kept + flac[42:]
    np.testing.assert_array_equal(decode(with_wav, LIMITS), decode(flac, LIMITS))
    assert len(decode(with_wav + files["wav"], LIMITS)) == 2 * len(decode(flac, LIMITS))


def test_wavs_from_a_pipe_that_were_joined_are_both_heard(tmp_path):
    parts = []
    for rate in (16_000, 44_100):
        speech(tmp_path / "a.wav", 1.0, rate)
        parts.append(ffmpeg("-i", str(tmp_path / "a.wav"), "-f", "wav", "-"))
    assert len(decode(b"".join(parts), LIMITS)) == 32_000


def test_a_wav_of_two_data_chunks_is_both():
    samples = (8_000 * np.sin(np.arange(16_000) / 9)).astype("<i2")
    data = b"data" + struct.pack("<I", 32_000) + samples.tobytes()
    head = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 16_000, 32_000, 2, 16)
    encoded = b"RIFF" + struct.pack("<I", len(head) + 2 * len(data)) + head + data + data
    np.testing.assert_array_equal(decode(encoded, LIMITS), np.tile(samples / np.float32(32_768), 2))


def test_a_part_that_does_not_decode_rejects_the_whole(tmp_path):
    part = speech(tmp_path / "a.flac", 1.0, 16_000)
    assert reason_of(part + part[: len(part) // 2]) == QuarantineReason.UNDECODABLE


def test_the_limit_of_seconds_is_that_of_all_parts(tmp_path):
    part = speech(tmp_path / "a.flac", 16.0, 16_000)
    assert reason_of(part + part) == QuarantineReason.TOO_LONG


BEFORE = {
    "500 zeros": bytes(500),
    "4,096 zeros": bytes(4_096),
    "600 bytes of junk": np.random.default_rng(1).bytes(600),
    "an id3 tag with uncounted padding": b"ID3\4\0\0\0\0\0\x0a" + bytes(10) + bytes(2_038),
    "an id3 tag that counts too much": b"ID3\4\0\0\x7f\x7f\x7f\x7f",
    "a web page's first line": b"<!DOCTYPE html>\r\n",
}


@pytest.mark.parametrize("name", BEFORE)
def test_an_mp3_behind_what_does_not_belong_to_it_is_the_mp3(tmp_path, name):
    encoded = speech(tmp_path / "a.mp3", 2.0, 16_000, options=("-id3v2_version", "0"))
    np.testing.assert_array_equal(decode(BEFORE[name] + encoded, LIMITS), decode(encoded, LIMITS))
    (tmp_path / "b.mp3").write_bytes(BEFORE[name] + encoded)
    if "counts too much" not in name:
        assert len(decode(encoded, LIMITS)) == pytest.approx(len(reference(tmp_path / "b.mp3")), abs=0.1 * 16_000)


@pytest.mark.parametrize("cut", [101, 700, 1_999])
def test_an_mp3_cut_within_a_frame_is_what_is_left(tmp_path, cut):
    encoded = speech(tmp_path / "a.mp3", 2.0, 16_000)[cut:]
    (tmp_path / "b.mp3").write_bytes(encoded)
    assert_like(decode(encoded, LIMITS), reference(tmp_path / "b.mp3"))


@pytest.mark.parametrize("junk", [bytes(77), b"ID3\3\0\0\0\0\1\0" + bytes(128)])
@pytest.mark.parametrize("suffix", [".flac", ".wav", ".m4a", ".ogg"])
def test_other_files_behind_zeros_or_a_tag_are_themselves(tmp_path, suffix, junk):
    encoded = speech(tmp_path / f"a{suffix}", 1.0, 16_000)
    np.testing.assert_array_equal(decode(junk + encoded, LIMITS), decode(encoded, LIMITS))


CONTAINERS = {
    "oga": ("-c:a", "flac"), "spx": ("-ar", "32000", "-c:a", "libspeex"), "wv": (), "tta": (), "wma": (), "ac3": (),
    "eac3": (), "dts": ("-strict", "-2", "-c:a", "dca"), "thd": ("-strict", "-2", "-ac", "2"), "mlp": ("-strict", "-2"),
    "ts": (), "mpg": ("-f", "mpeg"), "latm": ("-c:a", "aac"), "flv": ("-ar", "44100"), "avi": (), "mka": (), "mov": (),
    "caf": ("-c:a", "alac"), "sox": (), "mp2": (), "g722.wav": ("-c:a", "g722"),
    "rm": ("-ar", "8000", "-c:a", "real_144"),
}  # fmt: skip


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_a_container_of_the_list_decodes_as_the_program_decodes_it(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    encoded = speech(path, 1.0, 48_000, options=CONTAINERS[suffix])
    assert_like(decode(encoded, LIMITS), reference(path), least=0.98)


@pytest.mark.parametrize("suffix", ["aiff", "au", "w64", "caf", "wv", "tta", "wma"])
def test_a_file_that_states_its_length_is_whole_or_rejected(tmp_path, suffix):
    encoded = speech(tmp_path / f"a.{suffix}", 2.0, 16_000)
    assert reason_of(encoded[: len(encoded) * 2 // 3]) == QuarantineReason.UNDECODABLE


def test_a_playlist_and_a_script_are_no_audio():
    for text in ("#EXTM3U\n#EXTINF:9,\nfile:///etc/passwd\n", "ffconcat version 1.0\nfile '/etc/passwd'\n"):
        assert reason_of(text.encode()) == QuarantineReason.UNDECODABLE


def wav_with_sizes(path, riff=None, data=None, tail=b""):
    """A second of 16-bit WAV whose sizes are replaced, and its samples."""
    samples = (9_000 * np.sin(np.arange(16_000) / 7)).astype(np.int16)
    soundfile.write(path, samples, 16_000, subtype="PCM_16")
    encoded = bytearray(path.read_bytes() + tail)
    if riff is not None:
        struct.pack_into("<I", encoded, 4, riff)
    if data is not None:
        struct.pack_into("<I", encoded, 40, data)
    return bytes(encoded), samples / np.float32(32_768)


@pytest.mark.parametrize("riff", [0, 36, 1_000, 32_036 + 8, 100_000, 10_000_000, 2**31 - 1, 2**32 - 1])
def test_a_wav_whose_outer_size_alone_is_wrong_is_whole(tmp_path, riff):
    encoded, samples = wav_with_sizes(tmp_path / "a.wav", riff=riff)
    np.testing.assert_array_equal(decode(encoded, LIMITS), samples)
    np.testing.assert_allclose(reference(tmp_path / "a.wav"), samples, atol=1e-6)


def test_a_wav_cut_off_is_rejected_whatever_its_outer_size(tmp_path):
    for riff in (None, 0, 2**32 - 1):
        encoded, _ = wav_with_sizes(tmp_path / "a.wav", riff=riff)
        assert reason_of(encoded[:20_000]) == QuarantineReason.UNDECODABLE


def test_a_wav_whose_data_chunk_leaves_out_half_of_it_is_rejected(tmp_path):
    encoded, _ = wav_with_sizes(tmp_path / "a.wav", data=16_000)
    assert reason_of(encoded) == QuarantineReason.UNDECODABLE


def test_a_wav_with_a_cut_list_of_titles_behind_its_audio_is_whole(tmp_path):
    encoded, samples = wav_with_sizes(
        tmp_path / "a.wav", riff=60_000, tail=b"LIST" + struct.pack("<I", 20_000) + b"INFO"
    )
    np.testing.assert_array_equal(decode(encoded, LIMITS), samples)


LOSSY = {
    "mp3": ("-c:a", "libmp3lame"), "bare.mp3": ("-c:a", "libmp3lame", "-write_xing", "0"), "aac": (), "m4a": (),
    "mp2": (), "ac3": (), "ogg": ("-c:a", "libvorbis"), "opus": (), "webm": (), "wma": (), "spx": (),
    "ima.wav": ("-c:a", "adpcm_ima_wav"),
}  # fmt: skip


@pytest.mark.parametrize("suffix", LOSSY)
@pytest.mark.parametrize("seconds", [2.0])
def test_a_clip_of_exactly_the_limit_is_taken_in_every_codec(tmp_path, suffix, seconds):
    rate = 32_000 if suffix in {"mp2", "ac3"} else 16_000
    encoded = speech(tmp_path / f"a.{suffix}", seconds, rate, options=LOSSY[suffix])
    samples = decode(encoded, DecodeLimits(max_seconds=seconds))
    assert len(samples) == pytest.approx(seconds * 16_000, abs=0.02 * 16_000)
    assert len(samples) <= seconds * 16_000


@pytest.mark.parametrize("suffix", ["mp3", "bare.mp3", "aac", "flac", "opus"])
def test_audio_beyond_the_limit_is_no_padding(tmp_path, suffix):
    encoded = speech(tmp_path / f"a.{suffix}", 2.15, 16_000, options=LOSSY.get(suffix, ()))
    with pytest.raises(RowRejectedError, match="the limit is 2 s") as caught:
        decode(encoded, DecodeLimits(max_seconds=2.0))
    assert caught.value.reason == QuarantineReason.TOO_LONG


@pytest.mark.parametrize("max_seconds", [30.0, 30.5])
def test_a_clip_of_thirty_seconds_fits_whispers_window_under_any_limit(tmp_path, max_seconds):
    encoded = speech(tmp_path / "a.mp3", 30, 16_000, options=("-write_xing", "0"))
    samples = decode(encoded, DecodeLimits(max_seconds=max_seconds))
    assert len(samples) == 480_000
    assert num_frames_of(len(samples)) == 3_000


def stereo(tmp_path, left, right):
    soundfile.write(tmp_path / "a.flac", np.stack([left, right], axis=1), 16_000, subtype="PCM_24")
    return decode_clip((tmp_path / "a.flac").read_bytes(), LIMITS)


def test_channels_of_opposite_phase_are_told_and_others_are_not(tmp_path):
    voice = 0.3 * np.sin(np.arange(32_000) / 9)
    noise = 0.01 * np.random.default_rng(0).standard_normal((2, 32_000))
    assert stereo(tmp_path, voice, -voice).cancelled
    assert stereo(tmp_path, voice + noise[0], noise[1] - 0.9 * voice).cancelled
    assert not stereo(tmp_path, voice, voice).cancelled
    assert not stereo(tmp_path, voice, 0 * voice).cancelled
    assert not stereo(tmp_path, *noise).cancelled
    assert not stereo(tmp_path, 1e-6 * voice, -1e-6 * voice).cancelled

"""Rows rebuilt to Whisper's window are what `WhisperFeatureExtractor` computes, at every length and for any signal."""

import functools

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import WhisperFeatureExtractor

from preprocess.demo.speech import SPEECH_SAMPLING_RATE, synthesise
from preprocess.features.log_mel import LogMel, floor_of, quantise
from preprocess.features.mel import mel_filters
from shared.rows import rebuild
from shared.schema import FeatureSpec, num_frames_of

# Lengths at which the left reflection, the number of frames, the right reflection or the window changes.
EDGES = [0, 1, 2, 159, 160, 161, 199, 200, 201, 202, 399, 400, 401, 20_279, 20_280, 20_281, 40_760, 59_200]
WINDOW_END = [479_600, 479_639, 479_640, 479_641, 479_799, 479_800, 479_801, 479_958, 479_959, 479_960, 479_961]
BEYOND = [479_999, 480_000, 480_001, 480_159, 480_160, 480_161, 500_000]


@functools.cache
def extractor(num_mel_bins):
    return WhisperFeatureExtractor(feature_size=num_mel_bins)


@functools.cache
def log_mel_of(num_mel_bins):
    return LogMel(mel_filters(num_mel_bins))


@functools.cache
def german_speech():
    """espeak-ng's German voice, looped to 32 s."""
    text = "Guten Morgen, der Zug nach Köln fährt um zwölf Uhr dreißig von Gleis sieben ab."
    spoken = synthesise(text, voice="de", rate=175, pitch=50)
    samples = soxr.resample(spoken.astype(np.float32) / 32_768, SPEECH_SAMPLING_RATE, 16_000)
    return np.resize(samples, 32 * 16_000)


def signal(kind, num_samples):
    noise = np.random.default_rng(num_samples).standard_normal(num_samples)
    clip = {
        "speech": lambda: german_speech()[:num_samples],
        "clipping": lambda: np.clip(8 * german_speech()[:num_samples], -1, 1),
        "silence": lambda: np.zeros(num_samples),
        "noise": lambda: 0.1 * noise,
        "faint noise": lambda: 1e-6 * noise,
        "dc": lambda: np.full(num_samples, 0.5),
    }[kind]()
    return clip.astype(np.float32)


def window_of(samples):
    """The padded window's samples: 30 s, or the clip rounded up to a hop where that is longer."""
    window = np.zeros(max(480_000, -(-len(samples) // 160) * 160), np.float32)
    window[: len(samples)] = samples
    return window


def reference(samples, num_mel_bins, path="torch"):
    """`WhisperFeatureExtractor`'s result as `[window_frames, num_mel_bins]`, from its torch or its numpy path."""
    if path == "torch":
        return extractor(num_mel_bins)._torch_extract_fbank_features(window_of(samples)).T
    return extractor(num_mel_bins)._np_extract_fbank_features(window_of(samples)[None], "cpu")[0].T


def padded(samples, num_mel_bins):
    """Ours in float32, padded with the row's floor."""
    log_mel = log_mel_of(num_mel_bins)(samples)
    window_frames = len(window_of(samples)) // 160
    out = np.full((window_frames, num_mel_bins), floor_of(log_mel), np.float32)
    out[: len(log_mel)] = log_mel
    return out


@pytest.mark.parametrize("num_mel_bins", [80, 128])
@pytest.mark.parametrize("kind", ["speech", "clipping", "silence", "noise", "faint noise", "dc"])
def test_every_length_rebuilds_to_whispers_window(kind, num_mel_bins):
    for num_samples in EDGES + WINDOW_END + BEYOND:
        samples = signal(kind, num_samples)
        expected, actual = reference(samples, num_mel_bins), padded(samples, num_mel_bins)
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4, err_msg=f"{num_samples} samples")
        same = np.mean(actual.astype(np.float16) == expected.astype(np.float16))
        assert same >= 0.995, f"{num_samples} samples: {same:.4f} of the float16 values are identical"


@pytest.mark.parametrize("num_mel_bins", [80, 128])
@pytest.mark.parametrize("kind", ["speech", "clipping", "noise"])
def test_whispers_numpy_path_agrees_as_well(kind, num_mel_bins):
    for num_samples in [1, 201, 59_200, 479_960, 480_001]:
        samples = signal(kind, num_samples)
        expected, actual = reference(samples, num_mel_bins, "numpy"), padded(samples, num_mel_bins)
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4, err_msg=f"{num_samples} samples")
        assert np.mean(actual.astype(np.float16) == expected.astype(np.float16)) >= 0.995


@pytest.mark.parametrize("num_samples", [1, 59_200, 480_000])
def test_the_extractors_public_call_gives_the_rebuilt_row(num_samples):
    samples, spec = signal("speech", num_samples), FeatureSpec(80, "float16")
    log_mel = log_mel_of(80)(samples)
    floor = floor_of(log_mel)

    rebuilt = rebuild(quantise(log_mel, floor, "float16"), spec, len(log_mel), floor)

    expected = extractor(80)(samples, sampling_rate=16_000)["input_features"][0].T
    assert rebuilt.shape == expected.shape
    np.testing.assert_allclose(rebuilt, expected.astype(np.float16), rtol=0, atol=0.001)


def test_a_clip_over_30_s_is_what_the_extractor_gives_without_truncation():
    samples = signal("speech", 490_001)
    call = extractor(80)(samples, sampling_rate=16_000, truncation=False, padding="longest", pad_to_multiple_of=160)
    expected = call["input_features"][0].T
    np.testing.assert_allclose(padded(samples, 80), expected, rtol=0, atol=1e-4)


@st.composite
def mixes(draw):
    """Tone, noise and offset in any proportion, clipped, from full scale down to 120 dB below it."""
    lengths = st.one_of(st.integers(0, 1_000), st.integers(1_000, 100_000), st.integers(479_000, 481_000))
    num_samples = draw(lengths)
    tone = np.sin(2 * np.pi * draw(st.floats(0, 8_000)) / 16_000 * np.arange(num_samples))
    hiss = draw(st.floats(0, 1)) * np.random.default_rng(num_samples).standard_normal(num_samples)
    peak = 10 ** draw(st.floats(-6, 0))
    return (peak * np.clip(tone + hiss + draw(st.floats(-0.5, 0.5)), -1, 1)).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(samples=mixes(), num_mel_bins=st.sampled_from([80, 128]))
def test_any_mix_of_tone_noise_and_offset_agrees(samples, num_mel_bins):
    """Above the last two decades before the clamp; there, bare tones put torch's own float32 4e-4 from float64."""
    expected, actual = reference(samples, num_mel_bins), padded(samples, num_mel_bins)
    audible = expected > expected.max() - 1.5
    np.testing.assert_allclose(actual[audible], expected[audible], rtol=0, atol=1e-4)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=2e-3)
    assert len(log_mel_of(num_mel_bins)(samples)) == num_frames_of(len(samples))

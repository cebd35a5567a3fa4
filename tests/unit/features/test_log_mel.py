"""`preprocess.features.log_mel` and `shared.rows`: log-mel of exactly the frames with signal, as bytes and back."""

import subprocess
import sys

import librosa
import numpy as np
import pytest

from preprocess.features.log_mel import SILENCE, LogMel, floor_of, quantise
from preprocess.features.mel import mel_filters
from shared.errors import StoreError
from shared.rows import STEP, dequantise, rebuild, view
from shared.schema import FeatureSpec, num_frames_of

FILTERS = {80: mel_filters(80), 128: mel_filters(128)}


def clip(num_samples, seed=0):
    """Noise whose loudness rises and falls by 80 dB, so that the clamp acts."""
    loudness = 10 ** (2 * np.sin(np.arange(num_samples) / 3_000) - 3)
    return (loudness * np.random.default_rng(seed).standard_normal(num_samples)).astype(np.float32)


@pytest.mark.parametrize("num_mel_bins", [80, 128])
def test_the_filter_bank_is_float32_and_weighs_every_bin_but_the_first_and_the_last(num_mel_bins):
    filters = FILTERS[num_mel_bins]
    assert filters.dtype == np.float32
    assert filters.shape == (num_mel_bins, 201)
    assert np.flatnonzero(filters.sum(axis=0) == 0).tolist() == [0, 200]


@pytest.mark.parametrize("num_mel_bins", [80, 128])
def test_the_filter_bank_is_librosas_to_the_last_bit(num_mel_bins):
    expected = librosa.filters.mel(sr=16_000, n_fft=400, n_mels=num_mel_bins, fmax=8_000, htk=False, norm="slaney")
    np.testing.assert_array_equal(FILTERS[num_mel_bins], expected)


@pytest.mark.parametrize("num_samples", [0, 1, 160, 201, 16_000, 479_999, 480_000, 480_001])
def test_a_clip_has_its_own_frames_and_no_padding(num_samples):
    log_mel = LogMel(FILTERS[80])(clip(num_samples))
    assert log_mel.dtype == np.float32
    assert log_mel.shape == (num_frames_of(num_samples), 80)
    assert log_mel.flags.c_contiguous


def test_values_span_no_more_than_the_range_above_the_floor_and_some_lie_on_it():
    log_mel = LogMel(FILTERS[128])(clip(50_000))
    floor = floor_of(log_mel)
    assert log_mel.min() == floor
    assert log_mel.max() <= floor + 2.0


def test_silence_is_one_constant_and_its_own_floor():
    log_mel = LogMel(FILTERS[80])(np.zeros(5_000, np.float32))
    assert set(log_mel.ravel()) == {SILENCE}
    assert floor_of(log_mel) == SILENCE


def test_the_floor_never_falls_below_digital_silence():
    assert floor_of(np.array([[-1.0, -1.4]], np.float32)) == SILENCE
    assert floor_of(np.array([[1.0, -0.5]], np.float32)) == np.float32(-1.0)


def test_a_clip_gives_the_same_bytes_whatever_came_before_it():
    clips = [clip(num_samples, seed) for seed, num_samples in enumerate([59_200, 1, 300, 480_000, 20_481, 61_000])]
    log_mel, reverse = LogMel(FILTERS[80]), LogMel(FILTERS[80])
    forwards = [log_mel(samples).tobytes() for samples in clips]
    backwards = [reverse(samples).tobytes() for samples in reversed(clips)]
    assert forwards == backwards[::-1]


def test_a_clip_gives_the_same_bytes_from_any_memory_and_stays_as_it_is():
    samples, log_mel = clip(30_000), LogMel(FILTERS[80])
    shifted = np.empty(30_001, np.float32)[1:]
    shifted[:] = samples
    spread = np.repeat(samples, 2)[::2]
    frozen = samples.copy()
    frozen.flags.writeable = False
    assert len({log_mel(variant).tobytes() for variant in (samples, shifted, spread, frozen)}) == 1
    np.testing.assert_array_equal(shifted, samples)


def test_another_process_gives_the_same_bytes():
    program = (
        "import sys, numpy as np; from preprocess.features.log_mel import LogMel\n"
        "filters = np.frombuffer(sys.stdin.buffer.read(80 * 201 * 4), np.float32).reshape(80, 201)\n"
        "sys.stdout.buffer.write(LogMel(filters)(np.frombuffer(sys.stdin.buffer.read(), np.float32)).tobytes())"
    )
    samples = clip(30_000)
    piped = FILTERS[80].tobytes() + samples.tobytes()
    done = subprocess.run([sys.executable, "-c", program], input=piped, capture_output=True, check=True)
    assert done.stdout == LogMel(FILTERS[80])(samples).tobytes()


def test_actors_need_neither_librosa_nor_torch():
    program = (
        "import sys; import preprocess.features.log_mel, shared.rows\n"
        "print(sorted({'librosa', 'torch', 'transformers', 'ray'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.decode().strip() == "[]"


@pytest.mark.parametrize("samples", [np.zeros(100), np.zeros(100, np.int16), np.zeros((100, 2), np.float32)])
def test_samples_of_another_type_or_shape_are_refused(samples):
    with pytest.raises(TypeError, match="expected float32"):
        LogMel(FILTERS[80])(samples)


def test_a_filter_bank_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="expected"):
        LogMel(FILTERS[80].T)


def test_a_float16_payload_is_the_values_rounded_once():
    log_mel = LogMel(FILTERS[128])(clip(20_000))
    payload, spec = quantise(log_mel, floor_of(log_mel), "float16"), FeatureSpec(128, "float16")
    assert len(payload) == spec.payload_bytes(len(log_mel))
    np.testing.assert_array_equal(view(payload, spec, len(log_mel)), log_mel.astype(np.float16))


def test_a_uint8_payload_errs_by_at_most_half_a_step():
    log_mel = LogMel(FILTERS[128])(clip(20_000))
    floor, spec = floor_of(log_mel), FeatureSpec(128, "uint8")
    payload = quantise(log_mel, floor, "uint8")
    assert len(payload) == spec.payload_bytes(len(log_mel))
    assert np.abs(dequantise(payload, spec, len(log_mel), floor) - log_mel).max() <= STEP / 2 + 1e-6


def test_a_uint8_payload_keeps_the_floor_exactly_and_uses_all_steps():
    log_mel = LogMel(FILTERS[80])(clip(50_000))
    floor, spec = floor_of(log_mel), FeatureSpec(80, "uint8")
    payload = quantise(log_mel, floor, "uint8")
    assert (min(payload), max(payload)) == (0, 255)
    assert dequantise(payload, spec, len(log_mel), floor).min() == floor


@pytest.mark.parametrize("dtype", ["float16", "uint8"])
def test_rebuilding_puts_the_floor_after_the_rows_own_frames(dtype):
    log_mel = LogMel(FILTERS[80])(clip(20_000))
    floor, spec = floor_of(log_mel), FeatureSpec(80, dtype)
    payload = quantise(log_mel, floor, dtype)

    window = rebuild(payload, spec, len(log_mel), floor, window_frames=500)

    assert window.dtype == np.float32
    assert window.shape == (500, 80)
    np.testing.assert_array_equal(window[: len(log_mel)], dequantise(payload, spec, len(log_mel), floor))
    assert set(window[len(log_mel) :].ravel()) == {floor}


def test_a_view_shares_the_payloads_memory():
    payload = bytearray(quantise(np.zeros((3, 80), np.float32), np.float32(-1), "float16"))
    values = view(memoryview(payload), FeatureSpec(80, "float16"), 3)
    payload[1] = 0x3C
    assert values[0, 0] == 1.0


def test_a_payload_of_the_wrong_size_and_a_row_longer_than_the_window_are_refused():
    spec = FeatureSpec(80, "uint8")
    with pytest.raises(StoreError, match="79 bytes"):
        view(bytes(79), spec, 1)
    with pytest.raises(StoreError, match="does not fit"):
        rebuild(bytes(160), spec, 2, -1.0, window_frames=1)

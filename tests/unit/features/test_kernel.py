"""`preprocess.features.spectrum` and `kernel`: compiled loops that give what numpy gives, on every CPU the same."""

import os
import subprocess
import sys

import numpy as np
import pytest

from preprocess.features import kernel, spectrum
from preprocess.features.log_mel import fixed_clip_digest
from preprocess.features.spectrum import BINS, FRAMES


def test_the_power_spectrum_is_that_of_a_slow_transform_in_double_precision():
    frames = np.random.default_rng(0).standard_normal((FRAMES, 400)).astype(np.float32)
    x, y = np.ascontiguousarray(frames.T).reshape(-1), np.empty(spectrum.BUFFER, np.float32)
    power = np.empty(BINS * FRAMES, np.float32)
    spectrum.radix8(x, y)
    spectrum.radix5_first(y, x)
    spectrum.radix5_last(x, y)
    spectrum.power(y, power)
    expected = np.abs(np.fft.rfft(frames.astype(np.float64), axis=1)).T ** 2
    expected[1:-1] *= 4
    np.testing.assert_allclose(power.reshape(BINS, FRAMES), expected, rtol=1e-5, atol=1e-6 * expected.max())


@pytest.mark.parametrize("start", [0, 160, 3_200])
def test_a_block_of_windowed_frames_is_every_hop_of_160_samples_times_the_window(start):
    signal = np.random.default_rng(1).standard_normal(start + 18 * 160).astype(np.float32)
    weights = np.hanning(401)[:-1].astype(np.float32)
    columns, out = np.empty(160 * 18, np.float32), np.empty(400 * FRAMES, np.float32)
    spectrum.gather(signal, start, columns)
    spectrum.window(columns, weights, out)
    expected = np.lib.stride_tricks.sliding_window_view(signal[start:], 400)[::160][:FRAMES] * weights
    np.testing.assert_array_equal(out.reshape(400, FRAMES), expected.T)


def test_the_logarithm_errs_by_no_more_than_float32_does_and_silence_is_one_value():
    mel = np.concatenate([10 ** np.linspace(-10, 8, 100_001), [1.0, 0.5, 2.0**-0.5]]).astype(np.float32)[1:]
    values = mel.copy()
    scratch = np.empty_like(values), np.empty_like(values)
    kernel._log(values, values.view(np.int32), scratch[0], scratch[1], scratch[1].view(np.int32))
    np.testing.assert_allclose(values, 1 + np.log10(mel.astype(np.float64)) / 4, rtol=0, atol=4e-7)
    quiet = np.array([0.0, 1e-30, 1e-10], np.float32)
    kernel._log(quiet, quiet.view(np.int32), *(np.empty(3, np.float32) for _ in range(2)), np.empty(3, np.int32))
    assert set(quiet) == {kernel.SILENCE}


def test_float32_is_rounded_to_float16_as_numpy_does_at_every_number_and_every_tie():
    numbers = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
    ties = (numbers[1:] + numbers[:-1]) / 2
    values = np.concatenate([numbers, ties, np.nextafter(ties, np.float32(0)), np.nextafter(ties, np.float32(1e9))])
    values = np.concatenate([values, -values])
    scratch, out = np.empty_like(values), np.empty(len(values), np.uint16)
    kernel.halves(values, values.view(np.int32), scratch, scratch.view(np.int32), out)
    np.testing.assert_array_equal(out, values.astype(np.float16).view(np.uint16))


def test_a_cpu_without_wide_vectors_or_fused_products_gives_the_same_bytes(tmp_path):
    program = "from preprocess.features.log_mel import fixed_clip_digest; print(fixed_clip_digest())"
    narrow = {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": "+sse2", "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | narrow, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == fixed_clip_digest()

"""A model of another window than 30 s gets the log-mel that transformers' extractor makes for it."""

import numpy as np
import pytest
from transformers import WhisperFeatureExtractor

from preprocess.features.log_mel import LogMel, floor_of
from preprocess.features.mel import mel_filters


@pytest.mark.parametrize("num_samples", [240_000, 239_950, 239_000, 100_000])
def test_frames_and_values_are_the_extractors_own(num_samples):
    samples = np.random.default_rng(0).normal(0, 0.1, num_samples).astype(np.float32)
    extractor = WhisperFeatureExtractor(feature_size=80, chunk_length=15)
    expected = extractor(samples, sampling_rate=16_000, return_tensors="np")["input_features"][0].T
    found = LogMel(mel_filters(80), window_frames=1_500)(samples)
    assert expected.shape == (1_500, 80)
    assert len(found) <= 1_500
    whole = np.full_like(expected, floor_of(found))
    whole[: len(found)] = found
    np.testing.assert_allclose(whole, expected, atol=1e-4)

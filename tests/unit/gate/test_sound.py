"""A clip is heard again from its log-mel: with the same log-mel, but for what that leaves out."""

import numpy as np
from faster_whisper.feature_extractor import FeatureExtractor

from shared.schema import SAMPLING_RATE
from trainer.gate.sound import audible


def test_the_sound_of_a_log_mel_has_that_log_mel():
    seconds = np.arange(SAMPLING_RATE) / SAMPLING_RATE
    tones = sum(np.sin(2 * np.pi * 140 * number * seconds) / number for number in range(1, 20))
    voice = (tones * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * seconds)) / 8).astype(np.float32)
    extractor = FeatureExtractor(feature_size=80)
    before = extractor(voice, padding=0)
    sound = audible(before)
    assert sound.dtype == np.float32
    assert len(sound) == len(voice)
    assert np.abs(sound).max() <= 0.51
    after = extractor(sound, padding=0)
    # Loudness is not kept, and log-mel counts it as a constant.
    shift = np.median(after - before)
    assert np.median(np.abs(after - shift - before)[:, 5:-5]) < 0.1


def test_silence_stays_finite():
    assert np.isfinite(audible(np.full((128, 10), -1.5, np.float32))).all()

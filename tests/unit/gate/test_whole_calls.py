"""The long recording of the gate is longer than any window, whatever clips there are."""

import numpy as np

from shared.schema import SAMPLING_RATE, WINDOW_SAMPLES
from trainer.gate.whole_calls import joined


def test_few_short_clips_are_heard_again_until_they_are_longer_than_the_window():
    one, other = np.full(SAMPLING_RATE, 0.5, np.float32), np.full(2 * SAMPLING_RATE, 0.25, np.float32)
    found = joined([one, np.empty(0, np.float32), other])
    assert WINDOW_SAMPLES < len(found) <= WINDOW_SAMPLES + 9 * SAMPLING_RATE
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[: 4 * SAMPLING_RATE], np.concatenate([one, other, one]))


def test_clips_without_sound_make_no_recording():
    assert not len(joined([]))
    assert not len(joined([np.empty(0, np.float32)]))

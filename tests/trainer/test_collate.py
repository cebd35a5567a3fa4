"""Micro-batches from a real store: what the model sees is what is in the store, with the right padding."""

import numpy as np
import pytest

from shared.rows import STEP, rebuild
from shared.schema import WINDOW_FRAMES, FeatureSpec
from shared.store import open_split
from tests.support.samples import feature_row, make_store
from trainer.collate import FRAME_MULTIPLE, IGNORED, Padding, collate, context_frames

FRAMES = (40, 7, 64, 3_000)
LABELS = ([50258, 50261, 1, 2, 50257], [50258, 50261, 50257], [50258, 50261, 3, 50257], [50258, 50261, 50257])


@pytest.fixture(params=["float16", "uint8"])
def split(request, tmp_path):
    spec = FeatureSpec(8, request.param)
    rows = [
        feature_row(number, frames, spec, labels=labels, floor=-1.25 - number / 8)
        for number, (frames, labels) in enumerate(zip(FRAMES, LABELS, strict=True))
    ]
    make_store(tmp_path / "store", {"train": [rows]}, spec)
    return open_split(tmp_path / "store", "train")


def values(split, batch):
    """Features as the model gets them: float32."""
    if split.spec.dtype == "float16":
        return batch.features.astype(np.float32)
    return batch.features * STEP + batch.floor[:, None, None]


def test_clips_stand_unchanged_before_their_own_floor(split):
    batch = collate(split, [0, 1, 2])
    assert batch.features.dtype == split.spec.dtype
    assert batch.features.shape == (3, 64, 8)
    for number in range(3):
        count = FRAMES[number]
        np.testing.assert_array_equal(batch.features[number, :count], split.log_mel(number))
        np.testing.assert_allclose(values(split, batch)[number, count:], split.floor[number], atol=1e-3)


def test_the_context_is_that_of_the_longest_clip_rounded_up():
    assert context_frames(64, Padding.OWN) == 64
    assert context_frames(65, Padding.OWN) == 64 + FRAME_MULTIPLE
    assert context_frames(3_001, Padding.OWN) == 3_008


@pytest.mark.parametrize("row", range(4))
def test_silence_to_the_full_window_is_what_whisper_would_see(split, row):
    batch = collate(split, [row], Padding.SILENCE)
    expected = rebuild(split.log_mel(row).tobytes(), split.spec, FRAMES[row], float(split.floor[row]))
    np.testing.assert_allclose(values(split, batch)[0], expected, atol=1e-3)


def test_zeros_to_the_full_window_are_zeros_in_the_mel_domain(split):
    batch = collate(split, [1], Padding.ZEROS)
    assert batch.features.shape[1] == WINDOW_FRAMES
    # A step of uint8 is 0.0078.
    np.testing.assert_allclose(values(split, batch)[0, FRAMES[1] :], 0.0, atol=0.004)


def test_the_start_token_is_an_input_once_and_never_a_target(split):
    batch = collate(split, [0, 1])
    assert batch.inputs.tolist() == [[50258, 50261, 1, 2], [50258, 50261, 50257, 50257]]
    assert batch.targets.tolist() == [[50261, 1, 2, 50257], [50261, 50257, IGNORED, IGNORED]]
    assert batch.num_targets == 6


def test_no_rows_and_rows_too_long_for_the_window_are_refused(split):
    with pytest.raises(ValueError, match="at least one row"):
        collate(split, [])
    with pytest.raises(ValueError, match="3001 frames does not fit"):
        context_frames(3_001, Padding.SILENCE)

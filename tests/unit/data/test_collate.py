"""Micro-batches from a real store: what the model sees is what is in the store, with the right padding."""

import numpy as np
import pytest

from shared.rows import STEP, rebuild
from shared.schema import WINDOW_FRAMES, FeatureSpec
from shared.store import open_split
from tests.support.samples import feature_row, make_store
from trainer.data.clips import Clip, Clips, Padding
from trainer.data.collate import FRAME_MULTIPLE, Batch, collate, collate_many, context_frames
from trainer.data.spec_augment import SpecAugment

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


def own(*rows):
    """Clips of *rows* at their own length."""
    return Clips.of([Clip(row, FRAMES[row]) for row in rows])


def values(split, batch):
    """Features as the model gets them: float32."""
    if split.spec.dtype == "float16":
        return batch.features.astype(np.float32)
    return batch.features * STEP + batch.floor[:, None, None]


def test_clips_stand_unchanged_before_their_own_floor(split):
    batch = collate(split, own(0, 1, 2))
    assert batch.features.dtype == split.spec.dtype
    assert batch.features.shape == (3, 64, 8)
    for number in range(3):
        count = FRAMES[number]
        np.testing.assert_array_equal(batch.features[number, :count], split.log_mel(number))
        np.testing.assert_allclose(values(split, batch)[number, count:], split.floor[number], atol=1e-3)


def test_the_context_is_that_of_the_longest_clip_rounded_up():
    assert context_frames(64) == 64
    assert context_frames(65) == 64 + FRAME_MULTIPLE
    assert context_frames(2_993) == context_frames(3_000) == 3_000
    assert context_frames(3_001) == 3_008


@pytest.mark.parametrize("row", range(4))
def test_silence_to_the_full_window_is_what_whisper_would_see(split, row):
    batch = collate(split, Clips.of([Clip(row, WINDOW_FRAMES, padding=Padding.SILENCE)]))
    expected = rebuild(split.log_mel(row).tobytes(), split.spec, FRAMES[row], float(split.floor[row]))
    np.testing.assert_allclose(values(split, batch)[0], expected, atol=1e-3)


def test_zeros_to_the_full_window_are_zeros_in_the_mel_domain(split):
    batch = collate(split, Clips.of([Clip(1, WINDOW_FRAMES, padding=Padding.ZEROS), Clip(0, WINDOW_FRAMES)]))
    assert batch.features.shape[1] == WINDOW_FRAMES
    # A step of uint8 is 0.0078.
    np.testing.assert_allclose(values(split, batch)[0, FRAMES[1] :], 0.0, atol=0.004)
    np.testing.assert_allclose(values(split, batch)[1, FRAMES[0] :], split.floor[0], atol=1e-3)


def test_the_start_token_is_an_input_once_and_never_a_target(split):
    batch = collate(split, own(0, 1))
    assert batch.inputs.tolist() == [[50258, 50261, 1, 2], [50258, 50261, 50257, 50257]]
    assert batch.places.tolist() == [0, 1, 2, 3, 4, 5]
    assert batch.targets.tolist() == [50261, 1, 2, 50257, 50261, 50257]
    assert collate(split, own(1, 0)).places.tolist() == [0, 1, 4, 5, 6, 7]


def test_no_rows_are_refused(split):
    with pytest.raises(ValueError, match="at least one row"):
        collate(split, Clips.of([]))


def test_a_clip_said_to_be_shorter_than_its_row_is_refused_before_anything_is_written(split):
    with pytest.raises(ValueError, match="as many frames as its row"):
        collate(split, Clips.of([Clip(0, FRAMES[0] - FRAME_MULTIPLE)]))


def test_micro_batches_formed_together_are_those_formed_one_by_one(split):
    several = [own(2, 0), Clips.of([Clip(1, WINDOW_FRAMES, padding=Padding.ZEROS)]), own(3), own(1, 0, 2)]
    for clips, batch in zip(several, collate_many(split, several), strict=True):
        alone = collate(split, clips)
        for name in Batch.__slots__:
            np.testing.assert_array_equal(getattr(batch, name), getattr(alone, name), strict=True)


def test_spec_augment_silences_parts_of_the_clip_and_leaves_the_padding(split):
    clips = Clips.of([Clip(0, WINDOW_FRAMES, padding=Padding.ZEROS)])
    plain = values(split, collate(split, clips))[0]
    masked = [values(split, collate(split, clips, SpecAugment(seed=1).at(step)))[0] for step in range(20)]
    again = values(split, collate(split, clips, SpecAugment(seed=1).at(3)))[0]
    np.testing.assert_array_equal(masked[3], again)
    for found in masked:
        changed = found != plain
        assert not changed[FRAMES[0] :].any()
        np.testing.assert_allclose(found[changed], split.floor[0], atol=1e-3)
    assert any((found != plain).any() for found in masked)

"""The demo's plan: what each clip is, decided from counts and a seed alone."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocess.demo.plan import ORIGINS, VOICES, plan_clips, spoken_seconds
from shared.errors import UsageError


@settings(max_examples=30, deadline=None)
@given(num_clips=st.integers(0, 80), seed=st.integers(0, 2**32), split=st.sampled_from(["train", "test"]))
def test_a_plan_has_as_many_different_clips_as_asked_for(num_clips, seed, split):
    clips = plan_clips(split, num_clips, seed)
    assert len(clips) == len({clip.path for clip in clips}) == len({clip.transkription for clip in clips}) == num_clips


def test_the_same_arguments_give_the_same_plan():
    assert plan_clips("train", 40, 3) == plan_clips("train", 40, 3)
    assert plan_clips("train", 40, 3) != plan_clips("train", 40, 4)


@pytest.mark.parametrize(
    ("split", "num_clips", "long", "too_long"), [("train", 600, 6, 2), ("test", 60, 1, 1), ("train", 7, 0, 0)]
)
def test_a_few_clips_are_long_and_one_or_two_are_too_long(split, num_clips, long, too_long):
    seconds = [spoken_seconds(clip.transkription, clip.rate) for clip in plan_clips(split, num_clips, 0)]
    assert sum(30 < length < 40 for length in seconds) == too_long
    assert sum(12 < length < 28 for length in seconds) == long
    assert sum(length < 12 for length in seconds) == num_clips - long - too_long


def test_every_origin_takes_its_turn():
    clips = plan_clips("train", len(ORIGINS), 0)
    assert [clip.source for clip in clips] == [origin.name for origin in ORIGINS]
    assert {clip.encoding.subtype for clip in clips} == {"PCM_16", "MPEG_LAYER_III", "VORBIS", "OPUS"}


def test_nobody_speaks_in_both_splits():
    assert not set(VOICES["train"]) & set(VOICES["test"])


def test_a_negative_count_is_a_usage_error():
    with pytest.raises(UsageError, match="-1 test clips"):
        plan_clips("test", -1, 0)

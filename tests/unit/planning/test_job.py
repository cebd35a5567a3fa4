"""What a job takes from the model that it is for."""

import pytest

from preprocess.planning.job import _longest
from preprocess.settings import SourceSettings
from shared.models.limits import ModelLimits


@pytest.mark.parametrize(
    ("given", "window", "seconds"),
    [({}, 3_000, 30.0), ({}, 1_500, 15.0), ({"max_duration": 30.0}, 1_500, 30.0), ({"max_duration": 5.0}, 3_000, 5.0)],
)
def test_the_longest_clip_is_the_models_window_unless_it_was_asked_for(given, window, seconds):
    assert _longest(SourceSettings(source="demo", **given), ModelLimits(window_frames=window)) == seconds

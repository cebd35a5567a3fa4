"""What a job takes from the model that it is for."""

import pytest

from preprocess.planning.job import _longest, plan_job
from preprocess.settings import SourceSettings
from shared.errors import UsageError
from shared.models.limits import ModelLimits


@pytest.mark.parametrize(
    ("given", "window", "seconds"),
    [({}, 3_000, 30.0), ({}, 1_500, 15.0), ({"max_duration": 30.0}, 1_500, 30.0), ({"max_duration": 5.0}, 3_000, 5.0)],
)
def test_the_longest_clip_is_the_models_window_unless_it_was_asked_for(given, window, seconds):
    assert _longest(SourceSettings(source="demo", **given), ModelLimits(window_frames=window)) == seconds


@pytest.mark.parametrize(
    ("given", "window", "seconds"),
    [
        ({"long_audio": "quarantine"}, 3_000, 30.0),
        ({"long_audio": "quarantine", "max_duration": 12.5}, 3_000, 12.5),
        ({"long_audio": "keep"}, 3_000, 60.0),
        ({"long_audio": "keep"}, 1_500, 30.0),
        ({"long_audio": "keep", "max_duration": 43.0}, 3_000, 43.0),
        ({"max_duration": 43.0}, 3_000, 43.0),
    ],
)
def test_long_audio_is_kept_only_where_that_was_asked_for(given, window, seconds):
    assert _longest(SourceSettings(source="demo", **given), ModelLimits(window_frames=window)) == seconds


@pytest.mark.parametrize(
    ("choice", "seconds", "words"),
    [
        (
            "quarantine",
            43.21,
            r"leaves out what is over 30 s, --max-duration 43\.21 asks for it\n  -> --long-audio keep",
        ),
        ("keep", 30.0, r"clips over 30 s, --max-duration 30\.0 leaves them all out\n  -> raise --max-duration"),
    ],
)
def test_options_that_contradict_each_other_are_refused(choice, seconds, words):
    with pytest.raises(UsageError, match=words):
        _longest(SourceSettings(source="demo", long_audio=choice, max_duration=seconds), ModelLimits())


def test_split_without_a_plan_of_cuts_names_the_command_that_makes_it(tmp_path):
    settings = SourceSettings(source="my data", store=tmp_path / "s", model="m", long_audio="split")
    words = f"-m preprocess.align --source 'my data' --store {tmp_path / 's'} --model FASTER_WHISPER_FOLDER"
    with pytest.raises(UsageError) as caught:
        plan_job(settings)
    assert words in caught.value.remedy

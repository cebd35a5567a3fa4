"""What a job takes from the model that it is for, and how many rows a shard gets."""

import pytest

from preprocess.planning import job
from preprocess.planning.job import _longest, plan_job, unit_rows
from preprocess.planning.sample import sample_rows
from preprocess.settings import SourceSettings
from shared.errors import UsageError
from shared.models.limits import ModelLimits
from shared.system.durable import json_bytes
from tests.support.samples import wav, write_source


@pytest.mark.parametrize(
    ("given", "window", "seconds"),
    [({}, 3_000, 30.0), ({}, 1_500, 15.0), ({"max_duration": 30.0}, 1_500, 30.0), ({"max_duration": 5.0}, 3_000, 5.0)],
)
def test_the_longest_clip_is_the_models_window_unless_it_was_asked_for(given, window, seconds):
    assert _longest(SourceSettings(source="demo", **given), ModelLimits(window_frames=window)) == seconds


@pytest.mark.parametrize(
    ("rows", "row_bytes", "shard_bytes", "expected"),
    [
        # A small set is one shard, more of them come by 8 MB, many (20) before any is larger.
        (50, 90e3, 256_000_000, 89),
        (600, 80e3, 256_000_000, 100),
        (10_000, 80e3, 256_000_000, 500),
        (1_000_000, 80e3, 256_000_000, 3_200),
        # Hours of speech in few rows are work for many actors all the same.
        (50, 70e6, 256_000_000, 3),
        # A size that was asked for is that of the shards, however small.
        (50, 90e3, 180_000, 2),
    ],
)
def test_a_shard_holds_8_mb_before_there_are_many(rows, row_bytes, shard_bytes, expected):
    assert unit_rows(rows, row_bytes, shard_bytes) == expected


def test_a_store_that_was_begun_with_smaller_shards_is_gone_on_with_under_its_own_plan(
    tmp_path, demo_model, monkeypatch
):
    rows = [(wav(), f"{n}.wav", "Satz") for n in range(40)]
    source = write_source(tmp_path / "source/train.parquet", rows)
    settings = SourceSettings(source=str(source), model=str(demo_model), store=tmp_path / "store")
    monkeypatch.setattr(job, "sample_apart", sample_rows)
    monkeypatch.setattr(job, "LEAST_SHARD_BYTES", 1)
    begun = job.plan_job(settings)
    begun.layout.root.mkdir()
    begun.layout.record.write_bytes(json_bytes(begun.record.as_dict()))
    monkeypatch.undo()
    again = job.plan_job(settings)
    assert len(begun.plans[0].units) == 20
    assert (again.plans, again.record) == (begun.plans, begun.record)


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
    settings = SourceSettings(source="my data", store=tmp_path / "s", model="m", long_audio="split", text_column="t")
    named = f"--source 'my data' --store {tmp_path / 's'} --text-column t"
    words = f"-m preprocess.align {named} --model FASTER_WHISPER_FOLDER"
    with pytest.raises(UsageError) as caught:
        plan_job(settings)
    assert words in caught.value.remedy

"""Names in a store, and the record that ties it to its origin."""

import json
from dataclasses import replace

import pytest

from shared.errors import StoreError, StoreMismatchError
from shared.layout import SPLIT_NAME, SplitRecord, StoreLayout, StoreRecord, read_record, shard_name
from shared.schema import FeatureSpec

SPLIT = SplitRecord("digest", 3, 100, 40, "train", "fingerprint", 7, {"limit": None, "max_duration": 30.0})
RECORD = StoreRecord("uuid", FeatureSpec(128, "uint8"), "tokenizer", "de", "flozi00/asr-german-mixed", {"train": SPLIT})


def write_record(tmp_path, value):
    (tmp_path / "store.json").write_text(value if isinstance(value, str) else json.dumps(value))
    return StoreLayout(tmp_path)


def test_shards_are_named_like_the_hubs():
    assert shard_name("train", 7, 431) == "train-00007-of-00431.parquet"
    assert shard_name("test.clean", 123_456, 200_000) == "test.clean-123456-of-200000.parquet"


def test_everything_lies_where_the_documentation_says(tmp_path):
    layout = StoreLayout(tmp_path)
    paths = [layout.shard("train", 0, 2), layout.quarantined("train", 0, 2), layout.index_of("train"), layout.partial]
    assert [str(path.relative_to(tmp_path)) for path in paths] == [
        "data/train-00000-of-00002.parquet",
        "quarantine/train-00000-of-00002.parquet",
        "index/train.parquet",
        ".partial",
    ]


@pytest.mark.parametrize("name", ["train", "test.clean", "de_2024", "größe"])
def test_usual_split_names_can_be_file_names(name):
    assert SPLIT_NAME.fullmatch(name)


@pytest.mark.parametrize("name", ["", "../up", "a/b", "a-b", ".hidden", "a b", "a*"])
def test_split_names_that_could_leave_the_folder_cannot(name):
    assert not SPLIT_NAME.fullmatch(name)


def test_committed_units_are_the_shards_that_exist(tmp_path):
    layout = StoreLayout(tmp_path)
    assert layout.committed("train", 3) == set()
    layout.data.mkdir()
    for name in [shard_name("train", 0, 3), shard_name("train", 2, 3), shard_name("test", 1, 2), "notes.txt"]:
        (layout.data / name).touch()
    assert layout.committed("train", 3) == {0, 2}
    assert layout.committed("test", 2) == {1}


@pytest.mark.parametrize("name", [shard_name("train", 0, 4), "train-00003-of-00003.parquet"])
def test_a_shard_of_another_plan_is_refused(tmp_path, name):
    layout = StoreLayout(tmp_path)
    layout.data.mkdir()
    (layout.data / name).touch()
    with pytest.raises(StoreError, match=name):
        layout.committed("train", 3)


def test_a_record_is_read_as_it_was_written(tmp_path):
    assert read_record(write_record(tmp_path, RECORD.as_dict())) == RECORD


def test_the_record_tells_readers_whispers_constants():
    assert RECORD.as_dict()["features"]["sampling_rate"] == 16_000


def test_another_format_version_is_refused_never_guessed_at(tmp_path):
    with pytest.raises(StoreError, match="format version 3, this software reads up to 2"):
        read_record(write_record(tmp_path, RECORD.as_dict() | {"format_version": 3}))


def test_a_record_of_version_1_stays_one_and_has_no_row_bounds(tmp_path):
    old = replace(RECORD, format_version=1)
    value = old.as_dict()
    assert "row_bounds" not in value["splits"]["train"]
    assert read_record(write_record(tmp_path, value)) == old
    grown = old.admitting("test", replace(SPLIT, row_bounds=(0, 40, 80, 100)))
    assert read_record(write_record(tmp_path, grown.as_dict())) == grown


def test_row_bounds_are_read_as_they_were_written(tmp_path):
    record = replace(RECORD, splits={"train": replace(SPLIT, row_bounds=(0, 40, 80, 100))})
    assert read_record(write_record(tmp_path, record.as_dict())) == record


@pytest.mark.parametrize(
    "value",
    [
        "",
        "{",
        "[]",
        "null",
        '"text"',
        "{}",
        {"format_version": 1},
        RECORD.as_dict() | {"splits": []},
        RECORD.as_dict() | {"splits": {"train": {"digest": "x"}}},
        RECORD.as_dict() | {"features": {}},
        RECORD.as_dict() | {"features": None},
    ],
)
def test_a_damaged_record_is_named(tmp_path, value):
    with pytest.raises(StoreError, match=r"store\.json"):
        read_record(write_record(tmp_path, value))


def test_a_folder_without_a_record_is_no_store(tmp_path):
    with pytest.raises(StoreError, match="is not a store"):
        read_record(StoreLayout(tmp_path))


def test_another_split_is_admitted_beside_the_first():
    test = replace(SPLIT, digest="other", source_split="test")
    assert RECORD.admitting("test", test).splits == {"train": SPLIT, "test": test}


def test_the_same_plan_is_admitted_again_and_keeps_its_forecast():
    assert RECORD.admitting("train", replace(SPLIT, forecast_bytes=999)) == RECORD


def test_another_plan_is_refused_with_what_differs():
    other = replace(SPLIT, digest="other", num_rows=90, settings={"limit": 90, "max_duration": 30.0})
    with pytest.raises(StoreMismatchError) as caught:
        RECORD.admitting("train", other)
    message = caught.value.message
    assert "limit was None, now 90" in message
    assert "num_rows was 100, now 90" in message
    assert "max_duration" not in message
    assert "--store" in caught.value.remedy


def test_a_plan_that_differs_in_nothing_we_know_is_refused_too():
    with pytest.raises(StoreMismatchError, match="its digest differs"):
        RECORD.admitting("train", replace(SPLIT, digest="other"))

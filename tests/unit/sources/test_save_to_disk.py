"""What `save_to_disk` made is read as it is, without `datasets`."""

import json
import pickle
import shutil

import datasets
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocess.sources.base import Columns
from preprocess.sources.open import open_source
from shared.errors import SourceError


def dataset(count):
    rows = {
        "audio": [{"bytes": bytes([n]) * (n + 1), "path": f"{n}.wav"} for n in range(count)],
        "transkription": [f"Satz {n}" for n in range(count)],
        "source": ["korpus"] * count,
    }
    return datasets.Dataset.from_dict(rows).cast_column("audio", datasets.Audio(decode=False))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    root = tmp_path_factory.mktemp("saved") / "korpus"
    whole = datasets.DatasetDict({"test": dataset(3), "train": dataset(230)})
    whole.save_to_disk(root, num_shards={"train": 2, "test": 1})
    return root


def rows_of(source, split="train", start=0, stop=None):
    stop = source.splits[split].num_rows if stop is None else stop
    return list(source.reader(split, start, stop).rows())


def test_a_dataset_dict_has_its_splits_and_record_batches_as_blocks(saved):
    source = open_source(str(saved), Columns())
    assert {name: layout.num_rows for name, layout in source.splits.items()} == {"test": 3, "train": 230}
    assert [block.num_rows for block in source.splits["train"].blocks] == [100, 15, 100, 15]
    assert source.splits["train"].num_bytes == sum(range(1, 231))


def test_a_single_dataset_is_split_train(tmp_path):
    dataset(5).save_to_disk(tmp_path / "one")
    row = rows_of(open_source(str(tmp_path / "one"), Columns()))[4]
    assert (row.row_id, row.audio, row.path, row.transkription, row.source) == (
        4, bytes([4]) * 5, "4.wav", "Satz 4", "korpus",
    )  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_range_is_that_slice_of_all_rows(saved, data):
    source = open_source(str(saved), Columns())
    start = data.draw(st.integers(0, 230))
    stop = data.draw(st.integers(start, 230))
    reader = pickle.loads(pickle.dumps(source.reader("train", start, stop)))
    assert list(reader.rows()) == rows_of(source)[start:stop]


def test_a_copy_has_the_same_fingerprint_and_another_content_has_not(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "copy", copy_function=shutil.copyfile)
    dataset(230).select(range(229, -1, -1)).save_to_disk(tmp_path / "other")
    first, copy, other = (
        open_source(str(path), Columns()).splits["train"].fingerprint
        for path in (saved, tmp_path / "copy", tmp_path / "other")
    )
    assert first == copy != other


def test_a_wrong_column_a_damaged_file_or_a_missing_one_is_named(saved, tmp_path):
    dataset(2).rename_column("transkription", "text").save_to_disk(tmp_path / "text")
    with pytest.raises(SourceError, match="no column 'transkription'") as caught:
        open_source(str(tmp_path / "text"), Columns())
    assert caught.value.remedy == "pass --text-column text"
    for name, damage in (
        ("short", lambda path: path.write_bytes(path.read_bytes()[:-800])),
        ("gone", lambda path: path.unlink()),
        ("empty", lambda path: path.write_bytes(b"")),
    ):
        shutil.copytree(saved, tmp_path / name)
        path = next((tmp_path / name / "train").glob("*00001-of*.arrow"))
        damage(path)
        with pytest.raises(SourceError, match=path.name):
            open_source(str(tmp_path / name), Columns())


def test_a_state_file_cannot_name_files_elsewhere(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "copy")
    state = tmp_path / "copy/train/state.json"
    content = json.loads(state.read_text())
    content["_data_files"][0]["filename"] = "../test/data-00000-of-00001.arrow"
    state.write_text(json.dumps(content))
    with pytest.raises(SourceError, match="no entry of its own"):
        open_source(str(tmp_path / "copy"), Columns())

"""What `save_to_disk` made is read as it is, without `datasets`."""

import json
import pickle
import shutil
import struct

import datasets
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocess.sources.base import Columns
from preprocess.sources.open import open_source
from preprocess.sources.save_to_disk import check_batch
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
            _ = open_source(str(tmp_path / name), Columns()).splits["train"]


def test_a_state_file_cannot_name_files_elsewhere(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "copy")
    state = tmp_path / "copy/train/state.json"
    content = json.loads(state.read_text())
    content["_data_files"][0]["filename"] = "../test/data-00000-of-00001.arrow"
    state.write_text(json.dumps(content))
    with pytest.raises(SourceError, match="not one of its files"):
        _ = open_source(str(tmp_path / "copy"), Columns()).splits["train"]


def offsets(*values):
    return struct.pack(f"<{len(values)}i", *values)


@pytest.fixture
def lied_to(tmp_path):
    """A data set of five rows whose offsets are replaced; the file that they lie in."""

    def lie(true, false):
        dataset(5).save_to_disk(tmp_path / "five")
        file = next((tmp_path / "five").glob("*.arrow"))
        content = file.read_bytes()
        assert offsets(*true) in content
        file.write_bytes(content.replace(offsets(*true), offsets(*false), 1))
        return file

    return lie


TEXT, AUDIO = [0, 6, 12, 18, 24, 30], [0, 1, 3, 6, 10, 15]


@pytest.mark.parametrize(
    ("true", "false"),
    [
        (TEXT, [0, 6, 12, 18, 24, 2**30]),
        (TEXT, [0, 6, 3, 18, 24, 30]),
        (TEXT, [-9, 6, 12, 18, 24, 30]),
        (AUDIO, [0, 1, 3, 6, 2**31 - 1, 15]),
        (AUDIO, [0, 1, 3, 6, 10, 16]),
        (AUDIO, [0, 1, 3, -(2**31), 10, 15]),
    ],
)
def test_offsets_that_lie_are_found_where_rows_are_read_and_end_nothing_in_the_driver(lied_to, true, false):
    file = lied_to(true, false)
    source = open_source(str(file.parent), Columns())
    with pytest.raises(SourceError, match=rf"{file.name}, record batch 0, ") as caught:
        rows_of(source)
    assert caught.value.remedy == "save or copy the data set again"


def test_a_transcript_that_is_no_utf8_is_one_row_only(tmp_path):
    dataset(5).save_to_disk(tmp_path / "five")
    file = next((tmp_path / "five").glob("*.arrow"))
    file.write_bytes(file.read_bytes().replace(b"Satz 3", b"Satz \xff"))
    texts = [row.transkription for row in rows_of(open_source(str(tmp_path / "five"), Columns()))]
    assert texts == ["Satz 0", "Satz 1", "Satz 2", None, "Satz 4"]


def test_columns_of_every_kind_are_compared():
    kinds = {"words": [["a"], ["b"]], "facts": [{"a": "b"}, {"a": None}], "text": ["a", "b"], "number": [1, None]}
    check_batch(pa.table(kinds).to_batches()[0], "file.arrow", 7)
    wrong = pa.Array.from_buffers(pa.string(), 2, [None, pa.py_buffer(offsets(0, 9, 3)), pa.py_buffer(b"abc")])
    batch = pa.RecordBatch.from_arrays([wrong], ["text"])
    with pytest.raises(SourceError, match=r"file\.arrow, record batch 7"):
        check_batch(batch, "file.arrow", 7)


def test_a_batch_that_was_cut_since_the_plan_gives_no_row_anothers_number(tmp_path):
    dataset(5).save_to_disk(tmp_path / "set")
    reader = open_source(str(tmp_path / "set"), Columns()).reader("train", 0, 5)
    dataset(3).save_to_disk(tmp_path / "cut")
    shutil.copytree(tmp_path / "cut", tmp_path / "set", dirs_exist_ok=True)
    with pytest.raises(SourceError, match="it has 3 rows, not 5 as before"):
        list(reader.rows())


@pytest.mark.parametrize(
    "content",
    ["[" * 100_000, '{"_data_files": ' + "[" * 100_000, '{"_data_files": 3}', '{"_data_files": [{"a": 1}]}'],
)
def test_a_state_file_that_is_none_is_named_with_a_remedy(tmp_path, content):
    dataset(2).save_to_disk(tmp_path / "set")
    (tmp_path / "set" / "state.json").write_text(content)
    with pytest.raises(SourceError, match=r"state\.json") as caught:
        open_source(str(tmp_path / "set"), Columns())
    assert caught.value.remedy

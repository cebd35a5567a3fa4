"""Arrow's null type, splits that nobody wants and shards without rows stop nothing that could be used."""

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from preprocess.planning.job import _chosen_splits
from preprocess.settings import SourceSettings
from preprocess.sources.base import Columns
from preprocess.sources.open import open_source
from shared.errors import SourceError
from tests.support.strange_folders import metadata, ours, parquet, theirs

NULL_PATH = pa.struct([("bytes", pa.binary()), ("path", pa.null())])
AUDIO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def test_a_struct_whose_path_is_of_the_null_type_is_audio(tmp_path):
    parquet(tmp_path / "korpus/train.parquet", ["a", "b"], NULL_PATH)
    assert ours(tmp_path / "korpus") == theirs(tmp_path / "korpus", tmp_path)


def test_columns_that_are_null_in_one_shard_and_text_in_another_are_read(tmp_path):
    audio = pa.array([{"bytes": b"RIFF", "path": "a.wav"}], AUDIO)
    for number, (source, text) in enumerate([("korpus a", "x"), (None, "y"), ("korpus c", None)]):
        table = pa.table({"audio": audio, "transkription": pa.array([text]), "source": pa.array([source])})
        pq.write_table(table, tmp_path / f"train-0000{number}-of-00003.parquet")
    source = open_source(str(tmp_path), Columns())
    rows = list(source.reader("train", 0, 3).rows())
    assert [(row.source, row.transkription) for row in rows] == [
        ("korpus a", "x"), (tmp_path.name, "y"), ("korpus c", None)]  # fmt: skip


def test_a_shard_whose_audio_is_all_null_is_its_rows_problem(tmp_path):
    parquet(tmp_path / "train-00000-of-00002.parquet", ["a"])
    pq.write_table(
        pa.table({"audio": pa.nulls(2), "transkription": ["b", "c"]}), tmp_path / "train-00001-of-00002.parquet"
    )
    rows = list(open_source(str(tmp_path), Columns()).reader("train", 0, 3).rows())
    assert [row.problem for row in rows] == ["", "no_audio", "no_audio"]


@pytest.mark.parametrize("kind", ["path", "source", "transkription"])
def test_null_types_in_a_saved_data_set_are_read(kind, tmp_path):
    rows = {"audio": [{"bytes": b"RIFF", "path": None if kind == "path" else "a.wav"}] * 2}
    rows |= {name: [None if name == kind else "x"] * 2 for name in ("transkription", "source")}
    datasets.Dataset.from_dict(rows).save_to_disk(tmp_path / "saved")
    read = list(open_source(str(tmp_path / "saved"), Columns()).reader("train", 0, 2).rows())
    assert [(row.audio, row.problem) for row in read] == [(b"RIFF", "")] * 2


def unwanted_columns(root):
    pq.write_table(
        pa.table({"audio": pa.array([{"bytes": b"x", "path": None}], AUDIO), "label": [1]}), root / "test.parquet"
    )


def unwanted_damage(root):
    (root / "test.parquet").write_bytes(b"PAR1 is not all of it")


def unwanted_emptiness(root):
    parquet(root / "test.parquet", [])


def unwanted_paths(root):
    audio = pa.array([{"bytes": None, "path": "/gone.wav"}], AUDIO)
    pq.write_table(pa.table({"audio": audio, "transkription": ["x"]}), root / "test.parquet")


@pytest.mark.parametrize("damage", [unwanted_columns, unwanted_damage, unwanted_emptiness, unwanted_paths])
def test_a_split_that_nobody_wants_does_not_block_the_wanted_one(damage, tmp_path):
    parquet(tmp_path / "train.parquet", ["a", "b"])
    damage(tmp_path)
    source = open_source(str(tmp_path), Columns())
    assert list(_chosen_splits(source, SourceSettings(source="x", split=("train",)))) == ["train"]
    assert len(list(source.reader("train", 0, 2).rows())) == 2
    with pytest.raises(SourceError, match="split 'test' cannot be used") as caught:
        _chosen_splits(source, SourceSettings(source="x"))
    assert "--split train" in caught.value.remedy


def test_an_audio_folders_broken_split_does_not_block_the_other(tmp_path):
    metadata(tmp_path / "train", ["a.wav"])
    (tmp_path / "test").mkdir()
    (tmp_path / "test/metadata.csv").write_text("file_name,label\na.wav,1\n")
    source = open_source(str(tmp_path), Columns())
    assert source.splits["train"].num_rows == 1
    with pytest.raises(SourceError, match="no column 'transkription'"):
        _ = source.splits["test"]


@pytest.mark.parametrize("empty", [0, 1, 2])
def test_a_shard_without_rows_is_no_damage_wherever_it_stands(empty, tmp_path):
    root = tmp_path / "korpus"
    for number in range(3):
        parquet(root / f"data/train-0000{number}-of-00003.parquet", [] if number == empty else [f"Satz {number}"])
    found = ours(root)
    # Of a shard without rows `datasets` says "BatchSize must be greater than 0".
    (root / f"data/train-0000{empty}-of-00003.parquet").unlink()
    assert found == theirs(root, tmp_path)


@pytest.mark.parametrize("columns", [("audio", "transkription"), ("label",)])
@pytest.mark.parametrize("kind", [pa.null(), pa.int64()])
def test_a_shard_without_rows_may_have_any_columns_of_any_type(columns, kind, tmp_path):
    parquet(tmp_path / "train-00000-of-00002.parquet", ["a"])
    nothing = pa.table({name: pa.array([], kind) for name in columns})
    pq.write_table(nothing, tmp_path / "train-00001-of-00002.parquet")
    source = open_source(str(tmp_path), Columns())
    assert [row.transkription for row in source.reader("train", 0, 1).rows()] == ["a"]

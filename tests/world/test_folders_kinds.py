"""One stray file does not decide what a folder is, and a release's splits do not overlap."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from preprocess.planning.job import _chosen_splits
from preprocess.settings import SourceSettings
from preprocess.sources.base import Columns
from preprocess.sources.open import find_kind, open_source
from tests.support.strange_folders import metadata, ours, parquet, release, theirs


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("speakers.tsv", "speaker\tage\nanna\t30\n"),
        ("state.json", '{"epoch": 3}'),
        ("dataset_dict.json", "[]"),
        ("stats.parquet", None),
        ("state.json", "not JSON"),
    ],
)
def test_one_stray_file_does_not_decide_what_an_audio_folder_is(name, content, tmp_path):
    root = tmp_path / "korpus"
    metadata(root, ["clips/a.wav", "clips/b.wav"])
    if content is None:
        pq.write_table(pa.table({"speaker": ["anna"]}), root / name)
    else:
        (root / name).write_text(content)
    found = ours(root)
    # `datasets` takes every folder with a state.json for one of `save_to_disk`, and refuses it.
    (root / name).unlink()
    assert found == theirs(root, tmp_path)


@pytest.mark.parametrize("stray", ["metadata.csv", "metadata.jsonl", "state.json", "clips/a.wav"])
def test_one_stray_file_does_not_decide_what_a_folder_of_parquet_is(stray, tmp_path):
    root = tmp_path / "korpus"
    for number in range(3):
        parquet(root / f"data/train-0000{number}-of-00003.parquet", [f"Satz {number}"])
    if stray == "clips/a.wav":
        metadata(root / "clips", ["a.wav"])
    else:
        (root / stray).write_text("speaker,age\nanna,30\n" if stray.endswith("csv") else '{"speaker": "anna"}\n')
    assert find_kind(str(root))[0].name == "Parquet files with the audio inside"
    found = ours(root)
    (root / stray).unlink()
    assert found == theirs(root, tmp_path)


def test_a_release_is_prepared_without_what_overlaps_and_what_was_voted_down(tmp_path):
    release(tmp_path)
    source = open_source(str(tmp_path), Columns())
    assert list(_chosen_splits(source, SourceSettings(source="x"))) == ["train", "validation", "test"]
    assert list(_chosen_splits(source, SourceSettings(source="x", split=("dev", "validated")))) == [
        "validation",
        "validated",
    ]
    assert "invalidated" in "\n".join(source.notes)


@pytest.mark.parametrize(
    ("tables", "expected"),
    [
        (("validated", "invalidated", "other"), ["validated"]),
        (("train", "invalidated"), ["train"]),
        (("other", "invalidated"), ["other", "invalidated"]),
    ],
)
def test_a_release_without_the_usual_splits_is_prepared_from_what_there_is(tables, expected, tmp_path):
    release(tmp_path, **dict.fromkeys(tables))
    assert sorted(open_source(str(tmp_path), Columns()).default_splits) == sorted(expected)

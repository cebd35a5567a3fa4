"""Rows and splits of an audio folder are those that the pinned `datasets` finds in the same folder."""

import pytest

from preprocess.sources.base import Columns
from preprocess.sources.open import open_source
from tests.support.strange_folders import clip, metadata, ours, theirs

TREES = {
    "a dot in a folder's name": {"v1.1": ["a.wav"], "v1.2.0-rc": ["b.wav"], "plain": ["c.wav"]},
    "two levels deep": {
        "train/anna/kapitel1": ["a.wav", "b.wav"],
        "train/bert": ["c.wav"],
        "test/anna/kapitel2": ["d.wav"],
    },
    "five levels deep": {"x/y/z/1/2": ["a.wav"], "x/y/w": ["b.wav"]},
    "words of splits among others": {"my-train set": ["a.wav"], "2nd_dev_3": ["b.wav"], "deep/eval.4/x": ["c.wav"]},
    "words that only look alike": {"trainer": ["a.wav"], "contest/latest": ["b.wav"]},
    "a folder of an own name beside split folders": {"train": ["a.wav"], "test": ["b.wav"], "custom": ["c.wav"]},
    "hidden and special folders": {"train": ["a.wav"], ".cache/train": ["b.wav"], "__MACOSX/train": ["c.wav"]},
    "under data": {"data/train": ["a.wav"], "data/validation/deep": ["b.wav"]},
    "upper case suffixes": {"train": ["A.WAV", "b.Wav"]},
    "clips below their metadata": {"train": ["anna/a.wav", "bert/deep/b.wav"], "test": ["./c.wav"]},
}


@pytest.mark.parametrize("tree", TREES)
@pytest.mark.parametrize("file", ["metadata.csv", "metadata.jsonl", "metadata.parquet"])
@pytest.mark.campaign
def test_an_audio_folder_has_the_rows_and_splits_that_datasets_reads(tree, file, tmp_path):
    for folder, names in TREES[tree].items():
        metadata(tmp_path / "korpus" / folder, names, file=file)
    assert ours(tmp_path / "korpus") == theirs(tmp_path / "korpus", tmp_path)


def test_a_folder_with_a_dot_and_one_two_levels_deep_are_found(tmp_path):
    metadata(tmp_path / "korpus/train/v1.1", ["a.wav"])
    metadata(tmp_path / "korpus/train/anna/kapitel1", ["b.wav"])
    metadata(tmp_path / "korpus/test/v2.0", ["c.wav"])
    found = ours(tmp_path / "korpus")
    assert {split: sum(rows.values()) for split, rows in found.items()} == {"train": 2, "test": 1}
    assert found == theirs(tmp_path / "korpus", tmp_path)


def test_one_metadata_file_above_the_splits_transcribes_them_where_datasets_leaves_the_transcripts_out(tmp_path):
    metadata(tmp_path, ["train/a.wav", "train/b.wav", "test/c.wav"])
    assert {split: sum(rows.values()) for split, rows in ours(tmp_path).items()} == {"train": 2, "test": 1}


def test_words_in_clips_names_split_only_where_every_name_has_one(tmp_path):
    metadata(tmp_path / "all", ["train_1.wav", "train_2.wav", "test_3.wav"])
    metadata(tmp_path / "some", ["photo of a cat.wav", "photo of a train.wav", "photo of test tubes.wav"])
    assert {split: sum(rows.values()) for split, rows in ours(tmp_path / "all").items()} == {"train": 2, "test": 1}
    assert {split: sum(rows.values()) for split, rows in ours(tmp_path / "some").items()} == {"train": 3}


def test_what_differs_between_rows_and_files_is_named_in_both_directions(tmp_path):
    metadata(tmp_path, ["a.wav", "b.wav", "c.wav"])
    (tmp_path / "b.wav").unlink()
    clip(tmp_path / "deep/extra.flac")
    (tmp_path / "notes.txt").touch()
    notes = "\n".join(open_source(str(tmp_path), Columns()).notes)
    assert "files that are not there, to be quarantined: 1 row (b.wav)" in notes
    assert "named by no row of metadata: 1 audio file (deep/extra.flac)" in notes
    assert "notes.txt" not in notes


def test_rows_and_files_that_agree_are_not_mentioned(tmp_path):
    metadata(tmp_path, ["./a.wav", "x/../b.wav", "d//c.wav"])
    assert list(open_source(str(tmp_path), Columns()).notes) == []


def test_metadata_in_a_folder_of_no_split_beside_others_is_left_out_as_datasets_leaves_it_out_and_named(tmp_path):
    for folder, name in (("train", "a.wav"), ("test", "b.wav"), ("custom", "c.wav")):
        metadata(tmp_path / "korpus" / folder, [name])
    assert ours(tmp_path / "korpus") == theirs(tmp_path / "korpus", tmp_path)
    assert "left out of custom/metadata.csv" in "\n".join(open_source(str(tmp_path / "korpus"), Columns()).notes)

"""Files find their splits as `datasets` finds them."""

import pytest
from datasets.data_files import _get_data_files_patterns, resolve_pattern
from hypothesis import given
from hypothesis import strategies as st

from preprocess.sources.base import Block, pieces
from preprocess.sources.parquet_files import find_parquet
from preprocess.sources.splits import infer_splits
from shared.errors import SourceError

TREES = [
    ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002-ab12.parquet", "data/test-00000-of-00001.parquet"],
    ["data/train-00000-of-00001.parquet", "data/other-00000-of-00001.parquet", "stray.parquet"],
    ["train/a.parquet", "dev/b.parquet", "eval/c.parquet"],
    ["my_train_set/a.parquet", "valid-1/b.parquet", "x/y/testing/c.parquet"],
    ["de/train.parquet", "de/validation_0.parquet", "de/test 1.parquet"],
    ["a.parquet", "b/c.parquet"],
    ["trainer.parquet", "contest.parquet"],
    ["train.parquet", ".hidden/test.parquet", "__cache__/test.parquet"],
]


def by_datasets(root):
    patterns = _get_data_files_patterns(lambda pattern: resolve_pattern(pattern, str(root)))
    return {
        split: sorted({name for pattern in group for name in resolved(pattern, root)})
        for split, group in patterns.items()
    }


def resolved(pattern, root):
    try:
        return [name.removeprefix(f"{root}/") for name in resolve_pattern(pattern, str(root))]
    except FileNotFoundError:
        return []


@pytest.mark.parametrize("names", TREES)
def test_a_folder_has_the_splits_and_files_that_datasets_finds(names, tmp_path):
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = find_parquet(str(tmp_path)).splits
    assert {split: list(group) for split, group in found.items()} == by_datasets(tmp_path)
    assert list(found) == list(by_datasets(tmp_path))


def test_a_name_that_tells_two_splits_is_refused():
    with pytest.raises(SourceError, match="train or test"):
        infer_splits(["train_test.parquet"])


@pytest.mark.parametrize(
    "glob", ["data/*.parquet", "*/*.parquet", "data/te*.parquet", "data/test-00000-of-00001.parquet"]
)
def test_a_glob_and_a_single_file_name_their_files_as_the_folder_does(glob, tmp_path):
    (tmp_path / "data").mkdir()
    for name in TREES[0]:
        (tmp_path / name).touch()
    whole = find_parquet(str(tmp_path)).splits
    part = find_parquet(str(tmp_path / glob))
    assert part.root == tmp_path
    assert part.splits["test"] == whole["test"]


README = """---
configs:
- config_name: default
  data_files:
  - split: test
    path: b/*.parquet
  - split: train
    path:
    - a/2.parquet
    - a/*
---
# A data set
"""


def test_the_readmes_data_files_win_over_the_names(tmp_path):
    for name in ("a/1.parquet", "a/2.parquet", "b/train.parquet"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "README.md").write_text(README)
    found = find_parquet(str(tmp_path)).splits
    assert list(found.items()) == [("train", ["a/2.parquet", "a/1.parquet"]), ("test", ["b/train.parquet"])]


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("configs:\n- config_name: a\n  data_files: x.parquet\n- config_name: b\n  data_files: y.parquet", "a, b"),
        ("configs:\n- config_name: a\n  data_files: ../x.parquet", "outside the data set"),
        ("configs:\n- config_name: a\n  data_files: /etc/x.parquet", "outside the data set"),
        ("configs:\n- config_name: a\n  data_files: gone.parquet", "no Parquet file matches"),
        ("configs: [", "cannot be read"),
    ],
)
def test_a_readme_that_does_not_lead_to_one_set_of_files_is_refused(yaml, message, tmp_path):
    (tmp_path / "x.parquet").touch()
    (tmp_path / "README.md").write_text(f"---\n{yaml}\n---\n")
    with pytest.raises(SourceError, match=message):
        find_parquet(str(tmp_path))


@given(st.lists(st.integers(0, 5), max_size=8), st.data())
def test_the_pieces_of_a_range_are_its_rows_in_order(sizes, data):
    total = sum(sizes)
    start = data.draw(st.integers(0, total))
    stop = data.draw(st.integers(start, total))
    rows = [(block, row) for block, size in enumerate(sizes) for row in range(size)]
    found = pieces([Block(size, 0) for size in sizes], start, stop)
    assert [(piece.block, row) for piece in found for row in range(piece.start, piece.stop)] == rows[start:stop]


def test_a_range_outside_the_split_is_an_error():
    with pytest.raises(IndexError):
        pieces([Block(3, 0)], 1, 4)

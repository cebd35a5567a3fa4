"""Opening a store: rows in place for the trainer, plain Parquet for everyone else, plain words for what is wrong."""

import json
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from ctypes import string_at
from pathlib import Path
from threading import Barrier

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest

from shared.errors import StoreError, UsageError
from shared.schema import FeatureSpec
from shared.store import open_split
from tests.benchmarks.open_store import measure
from tests.support.samples import SPEC, feature_row, make_store, quarantined_row

UNITS = [[feature_row(0), quarantined_row(1), feature_row(2, 9)], [quarantined_row(3)], [feature_row(4, 1)]]
TEST_UNITS = [[feature_row(0)]]


@pytest.fixture
def root(tmp_path):
    """A store with three train rows in three shards, one of them empty, and one test row."""
    return make_store(tmp_path / "store", {"train": UNITS, "test": TEST_UNITS}).root


@pytest.fixture
def split(root):
    return open_split(root, "train")


def test_log_mel_is_a_read_only_view_of_the_mapped_file(split):
    found = split.log_mel(1)
    assert (found.shape, found.dtype) == ((9, 8), np.float16)
    assert found.tobytes() == feature_row(2, 9).payload
    assert not found.flags.writeable
    assert not found.flags.owndata
    assert np.shares_memory(found, split.log_mel(1))


def test_a_row_is_counted_from_either_end(split):
    assert np.array_equal(split.log_mel(-1), split.log_mel(2))
    assert np.array_equal(split.labels(-1), split.labels(2))


def test_a_mapped_shard_keeps_no_file_open(tmp_path):
    make_store(tmp_path / "store", {"train": [[feature_row(number)] for number in range(40)]})
    split = open_split(tmp_path / "store", "train")
    before = len(list(Path("/proc/self/fd").iterdir()))
    views = [split.log_mel(row) for row in range(20)]
    split.payloads(np.arange(40))
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert [view.tobytes() for view in views] == [feature_row(number).payload for number in range(20)]


def test_where_rows_lie_in_memory_holds_for_threads_that_open_a_shard_at_once(root):
    expected = [feature_row(row_id, frames).payload for row_id, frames in ((0, 5), (2, 9), (4, 1))]
    rows = np.array([2, 0, 1])

    def read(split):
        together.wait()
        return [string_at(*place) for place in zip(*(array.tolist() for array in split.payloads(rows)), strict=True)]

    with ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            together, split = Barrier(8), open_split(root, "train")
            for found in pool.map(read, [split] * 8):
                assert found == [expected[row] for row in rows]


@pytest.mark.parametrize("row", [3, -4])
def test_a_row_beyond_the_split_is_an_index_error(split, row):
    with pytest.raises(IndexError):
        split.log_mel(row)
    with pytest.raises(IndexError):
        split.labels(row)


def test_arrays_over_all_rows_serve_samplers(split):
    assert split.num_frames.tolist() == [5, 9, 1]
    assert split.row_id.tolist() == [0, 2, 4]
    assert split.num_labels.tolist() == [4, 4, 4]
    assert split.duration.tolist() == pytest.approx([0.05, 0.09, 0.01])
    assert split.floor.tolist() == [-1.5] * 3
    assert split.source.to_pylist() == ["korpus 0", "korpus 2", "korpus 1"]


def test_labels_are_int32_token_ids(split):
    assert split.labels(1).dtype == np.int32
    assert split.labels(1).tolist() == [50258, 50261, 2, 50257]


def test_a_split_travels_to_loader_processes_as_its_name(split):
    travelled = pickle.dumps(split)
    assert len(travelled) < 1_000
    assert np.array_equal(pickle.loads(travelled).log_mel(1), split.log_mel(1))


def test_a_split_without_rows_opens(tmp_path):
    make_store(tmp_path / "store", {"train": [[quarantined_row(0)]], "test": []})
    for name in ("train", "test"):
        empty = open_split(tmp_path / "store", name)
        assert (len(empty), empty.source.to_pylist()) == (0, [])


def test_memory_grows_with_the_index_and_no_more():
    # What 970,064 rows take is measured by the benchmark itself: python tests/benchmarks/open_store.py
    small, large = (measure(rows) for rows in (1_000, 60_000))
    grown = large["peak_bytes"] - small["peak_bytes"]
    assert grown < 4 * large["index_bytes"] + (20 << 20)


# What is wrong, in words


def test_a_folder_that_is_no_store_is_refused(tmp_path):
    with pytest.raises(StoreError, match="is not a store"):
        open_split(tmp_path, "train")


def test_an_unknown_split_is_refused_with_the_ones_there_are(root):
    with pytest.raises(UsageError, match="has no split 'validation'; it has: test, train"):
        open_split(root, "validation")


def test_an_unfinished_split_tells_how_far_it_is(root):
    (root / "COMPLETE").unlink()
    (root / "data/train-00001-of-00003.parquet").unlink()
    with pytest.raises(StoreError, match="2 of 3 shards"):
        open_split(root, "train")


@pytest.mark.parametrize("content", [None, b"", b"no Parquet"])
def test_a_damaged_index_is_named(root, content):
    path = root / "index/train.parquet"
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(StoreError, match=r"index/train\.parquet"):
        open_split(root, "train")


def cut_index(root, rows):
    path = root / "index/train.parquet"
    pq.write_table(pq.read_table(path).slice(0, rows), path)


def test_an_index_of_fewer_rows_than_were_completed_is_refused_with_the_remedy(root):
    cut_index(root, 2)
    with pytest.raises(StoreError, match=r"index/train\.parquet has 2 rows.* states 3[\s\S]*preprocess\.verify"):
        open_split(root, "train")
    assert len(open_split(root, "test")) == 1


def test_an_index_of_as_many_rows_but_other_bytes_is_refused(root):
    cut_index(root, 3)
    with pytest.raises(StoreError, match=r"index/train\.parquet is not the index[\s\S]*preprocess\.verify"):
        open_split(root, "train")


def test_a_record_without_a_digest_leaves_the_rows_to_be_compared(root):
    complete = json.loads((root / "COMPLETE").read_text())
    del complete["splits"]["train"]["index_digest"]
    (root / "COMPLETE").write_text(json.dumps(complete))
    cut_index(root, 3)
    assert len(open_split(root, "train")) == 3
    cut_index(root, 2)
    with pytest.raises(StoreError, match="has 2 rows"):
        open_split(root, "train")


def test_whole_shards_are_found_whole(root):
    for name in ("train", "test"):
        open_split(root, name).check_shards()


@pytest.mark.parametrize("size", [None, 0, 100])
def test_a_look_at_the_shards_names_one_that_is_missing_or_ends_within_its_rows(root, split, size):
    path = root / "data/train-00002-of-00003.parquet"
    path.unlink() if size is None else os.truncate(path, size)
    with pytest.raises(StoreError, match=r"train-00002-of-00003[\s\S]*preprocess\.verify"):
        split.check_shards()


def test_a_look_at_the_shards_sees_bytes_missing_behind_the_rows(root, split):
    path = root / "data/train-00001-of-00003.parquet"
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(StoreError, match=r"the shards of 'train' have .* states .*[\s\S]*preprocess\.verify"):
        split.check_shards()


@pytest.mark.parametrize("size", [None, 0, 100])
def test_a_missing_or_cut_shard_is_named(root, split, size):
    path = root / "data/train-00000-of-00003.parquet"
    path.unlink() if size is None else os.truncate(path, size)
    for read in (lambda: split.log_mel(1), lambda: split.payloads(np.arange(3))):
        with pytest.raises(StoreError, match="train-00000-of-00003"):
            read()


# Other software


def test_pyarrow_and_pandas_read_it(root):
    assert pq.read_table(root / "data/train-00000-of-00003.parquet").num_rows == 2
    frame = pd.read_parquet(root / "data/train-00000-of-00003.parquet")
    assert frame["transkription"].tolist() == ["Satz 0: schöne Grüße", "Satz 2: schöne Grüße"]
    log_mel = np.frombuffer(frame["log_mel"][1], "float16").reshape(frame["num_frames"][1], 8)
    assert log_mel.tobytes() == feature_row(2, 9).payload


def test_duckdb_reads_it(root):
    query = f"select count(*), sum(num_frames), max(octet_length(log_mel)) from '{root}/data/train-*.parquet'"
    assert duckdb.sql(query).fetchall() == [(3, 15, 9 * 16)]
    reasons = duckdb.sql(f"select reason, count(*) from '{root}/quarantine/*.parquet' group by reason").fetchall()
    assert reasons == [("undecodable", 2)]


def test_polars_reads_it(root):
    found = pl.scan_parquet(f"{root}/data/train-*.parquet").filter(pl.col("row_id") > 1).collect()
    assert found["row_id"].to_list() == [2, 4]
    assert found["labels"].to_list() == [[50258, 50261, 2, 50257], [50258, 50261, 4, 50257]]


LOAD = """
import sys, datasets
found = datasets.load_dataset(sys.argv[1])
assert set(found) == {"train", "test"}, found
assert found["train"].num_rows == 3 and found["test"].num_rows == 1
assert found["train"][1]["transkription"] == "Satz 2: schöne Grüße"
assert len(found["train"][1]["log_mel"]) == 9 * 16
"""


def test_datasets_opens_the_folder_with_its_splits(root, tmp_path):
    offline = {"HF_DATASETS_OFFLINE": "1", "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(root)],
        env=os.environ | offline | {"HF_DATASETS_CACHE": str(tmp_path / "hf/datasets")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_uint8_takes_half_the_bytes(tmp_path):
    sizes = {}
    for dtype in ("float16", "uint8"):
        spec = FeatureSpec(80, dtype)
        make_store(tmp_path / dtype, {"train": [[feature_row(n, 300, spec) for n in range(20)]]}, spec)
        sizes[dtype] = (tmp_path / dtype / "data/train-00000-of-00001.parquet").stat().st_size
    assert 0.5 < sizes["uint8"] / sizes["float16"] < 0.51
    assert SPEC.itemsize == 2

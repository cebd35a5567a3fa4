"""An index from elsewhere: whatever it says, it is refused in words or leads to exactly what was written."""

import json
import shutil
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.errors import StoreError
from shared.index import index_digest
from shared.layout import StoreLayout
from shared.store import open_split
from tests.support.samples import feature_row, make_store, quarantined_row
from trainer.data.clips import Clip, Clips
from trainer.data.collate import collate

UNITS = [
    [feature_row(0), feature_row(1, 9, labels=[50258, 50261, 50257]), feature_row(2)],
    [quarantined_row(3)],
    [feature_row(4, 7), feature_row(5, 7)],
]
ROWS, FRAMES = 5, [5, 9, 5, 7, 7]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A store of five rows in three shards, one of them empty."""
    return make_store(tmp_path_factory.mktemp("whole") / "store", {"train": UNITS}, row_group_bytes=200).root


@pytest.fixture
def root(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "store")


def forge(root, **columns):
    """Puts *columns* into the index, and its digest into COMPLETE as whoever forges an index would."""
    path = StoreLayout(root).index_of("train")
    table = pq.read_table(path)
    for name, values in columns.items():
        column = values if isinstance(values, pa.Array) else pa.array(values, table.schema.field(name).type)
        table = table.set_column(table.column_names.index(name), name, column)
    pq.write_table(table, path)
    complete = json.loads((root / "COMPLETE").read_text())
    complete["splits"]["train"] |= {"index_digest": index_digest(path), "rows": len(table)}
    (root / "COMPLETE").write_text(json.dumps(complete))


def column(root, name):
    return pq.read_table(StoreLayout(root).index_of("train"))[name].to_pylist()


def read_all(root):
    """All that the trainer gets of a store: each row's facts and labels, and the micro-batch of its features."""
    split = open_split(root, "train")
    frames = int(split.num_frames.max())
    batch = collate(split, Clips.of([Clip(row, frames) for row in range(len(split))]))
    facts = [getattr(split, name).tolist() for name in ("row_id", "num_frames", "num_labels", "floor", "duration")]
    labels = [split.labels(row).tolist() for row in range(len(split))]
    return facts, labels, split.source.to_pylist(), batch.features.tobytes(), batch.targets.tolist()


OFFSETS = {"negative": -8, "nowhere": 0, "far behind the file": 1 << 40, "overflowing": (1 << 63) - 8}


@pytest.mark.parametrize("row", range(ROWS))
@pytest.mark.parametrize("offset", OFFSETS.values(), ids=OFFSETS)
def test_an_offset_that_is_in_no_shard_is_refused(root, row, offset):
    changed = column(root, "offset")
    changed[row] = offset
    forge(root, offset=changed)
    with pytest.raises(StoreError, match=r"train\.parquet|train-0000"):
        read_all(root)


@pytest.mark.parametrize(
    ("name", "row", "value", "said"),
    [
        ("offset", 1, -8, "row 1, with row id 1, begins at byte -8"),
        ("offset", 2, 300, "row 2, with row id 2, begins at byte 300, within the row before it"),
        ("num_frames", 3, -7, "row 3, with row id 4, has -7 frames"),
        ("num_frames", 3, 0, "row 3, with row id 4, has 0 frames"),
        ("num_frames", 0, (1 << 31) - 1, "row 1, with row id 1, begins at byte .* within the row before it"),
        ("num_labels", 2, -3, "row 2 has -3 labels"),
        ("num_labels", 2, 1, "row 2 has 1 label"),
        ("num_labels", 2, 5, "row 2 has 4 labels, its num_labels says 5"),
        ("shard", 4, 3, "row 4, with row id 5, lies in shard 3, of 3"),
        ("shard", 0, -1, "row 0, with row id 0, lies in shard -1, of 3"),
        ("shard", 0, 2, "row 1, with row id 1, lies in shard 0, after one of 2"),
        ("row_id", 0, -1, "row 0, with row id -1"),
        ("row_id", 2, 1, "row 2, with row id 1, comes after row id 1"),
        ("floor", 1, float("nan"), "has a floor of nan"),
        ("duration", 1, float("inf"), "has a duration of inf"),
        ("duration", 1, -1.0, "has a duration of -1"),
    ],
)
def test_the_first_row_that_is_wrong_is_named_as_the_split_is_opened(root, name, row, value, said):
    changed = column(root, name)
    changed[row] = value
    forge(root, **{name: changed})
    with pytest.raises(StoreError, match=rf"index/train\.parquet.*{said}[\s\S]*preprocess\.verify"):
        open_split(root, "train")


def test_numbers_of_labels_that_a_neighbour_balances_are_refused(root):
    forge(root, num_labels=[4, 4, 3, 4, 4])
    with pytest.raises(StoreError, match="row 1 has 3 labels, its num_labels says 4"):
        open_split(root, "train")


def test_numbers_of_labels_for_which_there_is_no_memory_are_refused(root):
    forge(root, num_labels=[(1 << 31) - 1] * ROWS)
    with pytest.raises(StoreError, match=r"index/train\.parquet"):
        open_split(root, "train")


@pytest.mark.parametrize(
    "columns",
    [
        {"shard": pa.array([0, 0, 0, 2, 2], pa.int64())},
        {"offset": pa.array([None] * ROWS, pa.int64())},
        {"num_frames": pa.array([5.5] * ROWS)},
        {"labels": pa.array([[0, None]] * ROWS, pa.list_(pa.int32())), "num_labels": [2] * ROWS},
        {"labels": pa.array([["x", "y"]] * ROWS), "num_labels": [2] * ROWS},
        {"labels": pa.array(range(ROWS)), "num_labels": [2] * ROWS},
        {"source": pa.array(range(ROWS))},
    ],
    ids=lambda columns: next(iter(columns)),
)
def test_columns_of_another_kind_are_refused(root, columns):
    forge(root, **columns)
    with pytest.raises(StoreError, match=r"index/train\.parquet cannot be read.*\n.*preprocess\.verify"):
        open_split(root, "train")


def test_pieces_of_one_recording_are_rows_of_their_own(root):
    path = StoreLayout(root).index_of("train")
    for pieces, problem in (([0, 0, 1, 0, 0], None), ([0, 1, 1, 0, 0], "row 2"), ([0, 0, -1, 0, 0], "piece -1")):
        forge(root, row_id=[0, 1, 1, 4, 5])
        table = pq.read_table(path)
        table = table.drop_columns("piece") if "piece" in table.column_names else table
        pq.write_table(table.append_column("piece", pa.array(pieces, pa.int16())), path)
        complete = json.loads((root / "COMPLETE").read_text())
        complete["splits"]["train"]["index_digest"] = index_digest(path)
        (root / "COMPLETE").write_text(json.dumps(complete))
        if problem is None:
            assert open_split(root, "train").piece.tolist() == pieces
        else:
            with pytest.raises(StoreError, match=problem):
                open_split(root, "train")


WIDE = {
    "int32": st.integers(-(1 << 31), (1 << 31) - 1) | st.integers(-20, 20),
    "int64": st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-400, 4_000),
    "float": st.floats(width=32),
    "string": st.text(max_size=8),
}
COLUMNS = {
    "row_id": "int64",
    "shard": "int32",
    "offset": "int64",
    "num_frames": "int32",
    "floor": "float",
    "num_labels": "int32",
    "duration": "float",
    "source": "string",
}


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_changed_index_is_refused_or_reads_exactly_as_before(whole, tmp_path_factory, data):
    """Values of one row or two, another's, or all in another order."""
    root = shutil.copytree(whole, tmp_path_factory.mktemp("changed") / "store")
    changed = {}
    for name in data.draw(st.sets(st.sampled_from(sorted([*COLUMNS, "labels"])), min_size=1, max_size=2)):
        values = column(root, name)
        known = st.sampled_from(values)
        other = st.lists(st.integers(-2, 60_000), max_size=5) if name == "labels" else WIDE[COLUMNS[name]]
        for row in data.draw(st.sets(st.integers(0, ROWS - 1), max_size=2)):
            values[row] = data.draw(other | known)
        changed[name] = data.draw(st.permutations(values)) if data.draw(st.booleans()) else values
    forge(root, **changed)
    with suppress(StoreError):
        assert read_all(root) == read_all(whole)
    shutil.rmtree(root)


def test_arrays_are_what_was_written(root):
    split = open_split(root, "train")
    np.testing.assert_array_equal(split.piece, np.zeros(ROWS))
    assert split.num_frames.tolist() == FRAMES


@pytest.mark.parametrize("bins", [0, -8, 8.0, "8", True, 1 << 40, None])
@pytest.mark.parametrize("name", ["num_mel_bins", "num_units"])
def test_a_record_with_numbers_of_no_store_is_refused(root, name, bins):
    record = json.loads((root / "store.json").read_text())
    value = -1 if name == "num_units" and bins == 0 else bins
    (record["features"] if name == "num_mel_bins" else record["splits"]["train"])[name] = value
    (root / "store.json").write_text(json.dumps(record))
    with pytest.raises(StoreError, match=rf"store\.json is damaged.*{name}"):
        open_split(root, "train")


@pytest.mark.parametrize("dtype", ["float64", "uint16", 2, None])
def test_a_record_of_another_dtype_is_refused(root, dtype):
    record = json.loads((root / "store.json").read_text())
    record["features"]["dtype"] = dtype
    (root / "store.json").write_text(json.dumps(record))
    with pytest.raises(StoreError, match=r"store\.json is damaged"):
        open_split(root, "train")

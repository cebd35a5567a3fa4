"""Rows of several stores, less those left out: one numbering, the same bytes and labels, whatever order was typed."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from shared.errors import StoreError, UsageError
from shared.schema import FeatureSpec
from shared.store import open_split
from tests.support.samples import SPEC, feature_row, make_store
from trainer.data.clips import Clip, Clips
from trainer.data.collate import collate
from trainer.data.exclusion import Exclusion
from trainer.data.rows import JoinedRows


def store(root, uuid, first=0, rows=6, spec=SPEC, **values):
    """A store of *rows* clips, ids from 0 as everywhere, called *uuid*; *first* makes them other clips."""
    clips = [feature_row(first + number, 5 + number, spec, **values) for number in range(rows)]
    made = [replace(clip, row_id=number) for number, clip in enumerate(clips)]
    layout = make_store(root, {"train": [made[:2], made[2:]]}, spec)
    for path in (layout.record, layout.complete):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"uuid": uuid}))
    return open_split(root, "train")


@pytest.fixture
def two(tmp_path):
    return store(tmp_path / "a", "aaaa"), store(tmp_path / "b", "bbbb", 100, 4)


def same(one, other):
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("features", "inputs", "targets"))


def batch(rows, *numbers):
    return collate(rows, Clips.of([Clip(row, int(rows.num_frames[row])) for row in numbers]))


def test_one_store_with_nothing_left_out_is_itself(two):
    rows = JoinedRows.of(two[:1])
    assert (len(rows), rows.store, rows.excluded) == (6, "aaaa", None)
    assert rows.content_digest == two[0].content_digest
    assert np.shares_memory(rows.label_values, two[0].label_values)
    assert np.shares_memory(rows.num_frames, two[0].num_frames)
    assert same(batch(rows, 0, 4, 5), batch(two[0], 0, 4, 5))


def test_two_stores_are_numbered_by_their_uuids_not_by_the_order_of_options(two):
    one, other = JoinedRows.of(two), JoinedRows.of(two[::-1])
    assert one.row_id.tolist() == other.row_id.tolist() == [0, 1, 2, 3, 4, 5, 0, 1, 2, 3]
    assert one.store == other.store == ["aaaa", "bbbb"]
    assert one.content_digest == [split.content_digest for split in two]
    assert [str(value) for value in one.source] == [str(value) for split in two for value in split.source]


def test_a_micro_batch_of_both_has_each_rows_own_bytes_and_labels(two):
    rows = JoinedRows.of(two)
    mixed = batch(rows, 7, 0, 9, 5)
    for place, (split, row) in enumerate([(two[1], 1), (two[0], 0), (two[1], 3), (two[0], 5)]):
        own = split.log_mel(row)
        assert np.array_equal(mixed.features[place, : len(own)], own)
        assert mixed.inputs[place].tolist() == split.labels(row)[:-1].tolist()
        assert rows.labels((7, 0, 9, 5)[place]).tolist() == split.labels(row).tolist()
        assert rows.root_of((7, 0, 9, 5)[place]) == split.root


def test_a_byte_that_changed_in_the_second_store_is_found(two, tmp_path):
    path = two[1].shard_path(0)
    content = bytearray(path.read_bytes())
    content[two[1]._offset[1] + 3] ^= 1
    path.write_bytes(content)
    rows = JoinedRows.of([two[0], open_split(tmp_path / "b", "train")])
    batch(rows, 0, 6)
    with pytest.raises(StoreError, match=r"row 1 of 'train'.* fails its checksum: .*/b/data"):
        batch(rows, 0, 7)


def test_rows_that_are_left_out_are_in_no_batch_and_the_others_stay_themselves(two):
    out = [np.array([False, True, False, False, False, True]), np.array([True, False, False, False])]
    rows = JoinedRows.of(two, out)
    assert rows.row_id.tolist() == [0, 2, 3, 4, 1, 2, 3]
    assert same(batch(rows, 1, 3), batch(two[0], 2, 4))
    assert same(batch(rows, 4), batch(two[1], 1))
    assert rows.duration.tolist() == [*two[0].duration[[0, 2, 3, 4]], *two[1].duration[1:]]


def test_what_is_left_out_is_identified_by_the_rows_not_by_how_they_were_named(two):
    out = [np.arange(6) == 3, np.arange(4) == 1]
    one, other = JoinedRows.of(two, out).excluded, JoinedRows.of(two[::-1], out[::-1]).excluded
    assert one == other != JoinedRows.of(two, [out[0], np.arange(4) == 2]).excluded
    assert JoinedRows.of(two, [np.zeros(6, bool), np.zeros(4, bool)]).excluded is None


def test_a_store_named_twice_or_a_copy_of_it_is_refused(two, tmp_path):
    copy = store(tmp_path / "copy", "aaaa")
    with pytest.raises(UsageError, match=r"are the same store, or copies of it \(aaaa\)"):
        JoinedRows.of([two[0], two[1], copy])


@pytest.mark.parametrize("spec", [FeatureSpec(8, "uint8"), FeatureSpec(16, "float16")])
def test_stores_of_other_features_are_refused(two, tmp_path, spec):
    other = store(tmp_path / "other", "cccc", spec=spec)
    with pytest.raises(UsageError, match=r"8 mel bins of float16, .*other"):
        JoinedRows.of([*two, other])


def table(path, **columns):
    made = pa.table(columns)
    pq.write_table(made, path) if path.suffix == ".parquet" else pacsv.write_csv(made, path)
    return Exclusion.read(path)


@pytest.mark.parametrize("name", ["rows.parquet", "rows.csv"])
def test_a_table_names_rows_in_any_order_more_than_once_and_of_several_stores(two, tmp_path, name):
    made = table(tmp_path / name, store=["bbbb", "aaaa", "aaaa", "bbbb"], row_id=[3, 5, 5, 0], loss=[1.0] * 4)
    out = made.left_out(two)
    assert [np.flatnonzero(mask).tolist() for mask in out] == [[5], [0, 3]]


def test_pieces_are_left_out_one_by_one(tmp_path):
    split = store(tmp_path / "a", "aaaa", rows=5)
    split.row_id, split.piece = np.array([0, 1, 1, 1, 2]), np.array([0, 0, 1, 2, 0], np.int16)
    (out,) = table(tmp_path / "rows.parquet", row_id=[1, 2], piece=[1, 0]).left_out([split])
    assert out.tolist() == [False, False, True, False, True]
    with pytest.raises(UsageError, match="has no column piece"):
        table(tmp_path / "rows.csv", row_id=[1]).left_out([split])


def test_a_store_of_whole_clips_needs_no_column_piece_beside_one_of_pieces(two, tmp_path):
    two[1].piece = np.array([0, 1, 0, 0], np.int16)
    out = table(tmp_path / "rows.csv", row_id=[1], store=["aaaa"]).left_out(two)
    assert [np.flatnonzero(mask).tolist() for mask in out] == [[1], []]
    with pytest.raises(UsageError, match=r"has no column piece, and .*b has recordings"):
        table(tmp_path / "rows.csv", row_id=[1], store=["bbbb"]).left_out(two)


@pytest.mark.parametrize("pair", [(6, 0), (-1, 0), (0, 1), (0, -1), (2**50, 0), (0, 2**40)])
def test_a_row_that_is_not_there_is_named(two, tmp_path, pair):
    made = table(tmp_path / "rows.parquet", row_id=[1, pair[0]], piece=[0, pair[1]])
    with pytest.raises(UsageError, match=rf"names row {pair[0]}, piece {pair[1]}, which 'train' of .*a does not have"):
        made.left_out(two[:1])


def test_rows_of_other_splits_do_not_matter_but_a_table_without_any_of_this_is_refused(two, tmp_path):
    (out,) = table(tmp_path / "a.csv", row_id=[1, 77], split=["train", "test"]).left_out(two[:1])
    assert np.flatnonzero(out).tolist() == [1]
    with pytest.raises(UsageError, match="has no row of the split 'train'"):
        table(tmp_path / "b.csv", row_id=[1], split=["test"]).left_out(two[:1])


def test_what_nobody_can_tell_is_refused(two, tmp_path):
    with pytest.raises(UsageError, match="does not say which of 2 stores"):
        table(tmp_path / "a.csv", row_id=[1]).left_out(two)
    with pytest.raises(UsageError, match="has rows of a store zzzz"):
        table(tmp_path / "b.csv", row_id=[1], store=["zzzz"]).left_out(two)


def test_a_file_that_is_no_such_table_is_refused_in_words(tmp_path):
    for name, content, said in (
        ("a.txt", b"1", "its ending is not one of"),
        ("a.parquet", b"PAR1 no", "cannot be read"),
        ("none.csv", None, "cannot be read"),
        ("b.csv", b"id\n1\n", "has no column row_id"),
        ("c.csv", b"row_id\nthree\n", "cannot be read"),
        ("d.csv", b"row_id,piece\n1,\n", "column piece has 1 gap"),
    ):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(UsageError, match=said):
            Exclusion.read(tmp_path / name)
    with pytest.raises(UsageError, match="cannot be read"):
        table(tmp_path / "e.parquet", row_id=[1.5])

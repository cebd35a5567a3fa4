"""Keys tell rows apart and find equal ones, wherever they lie."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.reading.duplicates import RowKeys, is_held_out, keys_of, repeats

ROW = st.tuples(
    st.lists(st.integers(0, 3), max_size=4), st.integers(1, 3), st.sampled_from([-1.5, -0.5]), st.integers(0, 2)
)


def batch(rows):
    labels, frames, floors, checksums = zip(*rows, strict=True)
    return pa.record_batch(
        {
            "labels": pa.array(labels, pa.list_(pa.int32())),
            "num_frames": pa.array(frames, pa.int32()),
            "floor": pa.array(floors, pa.float32()),
            "crc32": pa.array(checksums, pa.uint32()),
        }
    )


@settings(deadline=None)
@given(st.lists(ROW, min_size=1, max_size=40))
def test_two_rows_have_the_same_key_where_they_are_the_same_and_nowhere_else(rows):
    keys = keys_of(batch(rows)).tolist()
    alike = {(tuple(labels), *rest) for labels, *rest in rows}
    assert len(set(keys)) == len(alike)
    assert len(set(zip(keys, [(tuple(labels), *rest) for labels, *rest in rows], strict=True))) == len(alike)


@given(st.lists(ROW, min_size=2, max_size=20), st.data())
def test_a_key_does_not_depend_on_the_rows_beside_it(rows, data):
    start = data.draw(st.integers(0, len(rows) - 1))
    assert keys_of(batch(rows).slice(start)).tolist() == keys_of(batch(rows)).tolist()[start:]


@given(st.dictionaries(st.sampled_from(["train", "test", "dev", "other"]), st.lists(st.integers(0, 9)), max_size=4))
def test_repetitions_are_those_that_are_counted_one_by_one(splits):
    found = repeats(
        {
            name: RowKeys(np.arange(len(keys)) + 100, np.zeros(len(keys), np.int64), np.array(keys, np.uint64))
            for name, keys in splits.items()
        }
    )
    for one in found:
        if one.split == one.other:
            assert one.rows == len(splits[one.split]) - len(set(splits[one.split]))
        else:
            assert one.rows == sum(key in splits[one.other] for key in splits[one.split])
        for row, same in one.examples:
            assert splits[one.split][row - 100] == splits[one.other][same - 100]
    pairs = {frozenset((a, b)) for a in splits for b in splits if a != b and set(splits[a]) & set(splits[b])}
    assert {frozenset((one.split, one.other)) for one in found if one.split != one.other} == pairs


def test_pieces_of_one_recording_are_told_apart():
    (found,) = repeats(
        {"train": RowKeys(np.array([4, 7, 7, 7]), np.array([0, 0, 1, 2]), np.array([1, 2, 1, 2], np.uint64))}
    )
    assert found.in_words == "2 rows of train equal an earlier one: 7 (piece 1) is 4"
    assert found.examples_in_words[1] == "7 (piece 2) is 7"


@pytest.mark.parametrize(
    ("name", "held_out"),
    [
        *((name, True) for name in ("test", "test.clean", "dev_other", "validation", "Test")),
        *((name, False) for name in ("train", "train.clean.100", "testimony", "other")),
    ],
)
def test_what_is_evaluated_on_is_known_by_its_name(name, held_out):
    assert is_held_out(name) == held_out

"""A shard stands where its name says and has the rows of its unit; shards that were exchanged are named."""

from dataclasses import replace

import pytest

from shared.errors import StoreError
from shared.index import write_index
from shared.layout import read_record
from shared.membership import Place, check_unit
from shared.reading.verification import verify_store
from shared.selection import Selection
from shared.shard import write_quarantine
from shared.system.durable import json_bytes
from tests.support.samples import counts, exchange_shards, feature_row, make_store, quarantined_row, write_shard

UNITS = [
    [feature_row(0), quarantined_row(1), feature_row(2)],
    [feature_row(3), quarantined_row(4), feature_row(5)],
    [feature_row(6), feature_row(7), feature_row(8)],
]
NAMES = [f"train-0000{unit}-of-00003.parquet" for unit in range(3)]


@pytest.fixture
def layout(tmp_path):
    layout = make_store(tmp_path / "store", {"train": UNITS})
    layout.partial.mkdir()
    return layout


def place(layout, unit):
    return Place(layout, "train", unit, read_record(layout).splits["train"])


def without_bounds(layout):
    """A record like those of version 1, which say less of the plan."""
    record = read_record(layout)
    splits = {name: replace(split, row_bounds=()) for name, split in record.splits.items()}
    layout.record.write_bytes(json_bytes(replace(record, splits=splits).as_dict()))


def rewrite(layout, unit, rows, rejected=()):
    where = place(layout, unit)
    where.shard.unlink()
    metadata = where.metadata | counts(len(rows) + len(rejected), len(rows))
    write_shard(where.shard, rows, metadata)
    where.quarantined.unlink(missing_ok=True)
    if rejected:
        write_quarantine(layout.partial / "q", where.quarantined, rejected)


def index_problem(layout):
    record = read_record(layout)
    with pytest.raises(StoreError) as caught:
        write_index(layout, "train", record.splits["train"], record.features)
    assert "--repair" in caught.value.remedy
    return caught.value.message


def problems(layout):
    return "; ".join(problem for check in verify_store(layout.root) for problem in check.problems)


@pytest.mark.parametrize("bounds", [True, False])
@pytest.mark.parametrize("swap", [True, False])
@pytest.mark.parametrize("quarantine", [True, False])
def test_exchanged_shards_are_named_by_index_resume_and_verify(layout, swap, quarantine, bounds):
    if not bounds:
        without_bounds(layout)
    exchange_shards(place(layout, 0).shard, place(layout, 1).shard, swap=swap)
    if quarantine:
        exchange_shards(place(layout, 0).quarantined, place(layout, 1).quarantined, swap=swap)
    words = f"{NAMES[1]} is not the shard that its name says: unit is '0 of 3' instead of '1 of 3'"
    assert words in problems(layout)
    assert words in check_unit(place(layout, 1))[0]
    assert NAMES[0 if swap else 1] in index_problem(layout)


@pytest.mark.parametrize("bounds", [True, False])
@pytest.mark.parametrize(
    ("rows", "rejected", "words"),
    [
        ([0, 2], [1], "does not have the rows of its unit"),
        ([3, 3], [4], "row ids are not strictly increasing"),
        ([5, 3], [4], "row ids are not strictly increasing"),
        ([3, 4], [4], "rows 4 are both written and quarantined"),
        ([3, 5], [6], "does not have the rows of its unit"),
        ([4, 5], [6], "does not have the rows of its unit"),
    ],
)
def test_a_unit_with_other_rows_than_the_plans_is_named(layout, rows, rejected, words, bounds):
    if not bounds:
        without_bounds(layout)
    rewrite(layout, 1, [feature_row(row) for row in rows], [quarantined_row(row) for row in rejected])
    assert words in problems(layout)
    assert words in index_problem(layout)
    if bounds:
        assert words in "; ".join(check_unit(place(layout, 1)))


def test_rows_missing_at_the_end_are_missed_without_the_plans_bounds_too(layout):
    without_bounds(layout)
    rewrite(layout, 2, [feature_row(6), feature_row(7)])
    assert "8 rows in, planned were 9" in problems(layout)
    assert "planned were 9" in index_problem(layout)


def test_exchanged_quarantine_files_alone_are_named(layout):
    exchange_shards(place(layout, 0).quarantined, place(layout, 1).quarantined, swap=True)
    assert f"{NAMES[1]} does not have the rows of its unit (1 missing: 4; 1 foreign: 1)" in problems(layout)
    assert NAMES[0] in index_problem(layout)


@pytest.mark.parametrize("key", ["split", "unit", "source_rows", "format_version"])
def test_a_shard_that_states_another_place_or_none_is_named(layout, key):
    where = place(layout, 2)
    for value in ("another", None):
        metadata = {**where.metadata, **counts(3, 3), key: value}
        where.shard.unlink()
        write_shard(where.shard, UNITS[2], {name: text for name, text in metadata.items() if text is not None})
        assert f"{key} is {value!r}" in check_unit(where)[0]


def test_a_part_of_a_split_has_just_the_rows_that_its_selection_names(tmp_path):
    ids = Selection("test", 0.3).row_ids(0, 30).tolist()
    layout = make_store(tmp_path / "store", {"train": [UNITS[0]]})
    settings = {"part": "test", "test_fraction": 0.3}
    split = replace(read_record(layout).splits["train"], row_bounds=(0, 30), settings=settings)
    where, metadata = Place(layout, "train", 0, split), counts(len(ids), len(ids))
    where.shard.unlink()
    where.quarantined.unlink()
    write_shard(where.shard, [feature_row(row) for row in ids], where.metadata | metadata)
    assert check_unit(where) == []
    where.shard.unlink()
    stray = next(row for row in range(30) if row not in ids)
    rows = sorted([*ids[1:], stray])
    write_shard(where.shard, [feature_row(row) for row in rows], where.metadata | metadata)
    assert f"1 missing: {ids[0]}; 1 foreign: {stray}" in check_unit(where)[0]


def rewrite_split(layout, keys, rejected):
    """Unit 1 with *keys*, (row, piece), of a store whose recordings are split."""
    where, rows = place(layout, 1), len({row for row, _ in keys})
    where.shard.unlink()
    stated = counts(rows + len(rejected), rows) | {"pieces_out": str(len(keys))}
    write_shard(where.shard, [replace(feature_row(row), piece=piece) for row, piece in keys], where.metadata | stated)
    where.quarantined.unlink(missing_ok=True)
    if rejected:
        write_quarantine(layout.partial / "q", where.quarantined, [quarantined_row(row) for row in rejected])


def test_pieces_of_a_row_count_on_and_count_as_one_row(layout):
    rewrite_split(layout, [(3, 0), (3, 1), (5, 0)], [4])
    assert check_unit(place(layout, 1)) == []
    record = read_record(layout)
    totals = write_index(layout, "train", record.splits["train"], record.features)
    assert (totals.rows, totals.quarantined, record.splits["train"].num_rows) == (8, 2, 9)


@pytest.mark.parametrize(
    ("keys", "rejected", "words"),
    [
        ([(3, 1), (3, 0), (5, 0)], [4], "not strictly increasing"),
        ([(3, 0), (3, 2), (5, 0)], [4], "pieces of rows 3 are missing"),
        ([(3, 1), (5, 0)], [4], "pieces of rows 3 are missing"),
        ([(3, 0), (4, 0), (4, 1), (5, 0)], [4], "rows 4 are both written and quarantined"),
    ],
)
def test_a_piece_that_is_missing_or_also_quarantined_is_named(layout, keys, rejected, words):
    rewrite_split(layout, keys, rejected)
    assert words in "; ".join(check_unit(place(layout, 1)))


def test_a_shard_that_has_not_as_many_pieces_as_it_states_is_damaged(layout):
    where = place(layout, 1)
    where.shard.unlink()
    stated = counts(3, 2) | {"pieces_out": "4"}
    pieces = [replace(feature_row(row), piece=piece) for row, piece in ((3, 0), (3, 1), (5, 0))]
    write_shard(where.shard, pieces, where.metadata | stated)
    assert "2 out in 4 pieces (3 found), 1 quarantined" in check_unit(where)[0]

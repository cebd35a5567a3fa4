"""The index and COMPLETE: written only when everything is there, and they say what is there."""

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from shared.errors import StoreError
from shared.index import read_complete, write_complete, write_index
from shared.layout import StoreLayout, read_record
from shared.membership import Place, shard_counts
from shared.schema import INDEX_SCHEMA
from tests.support.samples import counts, feature_row, make_store, quarantined_row, write_shard

UNITS = [[feature_row(0), quarantined_row(1), feature_row(2, 9)], [quarantined_row(3)], [feature_row(4, 1)]]


@pytest.fixture
def layout(tmp_path):
    layout = make_store(tmp_path / "store", {"train": UNITS})
    layout.partial.mkdir()
    return layout


def place(layout, unit):
    return Place(layout, "train", unit, read_record(layout).splits["train"])


def rewrite(layout, unit, rows, metadata):
    layout.shard("train", unit, 3).unlink()
    write_shard(layout.shard("train", unit, 3), rows, place(layout, unit).metadata | metadata)


def index_again(layout):
    record = read_record(layout)
    return write_index(layout, "train", record.splits["train"], record.features)


def test_the_index_has_a_row_for_every_written_row_in_order(layout):
    table = pq.read_table(layout.index_of("train"))
    assert table.schema.equals(INDEX_SCHEMA)
    assert table["row_id"].to_pylist() == [0, 2, 4]
    assert table["shard"].to_pylist() == [0, 0, 2]
    assert table["num_frames"].to_pylist() == [5, 9, 1]


def test_offsets_lead_to_the_payloads(layout):
    for row in pq.read_table(layout.index_of("train")).to_pylist():
        content = layout.shard("train", row["shard"], 3).read_bytes()
        payload = feature_row(row["row_id"], row["num_frames"]).payload
        assert content[row["offset"] : row["offset"] + len(payload)] == payload


def test_complete_states_what_the_split_holds(layout):
    totals = read_complete(layout)["train"]
    assert (totals["rows"], totals["quarantined"], totals["shards"]) == (3, 2, 3)
    assert totals["audio_seconds"] == pytest.approx(0.15)
    assert totals["num_bytes"] == sum(path.stat().st_size for path in layout.data.iterdir())


def test_indexing_again_gives_the_same_bytes_and_totals(layout):
    before = layout.index_of("train").read_bytes()
    totals = index_again(layout)
    assert layout.index_of("train").read_bytes() == before
    assert totals.index_digest == read_complete(layout)["train"]["index_digest"]


def test_the_content_digest_hangs_on_rows_and_not_on_where_shards_end(tmp_path):
    rows = [feature_row(number) for number in range(6)]
    digests = []
    for name, group_bytes in (("a", 1), ("b", 8 << 20)):
        layout = make_store(tmp_path / name, {"train": [rows[:4], rows[4:]]}, row_group_bytes=group_bytes)
        digests.append(read_complete(layout)["train"]["content_digest"])
    other = make_store(tmp_path / "c", {"train": [rows[:4], rows[4:5]]})
    assert digests[0] == digests[1] != read_complete(other)["train"]["content_digest"]
    changed = replace(rows[5], payload=rows[4].payload)
    other = make_store(tmp_path / "d", {"train": [rows[:4], [rows[4], changed]]})
    assert digests[0] != read_complete(other)["train"]["content_digest"]


def test_a_split_that_is_completed_later_leaves_the_others_complete(tmp_path):
    layout = make_store(tmp_path / "store", {"train": UNITS, "test": [[feature_row(0)]]})
    layout.partial.mkdir()
    record, before = read_record(layout), read_complete(layout)
    write_complete(layout, record, {"test": write_index(layout, "test", record.splits["test"], record.features)})
    assert read_complete(layout) == before


def test_a_missing_shard_is_named_and_leaves_no_partial_index(layout):
    layout.shard("train", 1, 3).unlink()
    with pytest.raises(StoreError, match=r"1 shard of 'train' missing, first train-00001-of-00003\.parquet"):
        index_again(layout)
    assert list(layout.partial.iterdir()) == []


def test_a_shard_of_another_plan_is_refused(layout):
    rewrite(layout, 2, UNITS[2], counts(1, 1, "another plan"))
    with pytest.raises(StoreError, match="another plan"):
        index_again(layout)


def test_rows_that_do_not_add_up_to_the_plan_are_refused(layout):
    rewrite(layout, 2, [feature_row(4), feature_row(5)], counts(2, 2))
    with pytest.raises(
        StoreError, match=r"train-00002-of-00003\.parquet does not have the rows of its unit \(1 foreign: 5\)"
    ):
        index_again(layout)


def test_a_damaged_shard_is_named(layout):
    layout.shard("train", 2, 3).write_bytes(b"no Parquet")
    with pytest.raises(StoreError, match="train-00002-of-00003"):
        index_again(layout)


@pytest.mark.parametrize(
    "metadata",
    [{}, {"rows_in": "x", "rows_out": "1", "rows_quarantined": "0"}, counts(2, 2), counts(3, 1) | {"rows_in": "1"}],
)
def test_a_shard_whose_counts_do_not_add_up_is_refused(tmp_path, metadata):
    path = write_shard(tmp_path / "s.parquet", [feature_row(0)], metadata)
    with pytest.raises(StoreError, match=r"s\.parquet"):
        shard_counts(pq.read_metadata(path), path.name)


def test_nothing_is_complete_before_complete_is_written(tmp_path):
    assert read_complete(StoreLayout(tmp_path)) == {}


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"splits": [1]}', '{"splits": {"train": 1}}'])
def test_a_damaged_complete_is_named_with_the_remedy(layout, content):
    layout.complete.write_text(content)
    with pytest.raises(StoreError, match=r"COMPLETE is damaged(?s:.*)--repair"):
        read_complete(layout)


@pytest.mark.parametrize("value", [None, "3", -3, 3.5, True, {}])
@pytest.mark.parametrize("name", ["rows", "quarantined", "shards", "num_bytes", "audio_seconds"])
def test_totals_that_no_run_wrote_are_damage(layout, name, value):
    complete = json.loads(layout.complete.read_text())
    complete["splits"]["train"][name] = value if name != "audio_seconds" or value != 3.5 else float("nan")
    layout.complete.write_text(json.dumps(complete))
    with pytest.raises(StoreError, match=rf"COMPLETE is damaged: .*{name} is"):
        read_complete(layout)


def test_complete_of_another_store_is_refused_where_the_store_is_known(layout):
    value = json.loads(layout.complete.read_text())
    assert read_complete(layout, value["uuid"]) == value["splits"]
    with pytest.raises(StoreError, match="another store"):
        read_complete(layout, "another")


def test_offsets_are_64_bit(layout):
    assert pq.read_table(layout.index_of("train"))["offset"].to_numpy().dtype == np.int64

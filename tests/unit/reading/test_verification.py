"""verify finds every kind of damage, names the file, and says nothing about a good store."""

import json
import os
import shutil
import zlib

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preprocess import verify
from shared.command.cli import run_command
from shared.errors import StoreError
from shared.layout import StoreLayout, read_record
from shared.membership import Place
from shared.reading.verification import verify_shard, verify_store
from shared.shard import write_quarantine
from tests.support.samples import SPEC, counts, feature_row, make_store, quarantined_row, write_shard

UNITS = [
    [*(feature_row(n, 5 + n) for n in range(6)), quarantined_row(6)],
    [feature_row(7), feature_row(8)],
    [quarantined_row(9)],
]
SHARD = "train-00000-of-00003.parquet"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A finished store with three shards; row groups of a few rows."""
    return make_store(tmp_path_factory.mktemp("good") / "store", {"train": UNITS}, row_group_bytes=200).root


@pytest.fixture
def layout(good, tmp_path):
    """A copy that a test may damage."""
    return StoreLayout(shutil.copytree(good, tmp_path / "store"))


def problems(layout):
    return [problem for check in verify_store(layout.root) for problem in check.problems]


def flip(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def chunk(path, name):
    metadata = pq.read_metadata(path)
    return metadata.row_group(0).column(metadata.schema.names.index(name))


def place(layout, unit):
    return Place(layout, "train", unit, read_record(layout).splits["train"])


def rewrite(layout, unit, rows, metadata):
    path = layout.shard("train", unit, 3)
    path.unlink()
    layout.partial.mkdir()
    write_shard(path, rows, place(layout, unit).metadata | metadata)
    layout.partial.rmdir()


def change_complete(layout, **totals):
    value = json.loads(layout.complete.read_text())
    value["splits"]["train"] |= totals
    layout.complete.write_text(json.dumps(value))


def test_a_good_store_has_no_problems_and_all_its_rows_are_counted(layout):
    checks = list(verify_store(layout.root))
    assert not [problem for check in checks for problem in check.problems]
    assert sum(check.rows for check in checks) == 8
    assert sum(check.num_bytes for check in checks) == sum(path.stat().st_size for path in layout.data.iterdir())


def test_verifying_changes_nothing(layout):
    before = {path: path.read_bytes() for path in layout.root.rglob("*") if path.is_file()}
    list(verify_store(layout.root))
    assert {path: path.read_bytes() for path in layout.root.rglob("*") if path.is_file()} == before


def test_a_flipped_byte_in_a_payload_is_found(layout):
    column = chunk(layout.shard("train", 0, 3), "log_mel")
    flip(layout.shard("train", 0, 3), column.data_page_offset + column.total_compressed_size - 1)
    assert any(SHARD in problem for problem in problems(layout))


@pytest.mark.parametrize("name", ["row_id", "num_frames", "element", "transkription", "source", "duration", "crc32"])
def test_a_flipped_byte_in_any_other_column_is_found(layout, name):
    column = chunk(layout.shard("train", 0, 3), name)
    flip(layout.shard("train", 0, 3), column.data_page_offset + column.total_compressed_size - 1)
    assert any(SHARD in problem for problem in problems(layout))


@pytest.mark.parametrize("name", ["row_id", "num_frames", "element", "transkription", "source", "duration", "crc32"])
def test_a_flipped_byte_is_found_before_the_store_has_an_index(layout, name):
    column = chunk(layout.shard("train", 0, 3), name)
    flip(layout.shard("train", 0, 3), column.data_page_offset + column.total_compressed_size - 1)
    assert verify_shard(layout, "train", 0, read_record(layout)).problems


def test_a_payload_that_changed_before_its_page_was_written_is_found(tmp_path, monkeypatch):
    """Its page's own checksum is right then; the row's is not."""
    crc32, victim = zlib.crc32, UNITS[0][2].payload
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(zlib, "crc32", lambda data: crc32(data) ^ (data == victim))
        layout = make_store(tmp_path / "store", {"train": UNITS})
    (problem,) = problems(layout)
    assert "row 2" in problem
    assert "fails its checksum" in problem


FILES = ["data/" + SHARD, "quarantine/" + SHARD, "index/train.parquet", "COMPLETE"]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(FILES), st.floats(0, 1, exclude_max=True), st.sampled_from([1, 16, 128]))
def test_a_flipped_bit_anywhere_in_any_file_is_found(layout, name, where, bit):
    path = layout.root / name
    content = path.read_bytes()
    damaged = bytearray(content)
    damaged[int(where * len(content))] ^= bit
    path.write_bytes(damaged)
    try:
        changed_meaning = name != "COMPLETE" or _as_json(damaged) != json.loads(content)
        assert bool(problems(layout)) == changed_meaning
    finally:
        path.write_bytes(content)


def _as_json(content):
    try:
        return json.loads(bytes(content))
    except ValueError:
        return None


@pytest.mark.parametrize("size", [0, 3, 500, -1])
def test_a_cut_shard_is_found(layout, size):
    path = layout.shard("train", 0, 3)
    os.truncate(path, size if size >= 0 else path.stat().st_size - 1)
    assert any(SHARD in problem and "damaged" in problem for problem in problems(layout))


def test_a_missing_shard_is_found(layout):
    layout.shard("train", 1, 3).unlink()
    assert any("train-00001-of-00003.parquet is missing" in problem for problem in problems(layout))


def test_a_shard_of_another_plan_is_found(layout):
    rewrite(layout, 1, UNITS[1], counts(2, 2, "another"))
    assert any("belongs to another plan" in problem for problem in problems(layout))


def test_a_shard_of_other_rows_is_found(layout):
    rewrite(layout, 1, [feature_row(10), feature_row(11)], counts(2, 2))
    assert any("its entries for shard 1 are not the shard's" in problem for problem in problems(layout))


def test_a_shard_with_other_columns_is_found(layout):
    path = layout.shard("train", 1, 3)
    metadata = pq.read_metadata(path).metadata
    table = pq.read_table(path).drop_columns("duration")
    pq.write_table(table.replace_schema_metadata(metadata), path)
    assert any("columns are not those" in problem for problem in problems(layout))


def test_row_ids_out_of_order_are_found(layout):
    rewrite(layout, 1, [feature_row(8), feature_row(7)], counts(2, 2))
    assert any("not strictly increasing" in problem for problem in problems(layout))


def test_a_shard_whose_counts_do_not_add_up_is_found(layout):
    rewrite(layout, 1, UNITS[1], counts(5, 2) | {"rows_quarantined": "1"})
    assert any("5 rows in, 2 out (2 found), 1 quarantined" in problem for problem in problems(layout))


def test_a_missing_quarantine_file_is_found(layout):
    layout.quarantined("train", 0, 3).unlink()
    assert any("quarantine" in problem and "is missing: it had 1 row" in problem for problem in problems(layout))


def test_a_quarantine_file_too_many_is_found(layout):
    write_quarantine(layout.root / "aside", layout.quarantined("train", 1, 3), [quarantined_row(8)])
    found = problems(layout)
    assert any("has 1 row, its shard says 0" in problem for problem in found)
    assert any("rows 8 are both written and quarantined" in problem for problem in found)


def test_a_damaged_quarantine_file_is_named_itself(layout):
    layout.quarantined("train", 0, 3).write_bytes(b"no Parquet")
    assert any(str(layout.quarantined("train", 0, 3)) in problem for problem in problems(layout))


def test_an_index_of_other_rows_is_found(layout):
    table = pq.read_table(layout.index_of("train"))
    position = table.schema.names.index("offset")
    moved = table.set_column(position, table.schema.field(position), [table["offset"].to_numpy() + 1])
    pq.write_table(moved, layout.index_of("train"))
    assert any("index/train.parquet: its entries for shard 0" in problem for problem in problems(layout))


def test_a_missing_index_is_found(layout):
    layout.index_of("train").unlink()
    assert any("index/train.parquet" in problem for problem in problems(layout))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rows", 9),
        ("quarantined", 1),
        ("shards", 2),
        ("num_bytes", 1),
        ("audio_seconds", 7.0),
        ("content_digest", "0" * 32),
        ("index_digest", "0" * 32),
        ("plan_digest", "another"),
    ],
)
def test_a_wrong_figure_in_complete_is_found(layout, name, value):
    change_complete(layout, **{name: value})
    assert [problem for problem in problems(layout) if f"{name} is" in problem and str(value) in problem]


@pytest.mark.parametrize("content", ["", "{}", '{"splits": []}', '{"splits": {"train": {}}}'])
def test_a_damaged_complete_is_found_and_the_rest_is_still_checked(layout, content):
    layout.complete.write_text(content)
    layout.shard("train", 1, 3).unlink()
    found = problems(layout)
    assert any("COMPLETE" in problem for problem in found)
    assert any("train-00001-of-00003.parquet is missing" in problem for problem in found)


def test_an_unfinished_store_is_no_good_store(layout):
    layout.complete.unlink()
    layout.shard("train", 1, 3).unlink()
    assert any("'train' is not complete: 2 of 3 shards" in problem for problem in problems(layout))


def test_complete_of_a_split_that_the_store_does_not_know_is_found(layout):
    value = json.loads(layout.complete.read_text())
    value["splits"]["test"] = value["splits"]["train"]
    layout.complete.write_text(json.dumps(value))
    assert any("split 'test'" in problem for problem in problems(layout))


@pytest.mark.parametrize(
    "name",
    [
        "data/train-00000-of-00009.parquet",
        "data/notes.txt",
        "quarantine/test-00000-of-00003.parquet",
        "index/old.parquet",
    ],
)
def test_a_stray_file_is_found(layout, name):
    (layout.root / name).write_bytes(b"")
    assert [problem for problem in problems(layout) if str(layout.root / name) in problem] == [
        f"{layout.root / name} belongs to no plan of this store"
    ]


def test_leftover_partial_files_are_found(layout):
    layout.partial.mkdir()
    (layout.partial / f"{SHARD}.host-1").write_bytes(b"x")
    assert any(f"{SHARD}.host-1 is unfinished" in problem for problem in problems(layout))


def test_many_problems_are_all_found(layout):
    layout.shard("train", 0, 3).unlink()
    layout.shard("train", 2, 3).unlink()
    layout.index_of("train").write_bytes(b"")
    found = problems(layout)
    assert all(any(name in problem for problem in found) for name in ("train-00000", "train-00002", "index/train"))


def test_a_store_without_its_record_cannot_be_verified(layout):
    layout.record.unlink()
    with pytest.raises(StoreError, match="is not a store"):
        problems(layout)


def test_the_command_ends_with_0_for_a_good_store(layout, capsys):
    assert run_command(verify.main, [str(layout.root)]) == 0
    assert "8 rows" in capsys.readouterr().out


def test_the_command_ends_with_1_and_the_names_of_what_is_wrong(layout, capsys):
    layout.shard("train", 1, 3).unlink()
    assert run_command(verify.main, ["--store", str(layout.root)]) == 1
    shown = capsys.readouterr()
    assert "train-00001-of-00003.parquet is missing" in shown.err
    assert "problem" in shown.out


def test_samples_differ_from_row_to_row():
    assert not np.array_equal(feature_row(1).payload, feature_row(2).payload)
    assert SPEC.num_mel_bins == 8


def test_unfinished_files_of_another_user_are_told_and_the_rest_is_still_checked(layout, monkeypatch):
    layout.partial.mkdir()
    listdir = os.listdir

    def refuse(path="."):
        if str(path).endswith(".partial"):
            raise PermissionError(13, "Permission denied", path)
        return listdir(path)

    monkeypatch.setattr(os, "listdir", refuse)
    assert problems(layout) == [f"{layout.partial} is another user's, whose run works on the store or left it so"]

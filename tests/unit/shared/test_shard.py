"""How a shard is laid out, so that a trainer can map it, and what the writer leaves when it is stopped."""

import errno
import os
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shared import shard
from shared.errors import ReservationOutgrownError, StoreError
from shared.schema import FeatureSpec, shard_schema
from shared.shard import ShardWriter, check_payloads, payload_offsets, payload_pages, write_quarantine
from tests.support.samples import SPEC, counts, feature_row, quarantined_row, write_shard

ROWS = [feature_row(row_id, 5 + row_id) for row_id in range(9)]


@pytest.fixture
def path(tmp_path):
    """A shard of nine rows in three row groups."""
    return write_shard(tmp_path / "train-00000-of-00001.parquet", ROWS, counts(9, 9), row_group_bytes=400)


def columns(path, name):
    metadata = pq.read_metadata(path)
    position = metadata.schema.names.index(name)
    return [metadata.row_group(number).column(position) for number in range(metadata.num_row_groups)]


def test_rows_are_written_in_row_groups_of_about_the_bytes_asked_for(path):
    sizes = [pq.read_metadata(path).row_group(n).num_rows for n in range(pq.read_metadata(path).num_row_groups)]
    assert len(sizes) > 2
    assert sum(sizes) == 9


@pytest.mark.parametrize("spec", [FeatureSpec(8, "float16"), FeatureSpec(8, "uint8")])
def test_log_mel_is_plain_uncompressed_and_without_dictionary_or_statistics(tmp_path, spec):
    # A thousand equal rows tempt any encoder to compress.
    row = replace(feature_row(0, 5, spec), payload=bytes(5 * spec.payload_bytes(1)))
    path = write_shard(tmp_path / "s.parquet", [row] * 1_000, counts(1_000, 1_000), spec)
    for column in columns(path, "log_mel"):
        assert column.compression == "UNCOMPRESSED"
        assert column.total_compressed_size == column.total_uncompressed_size > 1_000 * len(row.payload)
        assert "PLAIN" in column.encodings
        assert not column.has_dictionary_page
        assert not column.is_stats_set


def test_a_row_group_of_log_mel_is_one_page_header_and_the_payloads(path):
    sizes = np.array([len(row.payload) for row in ROWS], np.int64)
    for column, (start, stop) in zip(
        columns(path, "log_mel"), payload_pages(pq.read_metadata(path), sizes), strict=True
    ):
        assert column.data_page_offset < start < column.data_page_offset + 100
        assert stop == column.data_page_offset + column.total_compressed_size


def test_a_row_larger_than_a_row_group_has_one_to_itself(tmp_path):
    rows = [feature_row(0, 1), feature_row(1, 3_000), feature_row(2, 1)]
    path = write_shard(tmp_path / "s.parquet", rows, counts(3, 3), row_group_bytes=1_000)
    assert [pq.read_metadata(path).row_group(n).num_rows for n in range(2)] == [2, 1]
    check_payloads(path, SPEC)


def test_other_columns_are_compressed_and_searchable(path):
    assert {column.compression for column in columns(path, "transkription")} == {"ZSTD"}
    ids = columns(path, "row_id")
    assert (ids[0].statistics.min, ids[-1].statistics.max) == (0, 8)


def test_every_page_has_a_checksum(path):
    content = bytearray(path.read_bytes())
    chunk = columns(path, "duration")[0]
    content[chunk.data_page_offset + chunk.total_compressed_size - 1] ^= 1
    path.write_bytes(content)
    with pytest.raises(OSError, match=r"CRC|checksum"):
        pq.read_table(path, columns=["duration"], page_checksum_verification=True)


def test_a_shard_without_rows_is_valid(tmp_path):
    path = write_shard(tmp_path / "s.parquet", [], counts(3, 0))
    table = pq.read_table(path)
    assert (table.num_rows, table.schema.names) == (0, shard_schema(SPEC).names)
    assert pq.read_metadata(path).metadata[b"rows_quarantined"] == b"3"


def test_an_abandoned_shard_leaves_no_file(tmp_path):
    with ShardWriter(tmp_path / "partial", SPEC, row_group_bytes=1) as writer:
        writer.append(ROWS[0])
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_reported_as_itself_and_leaves_no_file(tmp_path, monkeypatch):
    def refuse(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space") as caught:
        write_shard(tmp_path / "s.parquet", ROWS, counts(9, 9))
    assert caught.value.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []


def test_the_second_of_two_writers_drops_its_own(tmp_path):
    final = write_shard(tmp_path / "s.parquet", ROWS, counts(9, 9))
    before = final.stat()
    with ShardWriter(tmp_path / "mine", SPEC) as writer:
        writer.seal(counts(0, 0))
        assert not writer.publish(final)
    assert (final.stat().st_ino, final.stat().st_size) == (before.st_ino, before.st_size)
    assert list(tmp_path.iterdir()) == [final]


WRONG_LAYOUTS = {
    "compressed": {"compression": "zstd", "use_dictionary": False},
    "a dictionary": {"compression": "none", "use_dictionary": ["log_mel"]},
    "many pages": {"compression": "none", "use_dictionary": False, "data_page_size": 10, "write_batch_size": 1},
    "encoded": {"compression": "none", "use_dictionary": False, "column_encoding": {"log_mel": "DELTA_BYTE_ARRAY"}},
}


@pytest.mark.parametrize("options", WRONG_LAYOUTS.values(), ids=WRONG_LAYOUTS.keys())
def test_a_file_that_cannot_be_mapped_is_refused(path, options):
    table = pq.read_table(path)
    pq.write_table(table.cast(shard_schema(SPEC)), path, **options)
    with pytest.raises(StoreError, match=r"cannot be mapped|does not lie"):
        check_payloads(path, SPEC)


@pytest.mark.parametrize("options", [WRONG_LAYOUTS["compressed"], WRONG_LAYOUTS["many pages"]])
def test_offsets_are_not_told_for_a_file_that_cannot_be_mapped(path, options):
    rows = [feature_row(number, 100) for number in range(9)]
    write_shard(path, rows, {})
    pq.write_table(pq.read_table(path).cast(shard_schema(SPEC)), path, **options)
    with pytest.raises(StoreError, match="cannot be mapped"):
        payload_offsets(pq.read_metadata(path), np.full(9, len(rows[0].payload), np.int64), path.name)


def test_a_disk_that_keeps_other_bytes_than_were_written_gets_no_shard(path, monkeypatch):
    sizes = np.array([len(row.payload) for row in ROWS], np.int64)
    first = int(payload_offsets(pq.read_metadata(path), sizes, path.name)[0])
    monkeypatch.setattr(os, "fsync", lambda file: os.pwrite(file, b"other", first))
    with pytest.raises(StoreError, match=r"row 0 .* checksum"):
        write_shard(path.with_name("other"), ROWS, {}, row_group_bytes=400)
    assert list(path.parent.iterdir()) == [path]


def test_a_payload_that_changed_on_its_way_to_the_disk_is_noticed(path):
    content = bytearray(path.read_bytes())
    sizes = np.array([len(row.payload) for row in ROWS], np.int64)
    content[payload_offsets(pq.read_metadata(path), sizes, path.name)[0]] ^= 1
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"row 0 .* checksum"):
        check_payloads(path, SPEC)


def test_quarantined_rows_keep_id_path_reason_and_message(tmp_path):
    final = tmp_path / "q.parquet"
    write_quarantine(tmp_path / "partial", final, [quarantined_row(3), quarantined_row(5, "too_long")])
    assert pq.read_table(final).to_pylist() == [
        {"row_id": 3, "piece": 0, "path": "clip3.wav", "reason": "undecodable", "message": "no sound in it"},
        {"row_id": 5, "piece": 0, "path": "clip5.wav", "reason": "too_long", "message": "no sound in it"},
    ]
    assert list(tmp_path.iterdir()) == [final]


def test_an_earlier_quarantine_file_gives_way(tmp_path):
    final = tmp_path / "q.parquet"
    write_quarantine(tmp_path / "partial", final, [quarantined_row(1)])
    write_quarantine(tmp_path / "partial", final, [quarantined_row(2)])
    assert pq.read_table(final)["row_id"].to_pylist() == [2]


def test_memory_stays_near_two_row_groups_whatever_the_shard(tmp_path):
    row, pool = feature_row(0, 2_000), pa.default_memory_pool()
    before = pool.bytes_allocated()
    with ShardWriter(tmp_path / "partial", SPEC, row_group_bytes=20 * len(row.payload)) as writer:
        peak = 0
        for _ in range(200):
            writer.append(row)
            peak = max(peak, pool.bytes_allocated() - before)
    assert peak < 2 * 20 * len(row.payload)
    assert shard.ROW_GROUP_BYTES < 10 << 20


@pytest.mark.parametrize("max_bytes", [*range(0, 60_000, 2_000), 400_000])
def test_a_shard_never_grows_past_its_limit_and_is_given_up_before(tmp_path, max_bytes):
    path, rows = tmp_path / "shard", [feature_row(row_id, 100) for row_id in range(20)]
    try:
        write_shard(path, rows, {}, row_group_bytes=4_000, max_bytes=max_bytes)
    except ReservationOutgrownError:
        assert list(tmp_path.iterdir()) == []
    else:
        assert path.stat().st_size <= max_bytes

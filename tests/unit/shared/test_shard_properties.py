"""What is written to a shard is read back, by us without a copy and by everyone else as plain Parquet."""

import tempfile
import zlib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.schema import FeatureSpec, shard_schema
from shared.shard import FeatureRow, encoded_bytes, payload_offsets, payload_pages
from tests.support.samples import counts, write_shard

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
FLOATS = st.floats(width=32, allow_nan=False)
SPECS = st.builds(FeatureSpec, st.sampled_from([1, 8, 80, 128]), st.sampled_from(["float16", "uint8"]))


@st.composite
def shards(draw):
    """A specification, rows, and the bytes at which a row group ends: from a row in each to all in one."""
    spec = draw(SPECS)
    lengths = draw(st.lists(st.integers(1, 30) | st.just(1), max_size=12))
    noise = np.random.default_rng(len(lengths))
    rows = [
        FeatureRow(
            row_id=10 * position,
            payload=noise.bytes(spec.payload_bytes(length)),
            num_frames=length,
            floor=draw(FLOATS),
            labels=draw(st.lists(st.integers(0, 51_865), max_size=10)),
            transkription=draw(TEXT),
            source=draw(TEXT),
            duration=draw(FLOATS),
            path=draw(TEXT),
        )
        for position, length in enumerate(lengths)
    ]
    return spec, rows, draw(st.sampled_from([1, 500, 8 << 20]))


def written(case, folder):
    spec, rows, row_group_bytes = case
    path = Path(folder) / "train-00000-of-00001.parquet"
    return write_shard(path, rows, counts(len(rows), len(rows)), spec, row_group_bytes=row_group_bytes)


QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@QUICK
@given(shards())
def test_any_rows_are_read_back_as_plain_parquet(case):
    spec, rows, _ = case
    with tempfile.TemporaryDirectory() as folder:
        table = pq.read_table(written(case, folder))
    assert table.schema.remove_metadata() == shard_schema(spec).remove_metadata()
    expected = [
        {name: getattr(row, name) for name in FeatureRow.__slots__ if name != "payload"}
        | {"log_mel": row.payload, "crc32": zlib.crc32(row.payload)}
        for row in rows
    ]
    assert table.to_pylist() == expected


@QUICK
@given(shards())
def test_every_payload_is_a_slice_of_the_file_at_its_offset(case):
    _, rows, _ = case
    with tempfile.TemporaryDirectory() as folder:
        path = written(case, folder)
        content, metadata = path.read_bytes(), pq.read_metadata(path)
    sizes = np.array([len(row.payload) for row in rows], np.int64)
    offsets = payload_offsets(metadata, sizes, path.name)
    found = [content[offset : offset + size] for offset, size in zip(offsets, sizes, strict=True)]
    assert found == [row.payload for row in rows]
    assert sum(stop - start for start, stop in payload_pages(metadata, sizes)) == sum(sizes) + 4 * len(rows)


@QUICK
@given(shards())
def test_the_same_rows_give_the_same_bytes(case):
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        assert written(case, first).read_bytes() == written(case, second).read_bytes()


@QUICK
@given(shards())
def test_the_forecast_knows_what_rows_take_but_for_the_footer(case):
    spec, rows, _ = case
    with tempfile.TemporaryDirectory() as folder:
        path = written((spec, rows, 8 << 20), folder)
        content = path.read_bytes()
    footer = 8 + int.from_bytes(content[-8:-4], "little")
    # An empty shard is its magic number and a footer.
    assert encoded_bytes(rows, spec) == (len(content) - footer if rows else 0)

"""A finished store, read in place: what was written, without decoding or copying."""

import tempfile
from ctypes import string_at
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.reading.verification import verify_store
from shared.rows import view
from shared.schema import FeatureSpec
from shared.store import open_split
from tests.support.samples import feature_row, make_store, quarantined_row

SPECS = st.builds(FeatureSpec, st.sampled_from([1, 80]), st.sampled_from(["float16", "uint8"]))


@st.composite
def units(draw, spec):
    """Up to four units whose rows are written or quarantined; a unit may end up without any written row."""
    lengths = draw(st.lists(st.lists(st.integers(0, 40), max_size=6), max_size=4))
    row_ids = iter(range(100))
    return [
        [feature_row(next(row_ids), length, spec) if length else quarantined_row(next(row_ids)) for length in unit]
        for unit in lengths
    ]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), SPECS, st.sampled_from([1, 8 << 20]))
def test_any_store_is_read_as_it_was_written_and_verifies(data, spec, row_group_bytes):
    planned = data.draw(units(spec))
    rows = [row for unit in planned for row in unit if hasattr(row, "payload")]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "store"
        make_store(root, {"train": planned}, spec, row_group_bytes=row_group_bytes)
        split = open_split(root, "train")
        assert len(split) == len(rows)
        for position, row in enumerate(rows):
            found = split.log_mel(position)
            assert np.array_equal(found, view(row.payload, spec, row.num_frames), equal_nan=True)
            assert split.labels(position).tolist() == row.labels
            assert (split.row_id[position], split.num_frames[position]) == (row.row_id, row.num_frames)
            assert split.num_labels[position] == len(row.labels)
        if rows:
            some = np.array(data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=9)))
            found = zip(*(array.tolist() for array in split.payloads(some)), strict=True)
            assert [string_at(address, size) for address, size in found] == [rows[row].payload for row in some]
        assert split.source.to_pylist() == [row.source for row in rows]
        assert not [problem for check in verify_store(root) for problem in check.problems]

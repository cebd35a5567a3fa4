"""Columns, frame counts and fingerprints: what a store written today must still mean tomorrow."""

import pyarrow as pa
import pytest

from shared.schema import (
    INDEX_SCHEMA,
    QUARANTINE_SCHEMA,
    FeatureSpec,
    fingerprint,
    index_schema,
    num_frames_of,
    quarantine_schema,
    shard_schema,
)


def test_a_shard_has_the_documented_columns_all_required():
    schema = shard_schema(FeatureSpec(128, "float16"))
    assert {field.name: str(field.type) for field in schema} == {
        "row_id": "int64",
        "piece": "int16",
        "log_mel": "binary",
        "num_frames": "int32",
        "floor": "float",
        "labels": "list<element: int32 not null>",
        "transkription": "string",
        "source": "string",
        "duration": "float",
        "path": "string",
        "crc32": "uint32",
    }
    assert not any(field.nullable for schema in (schema, INDEX_SCHEMA, QUARANTINE_SCHEMA) for field in schema)


def test_version_1_knew_no_pieces():
    for schema, old in [
        (shard_schema(FeatureSpec()), shard_schema(FeatureSpec(), 1)),
        (INDEX_SCHEMA, index_schema(1)),
        (QUARANTINE_SCHEMA, quarantine_schema(1)),
    ]:
        assert old == pa.schema([field for field in schema if field.name != "piece"])


def test_log_mel_carries_its_dtype_shape_and_order():
    metadata = shard_schema(FeatureSpec(80, "uint8")).field("log_mel").metadata
    assert metadata == {b"dtype": b"uint8", b"shape": b"num_frames,80", b"order": b"C"}


def test_the_index_has_what_a_sampler_and_a_loss_need():
    names = ["row_id", "piece", "shard", "offset", "num_frames", "floor", "num_labels", "labels", "duration", "source"]
    assert names == INDEX_SCHEMA.names
    assert INDEX_SCHEMA.field("offset").type == pa.int64()


@pytest.mark.parametrize(
    ("num_samples", "frames"),
    [(0, 2), (1, 2), (120, 2), (121, 3), (160, 3), (480_000 - 201, 3_000), (480_000, 3_000), (480_001, 3_001)],
)
def test_frames_are_those_that_carry_signal(num_samples, frames):
    assert num_frames_of(num_samples) == frames


@pytest.mark.parametrize(("dtype", "num_bytes"), [("float16", 256), ("uint8", 128)])
def test_a_payload_has_bins_times_itemsize_bytes_a_frame(dtype, num_bytes):
    assert FeatureSpec(128, dtype).payload_bytes(1) == num_bytes
    assert FeatureSpec(128, dtype).payload_bytes(7) == 7 * num_bytes


def test_the_specification_states_whispers_constants():
    assert FeatureSpec(128).as_dict() == {
        "num_mel_bins": 128,
        "dtype": "float16",
        "sampling_rate": 16_000,
        "hop_length": 160,
        "n_fft": 400,
    }


def test_fingerprints_are_the_same_on_every_machine_and_in_every_order_of_keys():
    assert fingerprint({"b": [1, 2], "ä": None}) == fingerprint({"ä": None, "b": [1, 2]}) == "48bf11f0703d418b"
    assert fingerprint([1, 2]) != fingerprint([2, 1])

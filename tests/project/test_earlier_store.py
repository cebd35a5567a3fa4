"""Stores that earlier code made (`tests/fixtures/README.md`) open, verify and read as they did then."""

import hashlib
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from preprocess.features.provenance import Provenance
from preprocess.inspect import main as inspect
from shared.command.cli import run_command
from shared.errors import ExitCode
from shared.index import write_complete, write_index
from shared.layout import StoreLayout, read_record
from shared.reading.verification import verify_store
from shared.schema import FORMAT_VERSIONS, FeatureSpec
from shared.shard import FeatureRow
from shared.store import open_split
from tests.support.samples import exchange_shards, write_shard

FIXTURES = Path(__file__).parents[1] / "fixtures"
START = [401, 404, 503, 507]
END = 400
# Row id, frames, the payload's SHA-256, labels between start and end, transcript, source, milliseconds and path, as
# plain pyarrow read them when the store was made.
ROWS = {
    "train": [
        (0, 42, "8e8e0dd4310560cb", [38, 84, 298, 281, 78, 81, 352, 13], "Guten Morgen.", "korpus 0", 400, "clip0.wav"),
        (
            *(1, 52, "a1d38ea9a79b179d", [35, 271, 283, 83, 313, 398, 295, 336, 277, 77, 13]),
            *("Die Straße ist schön.", "korpus 1", 500, "clip1.wav"),
        ),
        (
            *(3, 72, "815c8a56152d6a84", [127, 250, 65, 374, 368, 64, 286, 266, 256, 281, 265, 262, 258, 13]),
            *("Übung macht den Meister.", "korpus 0", 700, "clip3.wav"),
        ),
        (4, 82, "062776244941edf9", [36, 82, 220, 346, 70, 77, 299, 13], "Es regnet.", "korpus 1", 800, "clip4.wav"),
        (5, 92, "a4069d0b0646277b", [41, 64, 13], "Ja.", "korpus 2", 900, "clip5.wav"),
    ],
    "test": [
        (0, 52, "fc0bc56b5ced8308", [39, 64, 359, 78, 13], "Hallo.", "korpus 0", 500, "test0.wav"),
        (
            *(1, 72, "c645bf7772a597de", [32, 335, 294, 271, 67, 258, 82, 68, 71, 256, 13]),
            *("Auf Wiedersehen.", "korpus 1", 700, "test1.wav"),
        ),
    ],
}

METADATA = {1: ["format_version", "split", "unit", "plan_digest", "rows_in", "rows_out", "rows_quarantined"]}
METADATA[2] = [*METADATA[1][:3], "source_rows", *METADATA[1][3:]]
# Of the same clips and texts: no version changes what a row holds.
VERSIONS = [1, 2]


@pytest.fixture(params=VERSIONS)
def version(request):
    return request.param


@pytest.fixture
def store(version):
    return FIXTURES / f"store-v{version}"


@pytest.fixture
def layout(store, tmp_path):
    """A copy of the store that may be changed."""
    return StoreLayout(shutil.copytree(store, tmp_path / "store"))


def test_every_version_that_is_written_has_its_store():
    assert tuple(VERSIONS) == tuple(FORMAT_VERSIONS)


def digest(payload):
    return hashlib.sha256(payload).hexdigest()[:16]


@pytest.mark.parametrize("split", ROWS)
def test_the_files_hold_what_they_held_to_whoever_reads_them(store, split):
    rows = pa.concat_tables(pq.read_table(path) for path in sorted((store / "data").glob(f"{split}-*"))).to_pylist()
    assert ROWS[split] == [
        (
            *(row["row_id"], row["num_frames"], digest(row["log_mel"]), row["labels"][4:-1]),
            *(row["transkription"], row["source"], round(1_000 * row["duration"]), row["path"]),
        )
        for row in rows
    ]


@pytest.mark.parametrize("split", ROWS)
def test_an_earlier_store_opens_with_every_row_as_it_was(store, split):
    opened = open_split(store, split)
    assert len(opened) == len(ROWS[split])
    for number, (row_id, num_frames, payload, labels, _, source, milliseconds, _) in enumerate(ROWS[split]):
        assert opened.log_mel(number).shape == (num_frames, 80)
        assert digest(opened.log_mel(number).tobytes()) == payload
        assert opened.labels(number).tolist() == [*START, *labels, END]
        assert opened.row_id[number] == row_id
        assert opened.source[number].as_py() == source
        assert round(1_000 * float(opened.duration[number])) == milliseconds


def test_an_earlier_store_verifies_without_a_problem(store):
    assert [problem for check in verify_store(store) for problem in check.problems] == []


@pytest.mark.parametrize("split", ROWS)
def test_the_rows_of_an_earlier_store_are_whole_clips(store, split):
    assert open_split(store, split).piece.tolist() == [0] * len(ROWS[split])


def test_shards_of_an_earlier_store_are_made_again_byte_for_byte(store, version, tmp_path):
    for path in (store / "data").iterdir():
        metadata = {key: pq.read_metadata(path).metadata[key.encode()].decode() for key in METADATA[version]}
        rows = [feature_row_of(row) for row in pq.read_table(path).to_pylist()]
        again = write_shard(tmp_path / path.name, rows, metadata, FeatureSpec(80), version=version)
        assert again.read_bytes() == path.read_bytes()


def feature_row_of(row):
    row.pop("crc32")
    return FeatureRow(payload=row.pop("log_mel"), **row)


def test_an_earlier_stores_index_is_made_again_byte_for_byte(layout, version):
    record, before = read_record(layout), layout.complete.read_bytes()
    layout.partial.mkdir()
    indexes = {path: path.read_bytes() for path in layout.index.iterdir()}
    totals = {name: write_index(layout, name, split, record.features, version) for name, split in record.splits.items()}
    write_complete(layout, record, totals)
    assert {path: path.read_bytes() for path in layout.index.iterdir()} == indexes
    assert layout.complete.read_bytes() == before


@pytest.mark.parametrize("exchange", ["copied", "swapped"])
def test_shards_of_an_earlier_store_that_were_exchanged_are_named(layout, exchange):
    exchange_shards(layout.shard("train", 0, 6), layout.shard("train", 1, 6), swap=exchange == "swapped")
    found = [problem for check in verify_store(layout.root) for problem in check.problems]
    assert any("train-00001-of-00006.parquet is not the shard that its name says" in problem for problem in found)


def test_what_an_earlier_store_was_made_from_is_read():
    found = [Provenance.read(path) for path in sorted((FIXTURES / "store-v2" / "provenance").iterdir())]
    assert [[file.name for file in origin.files] for origin in found] == [["test.parquet"]] * 2 + [
        ["train.parquet"]
    ] * 6
    assert found[2].checksum == "331370271e8ba4f7d3d65f94a18998a6"


def test_an_earlier_store_is_inspected_down_to_its_quarantined_row(store, capsys):
    assert run_command(inspect, ["--store", str(store), "--split", "train", "--row", "2", "--json"]) == ExitCode.DONE
    facts = json.loads(capsys.readouterr().out)
    assert [(split["name"], split["rows"], split["quarantined"]) for split in facts["splits"]] == [
        ("train", 5, 1),
        ("test", 2, 0),
    ]
    assert facts["row"]["quarantined"] == "undecodable: no audio format: Format not recognised."

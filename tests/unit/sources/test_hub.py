"""The Hub, played by a server on this machine: which requests are made, and what is left in the cache.

huggingface_hub reads its endpoint when it is imported, so each scenario runs in a fresh process.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.hub import COMMIT, serve
from tests.unit.sources.test_card import LAUGHS

ROOT = Path(__file__).parents[3]
AUDIO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
CLIP_BYTES = 20_000


def parquet(count, first=0, text="transkription"):
    rows = range(first, first + count)
    table = pa.table(
        {
            "audio": pa.array([{"bytes": os.urandom(CLIP_BYTES), "path": f"{n}.wav"} for n in rows], AUDIO),
            text: [f"Satz {n}" for n in rows],
            "source": ["korpus"] * count,
        }
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=10)
    return sink.getvalue().to_pybytes()


REPOS = {
    "anna/deutsch": {
        "README.md": b"---\nlanguage: de\n---\n# Deutsch\n",
        "data/train-00000-of-00002.parquet": parquet(40),
        "data/train-00001-of-00002.parquet": parquet(20, first=40),
        "data/test-00000-of-00001.parquet": parquet(5, first=60),
    },
    "anna/tabelle": {"data.csv": b"audio,transkription\na,b\n"},
    "anna/englisch": {"train.parquet": parquet(5, text="text")},
    "anna/zwei": {
        "README.md": b"---\nconfigs:\n- config_name: eins\n  data_files: eins.parquet\n"
        b"- config_name: zwei\n  data_files: zwei.parquet\n---\n",
        "eins.parquet": parquet(1),
        "zwei.parquet": parquet(2),
    },
    "anna/leer": {"README.md": b"# Nichts\n"},
    "anna/lacht": {"README.md": f"---\n{LAUGHS}---\n".encode(), "train.parquet": parquet(1)},
    "anna/sucht": {
        "README.md": b"---\nconfigs:\n- config_name: a\n  data_files: '" + b"**/" * 30 + b"*.parquet'\n---\n",
        "train.parquet": parquet(1),
    },
}


@pytest.fixture
def hub():
    with serve(REPOS) as served:
        yield served


PRELUDE = """
import json, pickle
from preprocess.sources.base import Columns
from preprocess.sources.open import open_source
from shared.errors import SpeechPrepError

def attempt(uri):
    try:
        return open_source(uri, Columns()).uri
    except SpeechPrepError as error:
        return [int(error.exit_code), type(error).__name__, error.message, error.remedy]
"""


def run(endpoint, home, code, **variables):
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("HF_") and "proxy" not in name.lower()
    }
    environment |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "NO_PROXY": "*", **variables}
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + code], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


READ = """
source = open_source("anna/deutsch", Columns())
layouts = {name: [b.num_rows for b in layout.blocks] for name, layout in source.splits.items()}
reader = pickle.dumps(source.reader("train", 25, 45))
print("open", flush=True)
rows = [[r.row_id, r.transkription, r.source, r.path, len(r.audio)] for r in pickle.loads(reader).rows()]
print(json.dumps([source.uri, layouts, rows, source.splits["train"].fingerprint, len(reader)]))
"""


def test_a_hub_data_set_is_read_in_place_by_the_ranges_of_the_row_groups_needed(hub, tmp_path):
    handler, endpoint = hub
    uri, layouts, rows, _, reader_bytes = run(endpoint, tmp_path, READ)
    assert uri == f"anna/deutsch@{COMMIT}"
    assert layouts == {"train": [10] * 6, "test": [5]}
    assert rows == [[n, f"Satz {n}", "korpus", f"{n}.wav", CLIP_BYTES] for n in range(25, 45)]
    assert reader_bytes < 2000

    # Rows 25 to 45 are row groups 2 and 3 of the first file and 0 of the second.
    wanted = {"data/train-00000-of-00002.parquet": {2, 3}, "data/train-00001-of-00002.parquet": {0}}
    for name, content in REPOS["anna/deutsch"].items():
        if name.endswith(".parquet"):
            allowed = allowed_bytes(content, wanted.get(name, set()))
            assert all(allowed.issuperset(span) for span in spans(handler.log, name)), name
    whole = [path for command, path, span in handler.log if command == "GET" and span is None and ".parquet" in path]
    assert whole == []
    assert sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file()) < 10_000


def spans(log, name):
    for _, path, span in log:
        if span and path.endswith(f"{COMMIT}/{name}"):
            first, last = map(int, span.removeprefix("bytes=").split("-"))
            yield range(first, last + 1)


def allowed_bytes(content, row_groups):
    """The footer (its last 64 KiB are read at once), and the audio, text and source of *row_groups*."""
    allowed = set(range(len(content) - 64 * 1024, len(content)))
    metadata = pq.read_metadata(pa.BufferReader(content))
    for group in map(metadata.row_group, row_groups):
        for chunk in map(group.column, range(group.num_columns)):
            first = chunk.dictionary_page_offset or chunk.data_page_offset
            allowed.update(range(first, first + chunk.total_compressed_size))
    return allowed


def test_a_busy_hub_is_asked_again(hub, tmp_path):
    handler, endpoint = hub
    handler.failures["data/train-00000-of-00002.parquet"] = 2
    assert len(run(endpoint, tmp_path, READ)[2]) == 20


def test_a_hub_that_fails_between_footers_and_rows_is_no_damaged_file(hub, tmp_path):
    handler, endpoint = hub
    handler.refused.add("data/train-00001-of-00002.parquet")
    code = """
source = open_source("anna/deutsch", Columns())
try:
    list(source.reader("train", 0, 60).rows())
except SpeechPrepError as error:
    print(json.dumps([int(error.exit_code), error.message, error.remedy]))
"""
    exit_code, message, remedy = run(endpoint, tmp_path, code)
    assert exit_code == 1
    assert "data/train-00001-of-00002.parquet from the Hub failed" in message
    assert "run the same command again" in remedy


def test_the_fingerprint_follows_the_files_contents(hub, tmp_path, monkeypatch):
    _, endpoint = hub
    before = run(endpoint, tmp_path / "1", READ)[3]
    monkeypatch.setitem(REPOS["anna/deutsch"], "README.md", b"# Another card\n")
    assert run(endpoint, tmp_path / "2", READ)[3] == before
    monkeypatch.setitem(REPOS["anna/deutsch"], "data/train-00001-of-00002.parquet", parquet(20, first=40))
    assert run(endpoint, tmp_path / "3", READ)[3] != before


def test_what_cannot_be_opened_says_why_and_what_to_do(hub, tmp_path):
    _, endpoint = hub
    uris = [
        "anna/tabelle", "anna/englisch", "anna/zwei", "anna/zwei:zwei", "anna/leer", "anna/fehlt",
        "anna/geschlossen", "anna/deutsch@fehlt", f"anna/deutsch@{COMMIT}", "hf://datasets/anna/deutsch@main",
    ]  # fmt: skip
    found = dict(
        zip(uris, run(endpoint, tmp_path, f"print(json.dumps([attempt(uri) for uri in {uris}]))"), strict=True)
    )
    for uri, words in (
        ("anna/tabelle", r"\.csv, not Parquet .* anna/tabelle@refs/convert/parquet"),
        ("anna/englisch", "no column 'transkription'.* --text-column text"),
        ("anna/zwei", "eins.*zwei.* anna/zwei:CONFIG"),
        ("anna/leer", "anna/leer"),
        ("anna/fehlt", "anna/fehlt.* spelling .* HF_TOKEN"),
        ("anna/geschlossen", "gated.* HF_TOKEN"),
        ("anna/deutsch@fehlt", "evision.*fehlt.* the revision"),
    ):
        code, kind, message, remedy = found[uri]
        assert (code, kind) == (2, "SourceError"), uri
        assert re.search(words, f"{message} {remedy}", re.DOTALL), (uri, message, remedy)
    assert found["anna/zwei:zwei"] == f"anna/zwei:zwei@{COMMIT}"
    assert found[f"anna/deutsch@{COMMIT}"] == found["hf://datasets/anna/deutsch@main"] == f"anna/deutsch@{COMMIT}"


def test_a_card_that_costs_too_much_is_not_given_to_datasets(hub, tmp_path):
    handler, endpoint = hub
    names = ["anna/lacht", "anna/sucht", f"anna/lacht@{COMMIT}"]
    found = run(endpoint, tmp_path, f"print(json.dumps([attempt(name) for name in {names!r}]))")
    assert [(code, kind) for code, kind, _, _ in found] == [(2, "SourceError")] * 3
    assert [message.partition(" README.md ")[2][:12] for _, _, message, _ in found] == [
        "cannot be re",
        "names '**/**",
        "cannot be re",
    ]
    assert not [
        path for command, path, span in handler.log if path.endswith("README.md") and command == "GET" and not span
    ]


def test_offline_is_a_clear_message_not_a_traceback(tmp_path):
    code, kind, message, remedy = run(
        "http://127.0.0.1:9", tmp_path, 'print(json.dumps(attempt("anna/deutsch")))', HF_HUB_OFFLINE="1"
    )
    assert (code, kind) == (2, "SourceError")
    assert "anna/deutsch" in message
    assert "HF_HUB_OFFLINE" in remedy

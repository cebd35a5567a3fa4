"""Names that strangers chose go from a folder of clips through a whole run and a training: as text, and as they are."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from preprocess import verify
from shared.command.cli import run_command
from shared.errors import ExitCode
from shared.store import open_split
from tests.support.inline_run import run_inline
from tests.support.samples import wav
from tests.support.training import tiny_model
from tests.unit.command.test_terminal import harmless
from trainer.checkpoints.checkpoint import latest
from trainer.train import main as train

NAMES = (
    "line\nbreak.wav",
    "\x1b[2J\x1b]0;title\x07.wav",
    "'\"`$(touch pwned);touch pwned&|*?<>~.wav",
    "bidi\u202egpj\u2066.wav",
    "ü" * 98 + ".wav",
    "-rf.wav",
    " blank %s {x} .wav",
    "[red][bold].wav",
)
FOLDER = "-\x1b[31m\u202e$(touch pwned)\n'[red]"


@pytest.fixture(autouse=True, scope="module")
def process_as_before():
    """A training takes threads of its process."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def source(tmp_path):
    """A folder of clips of 200-byte and other hostile names, with a transcript and a source of the same kind each."""
    folder = tmp_path / ("ü" * 96 + "\n\x1b[2J")
    for split in ("train", "test"):
        (folder / split).mkdir(parents=True)
        lines = []
        for number, name in enumerate(NAMES):
            (folder / split / name).write_bytes(wav(3_200 + 160 * number, seed=number))
            lines.append(json.dumps({"file_name": name, "transkription": f"Satz {number}", "source": name}))
        (folder / split / "metadata.jsonl").write_text("\n".join(lines))
    return folder


def test_a_run_and_a_training_of_hostile_names(source, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    model, store, output = (
        tiny_model(tmp_path / f"model{FOLDER}"),
        tmp_path / f"store{FOLDER}",
        tmp_path / f"out{FOLDER}",
    )
    assert run_inline(monkeypatch, "--source", source, "--model", model, "--store", store) == ExitCode.DONE
    assert run_command(verify.main, ["--source", str(source), str(store)]) == ExitCode.DONE
    for split in ("train", "test"):
        rows = pa.concat_tables(pq.read_table(path) for path in sorted((store / "data").glob(f"{split}-*"))).to_pylist()
        assert {(row["path"].rpartition("/")[2], row["source"]) for row in rows} == {(name, name) for name in NAMES}
        assert set(open_split(store, split).source.to_pylist()) == set(NAMES)
    torch.set_num_threads(1)
    options = ["--global-batch-size", "4", "--eval-rows", "2", "--eval-padding", "own", "--frame-budget", "400"]
    options += ["--max-steps", "2", "--eval-steps", "2", "--save-steps", "2", "--full-context-share", "0"]
    options += ["--report-to", "none", "--warmup-steps", "1"]
    assert train(["--store", str(store), "--model", str(model), "--output", str(output), *options]) == ExitCode.DONE
    assert latest(output) is not None
    said = capfd.readouterr()
    assert harmless(said.out + said.err)
    assert {path.name for path in tmp_path.iterdir()} == {source.name, model.name, store.name, output.name}


@pytest.mark.parametrize(
    "name", ["line\nbreak", "\x1b[2J", "$(touch pwned)", "a b", "\u202eniart", "'", "ü" * 101, "x" * 201]
)
def test_a_split_that_files_cannot_be_named_after_is_refused_before_anything_is_written(
    name, tmp_path, demo_model, monkeypatch, capfd
):
    rows = pa.table({"audio": pa.array([{"bytes": wav(), "path": "a.wav"}] * 2), "transkription": ["Satz"] * 2})
    (tmp_path / "source" / "data").mkdir(parents=True)
    pq.write_table(rows, tmp_path / "source" / "data" / "rows.parquet")
    files = [{"split": name, "path": "data/rows.parquet"}]
    configs = json.dumps({"configs": [{"config_name": "default", "data_files": files}]})
    (tmp_path / "source" / "README.md").write_text(f"---\n{configs}\n---\n")
    store = tmp_path / "store"
    status = run_inline(monkeypatch, "--source", tmp_path / "source", "--model", demo_model, "--store", store)
    said = capfd.readouterr()
    assert status == ExitCode.USAGE, said
    assert harmless(said.out + said.err)
    assert "cannot be used in file names" in said.err
    assert not store.exists()


def test_a_split_of_the_longest_name_is_made_whole(tmp_path, demo_model, monkeypatch):
    rows = pa.table({"audio": pa.array([{"bytes": wav(), "path": "a.wav"}] * 2), "transkription": ["Satz"] * 2})
    name = "ü" * 50
    (tmp_path / "source").mkdir()
    pq.write_table(rows, tmp_path / "source" / f"{name}.parquet")
    (tmp_path / "source" / "README.md").write_text(
        f"---\nconfigs: [{{config_name: default, data_files: [{{split: {name}, path: {name}.parquet}}]}}]\n---\n"
    )
    options = ["--source", tmp_path / "source", "--model", demo_model, "--store", tmp_path / "store"]
    assert run_inline(monkeypatch, *options) == ExitCode.DONE
    assert run_command(verify.main, [str(tmp_path / "store")]) == ExitCode.DONE

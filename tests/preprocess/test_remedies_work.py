"""The remedy that a message names is one: what it says is typed, and the run goes through."""

import re

import pyarrow.parquet as pq
import pytest

from shared.errors import ExitCode
from tests.support.inline_run import run_inline
from tests.support.samples import wav, write_source

ROWS = [(wav(1_600 + 160 * n, seed=n), f"{n}.wav", f"Satz {n}") for n in range(3)]


@pytest.fixture
def source(tmp_path):
    """A source whose transcripts stand in `satz`."""
    path = write_source(tmp_path / "source/train.parquet", ROWS)
    table = pq.read_table(path)
    names = ["satz" if name == "transkription" else name for name in table.column_names]
    pq.write_table(table.rename_columns(names), path)
    return path.parent


@pytest.fixture
def run(source, tmp_path, demo_model, monkeypatch, capsys):
    """Runs with options and hands back the status and the remedy that was printed."""

    def run_with(*options, model=("--model", demo_model), column=("--text-column", "satz")):
        status = run_inline(monkeypatch, "--source", source, "--store", tmp_path / "store", *model, *column, *options)
        return status, capsys.readouterr().err.partition("->")[2]

    return run_with


def test_a_column_of_another_name(run):
    status, remedy = run(column=())
    assert status == ExitCode.USAGE
    assert "--text-column" in remedy
    assert run(column=("--text-column", "satz"))[0] == ExitCode.DONE


def test_a_split_that_is_not_there(run):
    status, remedy = run("--split", "trian")
    assert status == ExitCode.USAGE
    assert "--split" in remedy
    assert run("--split", "train")[0] == ExitCode.DONE


def test_no_model(run, demo_model):
    status, remedy = run(model=())
    assert status == ExitCode.USAGE
    assert re.findall(r"--[\w-]+", remedy) == ["--model", "--num-mel-bins", "--tokenizer"]
    other = ("--num-mel-bins", "80", "--tokenizer", demo_model / "tokenizer.json")
    assert run(model=other)[0] == ExitCode.DONE


def test_a_disk_budget_that_is_too_small(run):
    status, remedy = run("--disk-budget", "1kB")
    assert status == ExitCode.RESOURCE_LIMIT
    assert "--force" in remedy
    enough = re.findall(r"--disk-budget (\d+)", remedy)
    assert run("--disk-budget", *enough)[0] == ExitCode.DONE


def test_a_store_that_was_begun_otherwise(run, tmp_path):
    assert run("--limit", "2")[0] == ExitCode.DONE
    status, remedy = run()
    assert status == ExitCode.USAGE
    assert "the first run, or another --store" in remedy
    assert run("--limit", "2")[0] == ExitCode.DONE
    assert run("--store", tmp_path / "another")[0] == ExitCode.DONE

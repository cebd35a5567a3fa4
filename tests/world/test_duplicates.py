"""Rows that occur twice, and rows of train that test has as well; what is right is counted in the source itself."""

import json
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from preprocess.features.worker import FeatureWorker, WorkerSettings
from preprocess.planning.job import plan_job
from preprocess.settings import RunSettings
from preprocess.workspace.prepare import prepare_store
from shared.command.cli import run_command
from shared.errors import ExitCode
from shared.reading.verification import verify_store
from tests.support.inline_run import run_inline
from tests.support.samples import wav, write_source

A, B, C, D = (wav(3_200, seed=seed) for seed in range(4))
TRAIN = [(A, "Eins"), (B, "Zwei"), (A, "Eins"), (C, "Drei"), (D, "Vier"), (B, "Anders"), (A, " Eins\n"), (D, "Acht")]
TEST = [(C, "Drei"), (D, "Acht"), (B, "Neun"), (C, "Drei")]
PLAIN_TRAIN, PLAIN_TEST = ([(audio, text.strip()) for audio, text in rows] for rows in (TRAIN, TEST))
TWICE = sum(count - 1 for count in Counter(PLAIN_TRAIN).values())
LEAKS = [row for row, clip in enumerate(PLAIN_TRAIN) if clip in PLAIN_TEST]


@pytest.fixture
def source(tmp_path) -> Path:
    for name, rows in (("train", TRAIN), ("test", TEST)):
        numbered = [(audio, f"{name}{row}.wav", text) for row, (audio, text) in enumerate(rows)]
        write_source(tmp_path / f"source/{name}.parquet", numbered)
    return tmp_path / "source"


@pytest.fixture
def run(source, demo_model, tmp_path, monkeypatch):
    def run(*options, store="store"):
        fixed = ("--source", source, "--model", demo_model, "--store", tmp_path / store)
        return run_inline(monkeypatch, *fixed, *options), tmp_path / store

    return run


def inspect(store, capsys, *options):
    from preprocess.inspect import main  # noqa: PLC0415 - as its users start it

    capsys.readouterr()
    assert run_command(main, ["--store", str(store), *options]) == ExitCode.DONE
    return capsys.readouterr().out


def quarantined(store):
    tables = [pq.read_table(path) for path in sorted((store / "quarantine").glob("train-*.parquet"))]
    return {row["row_id"]: row["reason"] for table in tables for row in table.to_pylist()}


def test_duplicates_and_leaks_are_counted_with_examples_in_summary_and_inspect(run, capsys):
    status, store = run()
    said = capsys.readouterr().out
    assert status == ExitCode.DONE
    assert f"leak: {len(LEAKS)} rows of train equal one of test: 3 is 0 (--drop-test-leaks)" in said
    assert f"twice: {TWICE} rows of train equal an earlier one: 2 is 0; 1 more of the kind" in said
    found = json.loads(inspect(store, capsys, "--json"))["repeats"]
    assert {(one["split"], one["other"]): one["rows"] for one in found} == {
        ("train", "train"): TWICE, ("test", "test"): 1, ("train", "test"): len(LEAKS)
    }  # fmt: skip
    leak = next(one for one in found if one["split"] != one["other"])
    assert leak["examples"] == [[row, PLAIN_TEST.index(PLAIN_TRAIN[row])] for row in LEAKS]
    assert "leak: 2 rows of train equal one of test: 3 is 0, 7 is 1" in inspect(store, capsys)


def test_train_rows_that_test_has_are_left_out_on_demand_and_nothing_else_is(run, capsys):
    status, store = run("--drop-test-leaks")
    assert status == ExitCode.DONE
    assert quarantined(store) == dict.fromkeys(LEAKS, "test_leak")
    kept = pq.read_table(store / "data", columns=["row_id", "path"]).to_pylist()
    wanted = {f"train{row}.wav" for row in range(len(TRAIN))} - {f"train{row}.wav" for row in LEAKS}
    assert {row["path"] for row in kept} == wanted | {f"test{row}.wav" for row in range(len(TEST))}
    assert [problem for check in verify_store(store, 1) for problem in check.problems] == []
    assert "leak" not in inspect(store, capsys).replace("test_leak", "")


def test_a_test_split_that_the_store_has_already_is_enough(run):
    assert run("--split", "test")[0] == ExitCode.DONE
    status, store = run("--split", "train", "--drop-test-leaks")
    assert status == ExitCode.DONE
    assert quarantined(store) == dict.fromkeys(LEAKS, "test_leak")


@pytest.mark.usefixtures("quick_plans")
def test_train_waits_until_every_shard_of_test_is_there(source, demo_model, tmp_path):
    settings = RunSettings(
        source=str(source), model=str(demo_model), store=tmp_path / "store", drop_test_leaks=True, shard_size=1
    )
    job = plan_job(settings)
    job.layout.root.mkdir()
    prepare_store(job.layout, job.record, "{}\n", "")
    worker = FeatureWorker(WorkerSettings(job.layout.root, job.pipeline))
    units = job.open_units()
    assert [unit.split for unit in units] == ["test"] * len(TEST) + ["train"] * len(TRAIN)
    for unit in units[: len(TEST)]:
        assert job.has_to_wait(units[-1])
        assert not job.has_to_wait(unit)
        worker.process(job.task_for(unit))
    assert not job.has_to_wait(units[-1])


def test_without_a_split_to_compare_with_nothing_is_written(run, capsys):
    status, store = run("--split", "train", "--drop-test-leaks")
    assert status == ExitCode.USAGE
    assert not store.exists()
    assert "--test-fraction" in capsys.readouterr().err


def test_a_store_with_leaks_is_not_gone_on_with_without_them(run, capsys):
    run()
    assert run("--drop-test-leaks")[0] == ExitCode.USAGE
    assert "drop_test_leaks was None" in capsys.readouterr().err


def test_a_split_that_would_wait_for_one_that_this_run_does_not_make_is_refused_at_once(run, capsys):
    _, store = run("--split", "test")
    min((store / "data").glob("test-*")).unlink()
    assert run("--split", "train", "--drop-test-leaks")[0] == ExitCode.USAGE
    assert "--split test --split train" in capsys.readouterr().err

"""`--log-format json` and `--view json`: every line that a run prints is JSON, whatever a library prints."""

import json
import os

import pytest

from preprocess.monitoring import broadcast
from shared.errors import ExitCode
from tests.support import inline_run
from tests.support.inline_run import commit_here, run_inline
from tests.support.samples import wav, write_source

ROWS = [(wav(1_600 + 160 * n, seed=n), f"{n}.wav", f"Satz {n}") for n in range(3)]
NOISE = "[src/libmpg123/id3.c:process_comment():584] error: No comment text / valid description?"


def noisy_commit(run, budgets):
    os.write(2, f"{NOISE}\n".encode())
    commit_here(run, budgets)


@pytest.fixture
def run(tmp_path, demo_model, monkeypatch):
    source = write_source(tmp_path / "source/train.parquet", ROWS).parent
    monkeypatch.setattr(inline_run, "commit_here", noisy_commit)
    monkeypatch.delenv("LOG_DIR", raising=False)
    options = ["--source", source, "--model", demo_model, "--store", tmp_path / "store"]
    return lambda *more: run_inline(monkeypatch, *options, *more)


def test_the_log_goes_to_stdout_as_json_and_ends_with_the_outcome(run, capfd):
    assert run("--log-format", "json") == ExitCode.DONE
    printed, complaints = capfd.readouterr()
    lines = [json.loads(line) for line in printed.splitlines()]
    assert all({"time", "run_id", "event"} <= line.keys() for line in lines)
    events = [line["event"] for line in lines]
    assert (events[0], events[-1], lines[-1]["exit_code"]) == ("started", "ended", ExitCode.DONE)
    assert f"a library says: {NOISE}" in events
    assert complaints == ""


def test_the_json_view_has_a_librarys_words_as_an_event_and_ends_with_the_outcome(run, capfd):
    assert run("--view", "json") == ExitCode.DONE
    printed, complaints = capfd.readouterr()
    lines = [json.loads(line) for line in printed.splitlines()]
    assert {"event": f"a library says: {NOISE}"} in lines
    assert lines[-1]["outcome"]["exit_code"] == ExitCode.DONE
    assert complaints == ""


def test_a_live_screen_is_over_before_a_librarys_words_are_printed(run, capfd, monkeypatch):
    said = []
    monkeypatch.setattr(broadcast, "complain", lambda line: said.append((line, capfd.readouterr().out)))
    assert run("--view", "live") == ExitCode.DONE
    ((line, before),) = said
    assert line == NOISE
    assert "preprocess.verify" in before


def test_a_run_without_json_prints_what_it_printed_before(run, capfd):
    assert run() == ExitCode.DONE
    printed, complaints = capfd.readouterr()
    assert "preprocess.verify" in printed
    assert complaints == f"{NOISE}\n"


def test_a_run_that_fails_ends_with_its_outcome_and_the_remedy(run, capfd):
    assert run("--log-format", "json", "--text-column", "nothing") == ExitCode.USAGE
    printed, complaints = capfd.readouterr()
    last = json.loads(printed.splitlines()[-1])
    assert (last["event"], last["exit_code"]) == ("ended", ExitCode.USAGE)
    assert "nothing" in last["error"]
    assert last["remedy"]
    assert complaints.startswith("error: ")

"""Processes that hang or die are an outcome, in their time, and none is left behind."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from trainer.checking.observations import Export
from trainer.checking.scope import Scope
from trainer.checking.worker import Task, Worker, child_environment, how_it_ended, run_within

SERVER = """
import json, os, signal, sys, time
answers = os.fdopen(int(sys.argv[1]), "w")
for line in sys.stdin:
    task = json.loads(line)
    print(f"at {task['folder']}, process {os.getpid()}", flush=True)
    match task["probe"]:
        case "driver":
            time.sleep(600)
        case "torch":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "cap":
            answers.write('{"trou'); answers.flush(); sys.exit(3)
        case "halves":
            answer = {"trouble": "no libcublas", "remedy": "install it"}
        case _:
            answer = {"facts": {"num_bytes": 5, "seconds": 0.1, "problems": [], "later": "more"}}
    print(json.dumps(answer), file=answers, flush=True)
"""
DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(600)
"""


def task(probe, folder=Path("folder")):
    return Task(probe, Scope("demo", 2, False, 0), folder)  # noqa: FBT003 - a CPU's


@pytest.fixture
def worker(tmp_path):
    (tmp_path / "a_server.py").write_text(SERVER)
    worker = Worker(tmp_path, os.environ | {"PYTHONPATH": str(tmp_path)}, "a_server")
    yield worker
    worker.close()


def test_an_answer_is_facts_and_the_process_stays(worker):
    first, second = (worker.ask(task("export"), 60) for _ in range(2))
    assert first.facts == second.facts == Export(5, 0.1, [])
    assert first.said == second.said
    assert "at folder" in first.said


def test_trouble_comes_with_its_remedy(worker):
    found = worker.ask(task("halves"), 60)
    assert (found.facts, found.trouble, found.remedy) == (None, "no libcublas", "install it")


def test_one_that_hangs_is_ended_in_its_time_and_the_next_is_answered(worker):
    worker.ask(task("export"), 60)
    started = time.monotonic()
    found = worker.ask(task("driver"), 1.0)
    assert time.monotonic() - started < 8
    assert found.trouble == "did not end within 1 s"
    process = int(found.said.split()[-1])
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    assert worker.ask(task("export"), 60).facts is not None


def test_one_that_is_killed_says_by_what(worker):
    assert worker.ask(task("torch"), 60).trouble == "ended by SIGSEGV"
    assert worker.ask(task("export"), 60).facts is not None


def test_half_an_answer_is_none(worker):
    assert worker.ask(task("cap"), 60).trouble == "ended with status 3"


def test_a_task_is_the_same_on_the_other_side():
    assert Task.from_json(task("cap").to_json()) == task("cap")
    assert "\n" not in task("cap", Path("a\nb")).to_json()


def test_a_program_that_hears_nothing_is_killed_after_its_time(tmp_path, monkeypatch):
    monkeypatch.setattr("trainer.checking.worker._GRACE_SECONDS", 0.2)
    (tmp_path / "deaf.py").write_text(DEAF)
    before = time.monotonic()
    code = run_within(["deaf"], tmp_path, os.environ | {"PYTHONPATH": str(tmp_path)}, 2.0, tmp_path / "log")
    assert code is None
    assert time.monotonic() - before < 20
    assert (tmp_path / "log").read_text() == "deaf\n"


def test_the_status_of_a_program_is_its_own(tmp_path):
    (tmp_path / "fails.py").write_text("raise SystemExit(3)")
    assert run_within(["fails"], tmp_path, os.environ | {"PYTHONPATH": str(tmp_path)}, 60, tmp_path / "log") == 3


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (None, "did not end within 60 s"),
        (-signal.SIGKILL, "ended by SIGKILL"),
        (1, "ended with status 1"),
        (-99, "ended by signal 99"),
    ],
)
def test_how_a_process_ended_is_told_in_words(code, words):
    assert how_it_ended(code, 60) == words


def test_a_users_settings_of_trainings_do_not_reach_the_check():
    found = child_environment({"TRAINER_MODEL": "x", "HF_HOME": "/hf", "log_dir": "/l"}, ["TRAINER_MODEL", "LOG_DIR"])
    assert "TRAINER_MODEL" not in found
    assert "log_dir" not in found
    assert found["HF_HOME"] == "/hf"


def test_this_program_is_found_from_any_folder(tmp_path):
    command = ["python", "-c", "import json, trainer; print(json.dumps(trainer.__file__))"]
    done = subprocess.run(
        command, cwd=tmp_path, env=child_environment(os.environ, ["PYTHONPATH"]), capture_output=True, check=True
    )
    assert Path(json.loads(done.stdout)).parents[1] == Path(__file__).parents[3]

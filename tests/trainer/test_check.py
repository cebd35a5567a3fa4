"""`python -m trainer.check` as a user types it on a machine without a GPU: all of it but CUDA, once."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shared.command.cli import run_command
from shared.errors import ExitCode
from trainer import check
from trainer.check import main
from trainer.checking.worker import run_within

ROOT = Path(__file__).parents[2]
ENDER = """
import os, pathlib, sys, time
pathlib.Path(sys.argv[1]).write_text(str(os.getpid()))
os.kill(os.getppid(), int(sys.argv[2]))
time.sleep(600)
"""
LEFT_OUT = {"driver", "GPUs", "/dev/shm", "memory cap", "GPU memory"}


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """The folder after a check, and the process."""
    folder, home = tmp_path_factory.mktemp("check"), tmp_path_factory.mktemp("home")
    own = {"TRAINER_OPTIM": "adafactor", "LOG_DIR": str(folder / "logs"), "HF_TOKEN": "secret-of-mine"}
    environment = {**os.environ, **own, "HOME": str(home), "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "trainer.check"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return folder, done


def test_without_a_gpu_all_but_cuda_is_tried_and_the_exit_status_is_0(checked):
    _, done = checked
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [row for row in done.stdout.splitlines() if row.startswith(("ok", "-", "FIX"))]
    states = {row[4:17].strip(): row[:4].strip() for row in rows}
    assert {name for name, state in states.items() if state == "-"} == LEFT_OUT
    assert {state for name, state in states.items() if name not in LEFT_OUT} == {"ok"}
    assert all("CUDA_VISIBLE_DEVICES is empty" in row for row in rows if row.startswith("-"))


def test_it_is_one_screen(checked):
    lines = checked[1].stdout.splitlines()
    assert len(lines) < 24
    assert max(map(len, lines)) <= 80


def test_the_report_has_figures_and_nothing_else_is_left_behind(checked):
    folder, _ = checked
    assert {path.name for path in folder.iterdir()} == {"trainer-check.json"}
    text = (folder / "trainer-check.json").read_text()
    found = json.loads(text)
    assert found["probes"]["training"]["facts"]["checkpoint_step"] == 4
    assert found["probes"]["moments"]["facts"]["state_bytes"] < 3
    assert found["probes"]["ctranslate2"]["facts"]["encoder_error"] < 0.01
    assert str(folder) not in text
    assert "secret-of-mine" not in text


@pytest.mark.parametrize("option", ["--work-dir", "--report"])
def test_a_folder_that_is_not_there_is_told_at_once(tmp_path, monkeypatch, capsys, option):
    monkeypatch.chdir(tmp_path)
    assert run_command(main, [option, str(tmp_path / "none" / "x")]) == 2
    assert "is not a folder" in capsys.readouterr().err


def test_a_report_that_could_not_be_written_is_told_at_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(check, "_examined", None)
    monkeypatch.chdir(tmp_path)
    assert run_command(main, ["--report", str(tmp_path)]) == 2
    assert "is no file that can be written to" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_that_is_asked_to_end_ends_its_processes_and_leaves_nothing_behind(tmp_path, monkeypatch, number):
    (tmp_path / "work").mkdir()
    (tmp_path / "ender.py").write_text(ENDER)
    monkeypatch.chdir(tmp_path / "work")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}

    def examined(_world, folder):
        arguments = ["ender", str(tmp_path / "process"), str(int(number))]
        run_within(arguments, folder, environment, 60, folder / "log")

    monkeypatch.setattr(check, "_examined", examined)
    assert run_command(main, []) == ExitCode.INTERRUPTED
    assert not list((tmp_path / "work").iterdir())
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "process").read_text()), 0)


def test_it_starts_where_torch_does_not_which_is_one_of_its_lines():
    program = "import sys; sys.modules['torch'] = None; import trainer.check"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)

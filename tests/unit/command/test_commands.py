"""One console command, the lists of both packages, and what is said where an extra is missing."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from shared.command.commands import COMMANDS, explain_missing, main, pip_line

REPOSITORY = Path(__file__).parents[3]
EDITABLE = {"url": "file:///src", "dir_info": {"editable": True}}
WHEEL = {"url": "file:///tmp/whisper.whl", "archive_info": {}}


def called(monkeypatch, *arguments, package=""):
    monkeypatch.setattr(sys, "argv", ["speech-prep", *arguments])
    return main(package)


def test_every_command_is_listed_with_what_it_does(monkeypatch, capsys):
    assert called(monkeypatch) == 0
    listed = capsys.readouterr().out
    assert all(re.search(rf"^  {name} +\S.*(\n    +\S.*)*\.$", listed, re.MULTILINE) for name in COMMANDS)


def test_every_module_that_is_a_command_is_listed():
    entries = {
        ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
        for package in ("preprocess", "trainer")
        for path in (REPOSITORY / package).rglob("*.py")
        if 'if __name__ == "__main__"' in path.read_text()
    }
    started = {"trainer.telemetry.tensorboard_server", "trainer.checking.probes.serve", "trainer.checking.probes.links"}
    assert entries - {"preprocess.__main__", "trainer.__main__", *started} == set(COMMANDS.values())


@pytest.mark.parametrize(("package", "other"), [("preprocess", "train"), ("trainer", "run")])
def test_a_package_lists_its_own(monkeypatch, capsys, package, other):
    assert called(monkeypatch, "--help", package=package) == 0
    assert f"\n  {other} " not in capsys.readouterr().out
    assert called(monkeypatch, other, package=package) == 2


def test_a_command_gets_the_options_and_its_exit_code_is_ours(monkeypatch, capsys, tmp_path):
    assert called(monkeypatch, "verify", "--store", str(tmp_path / "none")) == 1
    assert str(tmp_path / "none") in capsys.readouterr().err


def test_a_slip_names_the_nearest_command(monkeypatch, capsys):
    assert called(monkeypatch, "veriffy") == 2
    assert capsys.readouterr().err == "error: no command 'veriffy'\n  -> speech-prep verify\n"


def test_the_version_is_the_installed_one(monkeypatch, capsys):
    assert called(monkeypatch, "--version") == 0
    assert re.fullmatch(r"whisper-speech-prep \d+\.\d+\.\d+\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("direct_url", "root", "line"),
    [
        (EDITABLE, REPOSITORY, f"pip install -e '{REPOSITORY}[trainer]'"),
        (None, REPOSITORY, f"pip install -e '{REPOSITORY}[trainer]'"),
        (WHEEL, Path("/site-packages"), "pip install 'whisper-speech-prep[trainer] @ file:///tmp/whisper.whl'"),
        (None, Path("/site-packages"), "pip install 'whisper-speech-prep[trainer]'"),
    ],
)
def test_a_missing_extra_is_installed_from_where_the_project_came_from(direct_url, root, line):
    assert pip_line("trainer", direct_url, root) == line


@pytest.mark.parametrize("command", [["preprocess.run"], ["trainer.train"], ["trainer", "train"]])
def test_a_missing_library_is_one_line_with_the_line_that_installs_it(tmp_path, command):
    """A Python without any of our libraries."""
    bare = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONNOUSERSITE": "1"}
    done = subprocess.run(
        [sys.executable, "-S", "-m", *command], cwd=tmp_path, env=bare, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert re.fullmatch(r"error: \w+ is not installed\n  -> pip install -e '.*\[\w+\]'\n", done.stderr)


def test_as_a_library_nothing_is_hooked(monkeypatch):
    before = sys.excepthook
    monkeypatch.setattr(sys, "argv", ["a_program"])
    explain_missing("trainer")
    assert sys.excepthook is before

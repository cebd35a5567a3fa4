"""How a command reads its options, explains itself, and ends."""

import errno
import getpass
import os
import pwd
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import Field

from preprocess import verify
from preprocess.run import main as run
from preprocess.settings import RunSettings
from preprocess.verify import VerifySettings
from shared.command.cli import parse_settings, run_command
from shared.command.settings import LayeredSettings
from shared.errors import InterruptedRunError, ResourceLimitError, StoreError, UsageError
from trainer.evaluation.settings import EvaluateSettings

REPOSITORY = Path(__file__).parents[3]
ENTRIES = sorted(
    f"{path.parent.name}.{path.stem}".removesuffix(".__main__")
    if path.parent.name == "preprocess"
    else f"preprocess.{path.parent.name}"
    for path in [*(REPOSITORY / "preprocess").glob("*.py"), *(REPOSITORY / "preprocess").glob("*/__main__.py")]
    if 'if __name__ == "__main__"' in path.read_text()
)


def help_of(settings_class, capsys, monkeypatch, columns=80, **options):
    monkeypatch.setenv("COLUMNS", str(columns))
    with pytest.raises(SystemExit) as caught:
        parse_settings(settings_class, ["--help"], prog="python -m preprocess.run", about="About it.", **options)
    assert caught.value.code == 0
    return capsys.readouterr().out


def test_there_are_entries():
    assert {"preprocess.run", "preprocess.verify", "preprocess.demo"} <= set(ENTRIES)


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_entry_explains_itself_within_80_columns(entry, tmp_path):
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "COLUMNS": "80"}
    command = [sys.executable, "-m", entry, "--help"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: python -m {entry}")
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert list(tmp_path.iterdir()) == []


def test_help_explains_every_option_with_its_default(capsys, monkeypatch):
    text = help_of(RunSettings, capsys, monkeypatch, columns=300)
    for name, field in RunSettings.model_fields.items():
        line = re.search(rf"^ +--{name.replace('_', '-')}[ ,].*?(?=^ +--|^\S|\Z)", text, re.MULTILINE | re.DOTALL)
        assert line, name
        words = " ".join(line[0].split())
        assert field.description.removesuffix("]").split("[")[0].strip() in words
        assert words.endswith("]"), words


def test_help_shows_sizes_as_people_write_them(capsys, monkeypatch):
    assert "[256 MB]" in help_of(RunSettings, capsys, monkeypatch)


def test_a_number_of_something_is_not_shown_as_bytes(capsys, monkeypatch):
    text = help_of(EvaluateSettings, capsys, monkeypatch, columns=300)
    assert re.search(r"--beam-size N +beams; 1 is greedy \[1\]", text)


def test_help_says_which_paths_are_folders(capsys, monkeypatch):
    text = help_of(EvaluateSettings, capsys, monkeypatch, columns=300)
    assert "--watch DIR" in text
    assert "--hypotheses FILE" in text


def test_help_puts_the_commands_own_options_before_the_folders(capsys, monkeypatch):
    text = help_of(RunSettings, capsys, monkeypatch)
    assert text.index("--source") < text.index("--view") < text.index("--base-dir")


def test_a_per_cent_sign_in_a_description_is_shown(capsys, monkeypatch):
    class Shares(LayeredSettings):
        share: str = Field("5%", description="100 % is all")

    assert "100 % is all [5%]" in help_of(Shares, capsys, monkeypatch)


@pytest.mark.parametrize("argv", [["--nope"], ["--view", "loud"], ["--actor", "3"], ["--actors"], ["x"]])
def test_a_wrong_command_line_ends_with_status_2_and_two_lines(argv, capsys):
    with pytest.raises(SystemExit) as caught:
        parse_settings(RunSettings, argv, prog="run", about="")
    assert caught.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("error: ")
    assert lines[1:] == ["  -> run --help tells what each option takes"]


def test_a_positional_is_the_same_as_its_option():
    for argv in (["somewhere"], ["--store", "somewhere"]):
        assert parse_settings(VerifySettings, argv, prog="v", about="", positional="store").store == Path("somewhere")


def test_a_positional_beside_its_option_is_refused(capsys):
    with pytest.raises(SystemExit) as caught:
        parse_settings(VerifySettings, ["a", "--store", "b"], prog="v", about="", positional="store")
    assert caught.value.code == 2
    assert "twice" in capsys.readouterr().err


def raising(error):
    def command(_):
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UsageError("no", "do"), 2),
        (StoreError("no", "do"), 1),
        (ResourceLimitError("no", "do"), 3),
        (InterruptedRunError("no", "do"), 130),
        (KeyboardInterrupt(), 130),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), 3),
        (OSError(errno.EIO, os.strerror(errno.EIO)), 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_becomes_a_message_and_its_status(error, status, capsys):
    assert run_command(raising(error), []) == status
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "Traceback" not in shown.err
    assert shown.err.strip()


def test_a_stop_that_was_asked_for_is_one_line_and_no_error(capsys):
    assert run_command(raising(InterruptedRunError("stopped after step 3", "the same command goes on")), []) == 130
    assert capsys.readouterr().err == "stopped after step 3; the same command goes on\n"


def test_a_defect_is_not_dressed_up_as_an_error_of_the_user():
    with pytest.raises(ZeroDivisionError):
        run_command(raising(ZeroDivisionError()), [])


def test_what_the_command_returns_is_the_status():
    assert run_command(len, ["a", "b", "c", "d"]) == 4


def test_verify_without_a_store_is_a_usage_error(capsys):
    assert run_command(verify.main, []) == 2
    assert "--store" in capsys.readouterr().err


def test_verify_of_a_folder_that_is_no_store_fails(tmp_path, capsys):
    assert run_command(verify.main, [str(tmp_path)]) == 1
    assert "is not a store" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--store", "--base-dir", "--config"])
def test_a_home_folder_that_nobody_knows_is_named_with_a_remedy(option, monkeypatch, capsys):
    def unknown(path):
        if str(path).startswith("~"):
            raise RuntimeError("Could not determine home directory.")
        return path

    monkeypatch.setattr(Path, "expanduser", unknown)
    assert run_command(run, [option, "~/x"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "error: the home folder in ~/x is unknown",
        "  -> write the path in full, or set HOME",
    ]


def test_a_user_of_a_number_without_a_name_has_one_for_libraries(monkeypatch):
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)

    def nobody(number):
        raise KeyError(f"getpwuid(): uid not found: {number}")

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.setenv("LOGNAME", "")
    assert run_command(lambda _argv: 0 if getpass.getuser() else 1, []) == 0


def test_endless_nesting_is_an_error_like_any_other(capsys):
    def command(argv):
        return command(argv)

    assert run_command(command, []) == 2
    assert "nested too deeply" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "near"),
    [("PREPROCESS_ACTOR", "PREPROCESS_ACTORS"), ("preprocess_disk_budgets", "PREPROCESS_DISK_BUDGET")],
)
def test_a_name_in_the_environment_that_no_command_knows_is_refused_with_the_nearest(monkeypatch, capsys, name, near):
    monkeypatch.setenv(name, "3")
    assert run_command(verify.main, ["store"]) == 2
    message = capsys.readouterr().err
    assert name.upper() in message
    assert near in message


def test_so_is_one_in_a_dot_env(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("PREPROCESS_MODLE=x\n")
    assert run_command(verify.main, ["store"]) == 2
    assert "PREPROCESS_MODEL is known" in capsys.readouterr().err


def test_a_prefix_before_a_folders_own_name_is_refused(monkeypatch, capsys):
    monkeypatch.setenv("PREPROCESS_BASE_DIR", "/x")
    assert run_command(verify.main, ["store"]) == 2
    assert "PREPROCESS_BASE_DIR" in capsys.readouterr().err


def test_another_commands_names_are_no_slip(monkeypatch, tmp_path):
    monkeypatch.setenv("PREPROCESS_ACTORS", "3")
    assert run_command(verify.main, [str(tmp_path)]) == 1


def test_without_a_source_a_run_says_so_and_makes_nothing(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    assert run_command(run, ["--base-dir", str(tmp_path / "base")]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "error: nothing to prepare: no source was named",
        "  -> give --source, or --demo for the built-in speech",
    ]
    assert list(tmp_path.iterdir()) == []

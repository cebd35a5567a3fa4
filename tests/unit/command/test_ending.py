"""`shared.command.ending`: what a command says of the error that ends it."""

import errno

import pytest

from preprocess.inspect import main as inspect
from preprocess.plan import main as plan
from shared.command.cli import run_command
from shared.command.ending import ending_of
from shared.errors import ExitCode


def test_a_defect_has_no_ending_of_its_own():
    assert ending_of(ValueError("ours")) is None


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_a_resource_limit(number):
    assert ending_of(OSError(number, "full")).exit_code == ExitCode.RESOURCE_LIMIT


@pytest.mark.parametrize("command", [inspect, lambda argv: plan(["--source", *argv, "--model", "x"])])
def test_a_name_that_no_file_system_takes_is_told_as_that(command, capsys):
    name = "a" * 300
    assert run_command(command, [name]) == ExitCode.USAGE
    said = capsys.readouterr().err
    assert "no file system takes so long a name" in said
    assert "owner/name" in said

"""`make test` brings the programs that tests call where it may, and says which are missing before anything else."""

import subprocess

import pytest

from tests.support.runs import REPOSITORY

FAKES = {
    "id": 'echo "$FAKE_UID"',
    "apt-get": 'echo "$@" >> "$APT_LOG"',
    "sudo": 'test -n "$MAY_SUDO" && shift && exec "$@"',
    "env": 'while [ "${1#*=}" != "$1" ]; do shift; done; exec "$@"',
    "true": "exit 0",
}


@pytest.fixture
def set_up(tmp_path):
    for name, body in FAKES.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / name).chmod(0o755)

    def run(uid, may_sudo=""):
        environment = {"PATH": str(tmp_path), "FAKE_UID": uid, "MAY_SUDO": may_sudo, "APT_LOG": str(tmp_path / "log")}
        command = ["/bin/bash", str(REPOSITORY / "tests" / "tools.sh")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        log = tmp_path / "log"
        return done, log.read_text().splitlines() if log.exists() else []

    return run


@pytest.mark.parametrize(("uid", "may_sudo"), [("0", ""), ("1000", "yes")])
def test_what_is_missing_is_installed_by_root_and_by_who_may_sudo(set_up, uid, may_sudo):
    done, installs = set_up(uid, may_sudo)
    assert done.returncode == 0, done.stderr
    assert installs[0].startswith("update")
    assert {"strace", "prometheus", "chromium"} <= set(installs[1].split())


def test_who_may_not_install_is_told_all_packages_in_one_line(set_up):
    done, installs = set_up("1000")
    assert (done.returncode, installs) == (1, [])
    (line,) = done.stderr.splitlines()
    assert "sudo apt-get install" in line
    assert "strace" in line

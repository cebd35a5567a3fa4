"""systemd reads its own units (Debian: `apt-get install systemd`; nothing is started)."""

import re
from pathlib import Path

import pytest

from shared.errors import ExitCode
from tests.support.deploy import DEPLOY, env_file, run, unknown_options

SYSTEMD = DEPLOY / "systemd"
UNITS = ["speech-prep.service", "speech-trainer@.service"]
# In tenths, of 100; a unit that says nothing about its sandbox has 96.
MOST_EXPOSURE = "20"


@pytest.fixture(params=UNITS)
def unit(request, tmp_path):
    """The unit with a command that exists here: `verify` asks for it."""
    text = (SYSTEMD / request.param).read_text()
    path = tmp_path / request.param
    path.write_text(text.replace("/opt/speech-prep/.venv/bin/python", "/bin/true"))
    return path


def settings(name):
    return dict(re.findall(r"^(\w+)=(.*)$", (SYSTEMD / name).read_text(), re.MULTILINE))


def test_systemd_accepts_the_unit_without_a_word(unit):
    assert run("systemd-analyze", "verify", "--man=no", "--recursive-errors=yes", unit) == ""


def test_the_sandbox_is_tight_by_systemds_own_measure(unit):
    run("systemd-analyze", "security", "--offline=true", f"--threshold={MOST_EXPOSURE}", "--no-pager", unit)


def test_a_stop_is_asked_for_then_forced_and_is_no_failure():
    unit = settings("speech-prep.service")
    assert (unit["Type"], unit["KillMode"], unit["KillSignal"], unit["TimeoutStopSec"]) == (
        "exec",
        "mixed",
        "SIGTERM",
        "30",
    )
    assert int(unit["SuccessExitStatus"]) == ExitCode.INTERRUPTED


def test_only_what_can_get_better_is_started_again():
    unit = settings("speech-prep.service")
    never = {int(status) for status in unit["RestartPreventExitStatus"].split()}
    assert unit["Restart"] == "on-failure"
    assert never == {ExitCode.USAGE, ExitCode.QUARANTINE_EXCEEDED}


def test_an_actor_that_the_kernel_ends_does_not_end_the_run():
    assert settings("speech-prep.service")["OOMPolicy"] == "continue"


def test_the_memory_budget_lies_below_the_units_limits():
    unit, options = settings("speech-prep.service"), env_file(SYSTEMD / "preprocess.env")
    budget = int(options["PREPROCESS_RAM_BUDGET"].removesuffix("GB")) * 10**9
    high, most = (int(unit[name].removesuffix("G")) << 30 for name in ("MemoryHigh", "MemoryMax"))
    assert budget < high < most


def test_the_environment_file_has_only_options_that_exist():
    options = env_file(SYSTEMD / "preprocess.env")
    assert not unknown_options(options)
    assert options["PREPROCESS_METRICS_HOST"] == "127.0.0.1"


def test_a_first_start_of_a_training_may_ask_the_hub_and_keep_what_it_fetches():
    options, unit = env_file(SYSTEMD / "trainer-example.env"), settings("speech-trainer@.service")
    assert not unknown_options(options)
    assert "HF_HUB_OFFLINE" not in options
    assert any(Path(options["HF_HOME"]).is_relative_to(folder) for folder in unit["ReadWritePaths"].split())
    for folder in unit["ReadWritePaths"].split():
        assert folder.removeprefix("/var/lib/") in unit["StateDirectory"].split()
    assert {"AF_INET", "AF_INET6"} <= set(unit["RestrictAddressFamilies"].split())
    assert "IPAddressDeny" not in unit


def test_a_training_tells_of_itself_on_loopback_long_enough_for_a_last_scrape():
    options = env_file(SYSTEMD / "trainer-example.env")
    assert options["TRAINER_METRICS_HOST"] == "127.0.0.1"
    assert float(options["TRAINER_METRICS_LINGER"]) > 10


def test_what_is_written_lies_where_the_unit_may_write():
    unit, options = settings("speech-prep.service"), env_file(SYSTEMD / "preprocess.env")
    assert unit["ProtectSystem"] == "strict"
    assert options["BASE_DIR"] == unit["ReadWritePaths"]
    assert options["PREPROCESS_STORE"].startswith(unit["ReadWritePaths"])

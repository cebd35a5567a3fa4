"""What becomes of ranks that are started together: they meet unseen, are asked to stop once, and end together."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from shared.command.cli import run_command
from shared.errors import SpeechPrepError, UsageError
from trainer.distributed.launcher import RankEnd, exit_code, launch, rank_environment, ranks_to_start
from trainer.distributed.place import Place

ROOT = Path(__file__).parents[3]
LAUNCH = """
import sys
from shared.command.cli import run_command
from trainer.distributed import launcher
patience, *arguments = sys.argv[1:]
launcher._OWN_WAY_SECONDS = launcher._LAST_SECONDS = float(patience)
sys.exit(run_command(lambda argv: launcher.launch("tests.support.stub_rank", argv, 2), arguments))
"""


class Launched:
    """The launcher in a process of its own, with stubs for ranks."""

    def __init__(self, folder, *roles, patience=60):
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", LAUNCH, str(patience), str(folder), *roles]
        self.folder, self.process = (
            folder,
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True),
        )

    def rank(self, number):
        path = self.folder / str(number)
        until(path.exists)
        return json.loads(path.read_text())

    def end(self):
        said, _ = self.process.communicate(timeout=60)
        return self.process.returncode, said


def until(happened, seconds=60):
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_is_handed_on_once_and_what_the_ranks_say_is_all_that_is_said(tmp_path, number):
    launched = Launched(tmp_path, "0=stops", "1=stops")
    pids = [launched.rank(rank)["pid"] for rank in (0, 1)]
    # Ctrl-C reaches all of the terminal's foreground; ranks are not among them.
    assert os.getpgid(launched.process.pid) not in {os.getpgid(pid) for pid in pids}
    launched.process.send_signal(number)
    assert launched.end() == (130, "")


def test_a_stop_before_any_rank_can_hear_is_one_line(tmp_path):
    launched = Launched(tmp_path, "0=stops", "1=stops")
    until(lambda: psutil.Process(launched.process.pid).children())
    launched.process.send_signal(signal.SIGINT)
    code, said = launched.end()
    # Where the machine was fast, the ranks have said it.
    assert code == 130
    assert said in {"", "interrupted; the same command goes on where it stopped\n"}


def test_two_stops_end_all_at_once(tmp_path):
    launched = Launched(tmp_path, "0=hangs", "1=hangs")
    pids = [launched.rank(rank)["pid"] for rank in (0, 1)]
    launched.process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert launched.process.poll() is None
    launched.process.send_signal(signal.SIGINT)
    assert launched.end() == (130, "interrupted; the same command goes on where it stopped\n")
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_a_rank_that_a_signal_ended_is_named_and_ends_those_that_hear_nothing(tmp_path):
    code, said = Launched(tmp_path, "0=hangs", "1=SIGKILL", patience=1).end()
    assert code == 1
    assert said.startswith("error: rank 1 was ended by SIGKILL\n")
    pid = json.loads((tmp_path / "0").read_text())["pid"] if (tmp_path / "0").exists() else None
    assert pid is None or not psutil.pid_exists(pid)


def test_ranks_of_a_launcher_that_is_killed_end(tmp_path):
    launched = Launched(tmp_path, "0=hangs", "1=hangs")
    ranks = [psutil.Process(launched.rank(rank)["pid"]) for rank in (0, 1)]
    launched.process.kill()
    until(lambda: not any(rank.is_running() for rank in ranks))
    launched.process.communicate()


def test_ranks_meet_in_a_file_that_nobody_else_can_name_and_their_ports_are_this_machines(tmp_path):
    launched = Launched(tmp_path, "0=stops", "1=stops")
    notes = [launched.rank(rank) for rank in (0, 1)]
    for rank, note in enumerate(notes):
        environment, path = note["environment"], note["meeting"].removeprefix("file://")
        file = Path(path.replace("self", str(note["pid"]))).stat()
        assert stat.S_ISREG(file.st_mode)
        assert file.st_nlink == 0
        assert (environment["RANK"], environment["LOCAL_RANK"], environment["WORLD_SIZE"]) == (
            str(rank),
            str(rank),
            "2",
        )
        assert environment["GLOO_SOCKET_IFNAME"] == environment["NCCL_SOCKET_IFNAME"] == "lo"
        assert not psutil.Process(note["pid"]).net_connections()
    assert not psutil.Process(launched.process.pid).net_connections()
    launched.process.send_signal(signal.SIGTERM)
    launched.end()


@pytest.mark.parametrize(
    ("codes", "asked", "expected"),
    [
        ((0, 0), False, 0),
        ((2, 2), False, 2),
        ((3, 1), False, 3),
        ((1, 3), False, 3),
        ((1, 0), False, 1),
        ((120, 0), False, 1),
        ((130, 130), False, 130),
        ((130, 130), True, 130),
        ((0, 0), True, 0),
    ],
)
def test_the_status_is_that_of_the_rank_that_tells_most(codes, asked, expected):
    assert exit_code([RankEnd(rank, code) for rank, code in enumerate(codes)], asked=asked) == expected


def test_a_signal_that_the_launcher_sent_is_not_the_reason():
    assert exit_code([RankEnd(0, 3), RankEnd(1, -15, expected=True)], asked=False) == 3
    assert exit_code([RankEnd(0, 130), RankEnd(1, -15, expected=True)], asked=True) == 130
    with pytest.raises(KeyboardInterrupt):
        exit_code([RankEnd(0, -15, expected=True), RankEnd(1, 130)], asked=True)
    with pytest.raises(SpeechPrepError, match="rank 1 was ended by SIGSEGV"):
        exit_code([RankEnd(0, 130), RankEnd(1, -11)], asked=True)


def test_the_users_threads_count_and_else_the_cores_are_shared_out():
    cores = len(os.sched_getaffinity(0))
    assert rank_environment({}, 0, 2, 5)["OMP_NUM_THREADS"] == str(max(1, cores // 2))
    assert rank_environment({"OMP_NUM_THREADS": "3"}, 1, 2, 5)["OMP_NUM_THREADS"] == "3"


def test_who_starts_ranks():
    assert ranks_to_start(2, Place()) == 2
    assert ranks_to_start(None, Place()) == ranks_to_start(1, Place()) == 0
    assert ranks_to_start(2, Place(1, 2, 1, 2, "file:///x", launcher=7)) == 0
    for place in (Place(elastic=True), Place(0, 2, 0, 2, "env://")):
        with pytest.raises(UsageError, match="--nproc-per-node"):
            ranks_to_start(2, place)


def test_ranks_that_are_done_are_one_that_is_done(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    before = signal.getsignal(signal.SIGINT)
    assert run_command(lambda argv: launch("tests.support.stub_rank", argv, 2), [str(tmp_path)]) == 0
    assert signal.getsignal(signal.SIGINT) is before


def test_the_launcher_imports_no_torch():
    program = "import sys, trainer.train; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True)

"""The memory of a run's processes: shared pages once, ended processes not at all, and nothing opened while reading."""

import os
import subprocess
import sys

import psutil
import pytest

from preprocess.governor.process_memory import ProcessMemory

HOLD = "import sys; block = bytearray(b'x' * 50_000_000); print(flush=True); sys.stdin.read()"


def smaps(folder, pid, kilobytes):
    (folder / str(pid)).mkdir(exist_ok=True)
    (folder / str(pid) / "smaps_rollup").write_text(
        f"0-f ---p [rollup]\nRss: 9 kB\nPss: {kilobytes} kB\nPss_Anon: 1 kB\n"
    )


@pytest.fixture
def memory(tmp_path):
    memory = ProcessMemory(tmp_path)
    yield memory
    memory.close()


def test_it_is_the_sum_over_the_processes_that_are_followed(memory, tmp_path):
    for pid, kilobytes in ((7, 100), (8, 20), (9, 3)):
        smaps(tmp_path, pid, kilobytes)
    memory.follow([7, 8])
    assert memory.read() == 120 * 1024
    memory.follow([7, 9])
    assert memory.read() == 103 * 1024


def test_a_process_that_is_gone_holds_nothing(memory, tmp_path):
    smaps(tmp_path, 7, 100)
    memory.follow([7, 8])
    assert memory.read() == 100 * 1024


@pytest.mark.parametrize("text", ["", "Rss: 5 kB\n", "Pss:\n", "0-f\nPss:\n", "0-f\nPss: x kB\n"])
def test_without_a_reading_of_the_first_the_sum_is_unknown(memory, tmp_path, text):
    smaps(tmp_path, 7, 1)
    smaps(tmp_path, 8, 20)
    (tmp_path / "7" / "smaps_rollup").write_text(text)
    memory.follow([7, 8])
    assert memory.read() is None


def test_nobody_followed_is_unknown_and_not_zero(memory):
    assert memory.read() is None


def test_a_real_process_counts_while_it_lives_and_its_number_may_become_anothers():
    memory = ProcessMemory()
    me = os.getpid()
    memory.follow([me])
    alone = memory.read()
    assert 0 < alone <= psutil.Process().memory_info().rss * 1.1
    with subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        memory.follow([me, child.pid])
        assert memory.read() > alone + 50_000_000
        child.kill()
        child.wait()
    assert memory.read() < alone + 50_000_000
    memory.close()


def test_files_of_processes_that_are_no_longer_followed_are_closed(tmp_path):
    memory = ProcessMemory(tmp_path)
    before = psutil.Process().num_fds()
    for pid in range(50):
        smaps(tmp_path, pid, 1)
        memory.follow([pid])
        memory.read()
    memory.close()
    assert psutil.Process().num_fds() == before

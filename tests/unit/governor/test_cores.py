"""Cores that a run may keep busy: what the kernel lets it run on, and what its cgroups allow it of them."""

import os
import subprocess
import sys

import pytest

from preprocess.governor.cores import usable_cores

ONE_CORE = """
import os
from preprocess.governor.cores import usable_cores
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
print(usable_cores())
"""
AFFINITY = len(os.sched_getaffinity(0))


@pytest.fixture
def machine(tmp_path):
    """Makes `/proc` and `/sys/fs/cgroup` of a process in the cgroup /a/b."""

    def make(line, files):
        (tmp_path / "proc" / "self").mkdir(parents=True)
        (tmp_path / "proc" / "self" / "cgroup").write_text(line)
        for name, text in files.items():
            path = tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path / "proc", tmp_path / "cgroup"

    return make


def test_only_cores_that_we_may_run_on_are_counted():
    done = subprocess.run([sys.executable, "-c", ONE_CORE], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
    assert 1 <= usable_cores() <= AFFINITY


@pytest.mark.parametrize(
    ("line", "files"),
    [
        ("0::/a/b\n", {"a/b/cpu.max": "150000 100000\n"}),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "100000 100000\n"}),
        ("3:cpu,cpuacct:/a/b\n", {"cpu/a/b/cpu.cfs_quota_us": "50000\n", "cpu/a/b/cpu.cfs_period_us": "100000\n"}),
    ],
)
def test_a_quota_of_less_than_two_cores_keeps_one_busy(machine, line, files):
    assert usable_cores(*machine(line, files)) == 1


@pytest.mark.parametrize(
    ("line", "files"),
    [
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n"}),
        ("3:cpu:/a/b\n", {"cpu/a/b/cpu.cfs_quota_us": "-1\n", "cpu/a/b/cpu.cfs_period_us": "100000\n"}),
        ("0::/a/b\n", {}),
    ],
)
def test_without_a_quota_all_count(machine, line, files):
    assert usable_cores(*machine(line, files)) == AFFINITY


def test_a_kernel_without_cgroups_has_no_quota(tmp_path):
    assert usable_cores(tmp_path, tmp_path) == AFFINITY

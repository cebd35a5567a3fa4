"""Readings of disk and memory, from procfs and cgroup trees of all kinds."""

import os
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocess.governor.policy import MemoryReading
from preprocess.governor.sensors import KernelFile, MemorySensor, read_mount

MEMINFO = "MemTotal:       1000 kB\nMemFree:         100 kB\nMemAvailable:    600 kB\nHugePages_Total:       0\n"
MACHINE = MemoryReading(400 * 1024, 1000 * 1024)
PRESSURE = "some avg10=12.50 avg60=1.00 avg300=0.10 total=9\nfull avg10=99.00 avg60=0.00 avg300=0.00 total=1\n"
UNTIMED = settings(deadline=None)
"""The machine may be busy."""
NO_LIMIT_V1 = 9223372036854771712
NAMES_V1 = ("memory.usage_in_bytes", "memory.limit_in_bytes", "total_inactive_file")
NAMES_V2 = ("memory.current", "memory.max", "inactive_file")


class Machine:
    """A procfs and a cgroup file system in *folder*; what is not written is not there."""

    def __init__(self, folder: Path, cgroup: str = "") -> None:
        self.proc, self.root = folder / "proc", folder / "cgroup"
        self.root.mkdir()
        self.write(self.proc / "meminfo", MEMINFO)
        self.write(self.proc / "self" / "cgroup", cgroup)

    def write(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def group(self, path: str, used: int, limit: int | str, inactive: int = 0, names=NAMES_V2) -> None:
        folder = self.root / path
        self.write(folder / names[0], f"{used}\n")
        self.write(folder / names[1], f"{limit}\n")
        self.write(folder / "memory.stat", f"cache 77\ninactive_file_x 9\n{names[2]} {inactive}\n")

    def read(self) -> MemoryReading | None:
        return MemorySensor(self.proc, self.root).read()


# --- which limit counts ---


def test_without_cgroups_the_machine_is_the_limit(tmp_path):
    assert Machine(tmp_path).read() == MACHINE


def test_a_kernel_that_knows_no_cgroups_is_no_failure(tmp_path):
    machine = Machine(tmp_path)
    (machine.proc / "self" / "cgroup").unlink()
    assert machine.read() == MACHINE


def test_a_reading_knows_the_room_under_every_limit(tmp_path):
    machine = Machine(tmp_path, "0::/job\n")
    machine.group("job", used=100_000, limit=300_000)
    reading = machine.read()
    assert reading == MACHINE
    assert reading.room_bytes(0.7) == 210_000 - 100_000


def test_a_cgroup_2_limit_counts_without_the_inactive_file_cache(tmp_path):
    machine = Machine(tmp_path, "0::/user.slice/run\n")
    machine.group("user.slice/run", used=900, limit=1_000, inactive=200)
    assert machine.read() == MemoryReading(700, 1_000)


def test_a_cgroup_1_limit_counts_without_the_inactive_file_cache(tmp_path):
    machine = Machine(tmp_path, "5:cpu:/x\n4:hugetlb,memory:/docker/abc\n1:name=systemd:/y\n0::/\n")
    machine.group("memory/docker/abc", used=900, limit=1_000, inactive=200, names=NAMES_V1)
    assert machine.read() == MemoryReading(700, 1_000)


@pytest.mark.parametrize("tight", ["a", "a/b", "a/b/c"])
def test_the_tightest_limit_of_all_groups_around_us_counts(tmp_path, tight):
    machine = Machine(tmp_path, "0::/a/b/c\n")
    for path in ("a", "a/b", "a/b/c"):
        machine.group(path, used=800, limit=1_000 if path == tight else 8_000_000)
    assert machine.read() == MemoryReading(800, 1_000)


def test_a_group_nearer_to_its_limit_counts_even_if_another_limit_is_smaller(tmp_path):
    machine = Machine(tmp_path, "0::/a/b\n")
    machine.group("a", used=9_000, limit=10_000)
    machine.group("a/b", used=500, limit=1_000)
    assert machine.read() == MemoryReading(9_000, 10_000)


def test_in_a_container_whose_path_is_the_hosts_the_mounted_root_is_ours(tmp_path):
    machine = Machine(tmp_path, "0::/kubepods/pod1/abc\n")
    machine.group("", used=950, limit=1_000)
    assert machine.read() == MemoryReading(950, 1_000)


@pytest.mark.parametrize("path", ["/../../other", "/../..", "//"])
def test_a_path_outside_the_cgroup_namespace_leads_to_the_root(tmp_path, path):
    machine = Machine(tmp_path, f"0::{path}\n")
    machine.group("", used=950, limit=1_000)
    assert machine.read() == MemoryReading(950, 1_000)


@pytest.mark.parametrize(("line", "folder", "limit", "names"), [
    ("0::/run", "run", "max", NAMES_V2),
    ("4:memory:/run", "memory/run", NO_LIMIT_V1, NAMES_V1),
])  # fmt: skip
def test_a_group_without_a_limit_leaves_the_machine(tmp_path, line, folder, limit, names):
    machine = Machine(tmp_path, f"{line}\n")
    machine.group(folder, used=10**9, limit=limit, names=names)
    assert machine.read() == MACHINE


def test_a_limit_that_is_set_or_lifted_during_the_run_counts_at_once(tmp_path):
    machine = Machine(tmp_path, "0::/run\n")
    machine.group("run", used=900, limit="max")
    sensor = MemorySensor(machine.proc, machine.root)
    assert sensor.read() == MACHINE
    machine.group("run", used=900, limit=1_000)
    assert sensor.read() == MemoryReading(900, 1_000)


def test_more_inactive_cache_than_usage_is_nothing_used(tmp_path):
    machine = Machine(tmp_path, "0::/run\n")
    machine.group("run", used=100, limit=100, inactive=101)
    machine.write(machine.proc / "meminfo", "MemTotal: 100 kB\nMemAvailable: 120 kB\n")
    assert machine.read().used_bytes == 0


# --- pressure ---


def test_memory_pressure_is_the_ten_second_share_in_which_some_task_waited(tmp_path):
    machine = Machine(tmp_path)
    machine.write(machine.proc / "pressure" / "memory", PRESSURE)
    assert machine.read() == MemoryReading(MACHINE.used_bytes, MACHINE.limit_bytes, 12.5)


@pytest.mark.parametrize(
    "text", ["", "full avg10=1.00\n", "some\n", "some avg10=", "some avg10=x", "some avg10=nan", "\0"]
)
def test_pressure_that_cannot_be_understood_is_a_failed_reading(tmp_path, text):
    machine = Machine(tmp_path)
    machine.write(machine.proc / "pressure" / "memory", text)
    assert machine.read() is None


# --- readings that fail ---


@pytest.mark.parametrize("name", ["memory.current", "memory.max", "memory.stat"])
@pytest.mark.parametrize("content", [b"", b"garbage\n", b"\xff\xfe", b"-", b"1e9\n", b"memory 1\n"])
def test_a_group_that_cannot_be_understood_is_a_failed_reading(tmp_path, name, content):
    machine = Machine(tmp_path, "0::/run\n")
    machine.group("run", used=100, limit=1_000)
    (machine.root / "run" / name).write_bytes(content)
    assert machine.read() is None


@pytest.mark.parametrize("name", ["memory.current", "memory.stat"])
def test_a_group_with_a_limit_but_without_its_usage_is_a_failed_reading(tmp_path, name):
    machine = Machine(tmp_path, "0::/run\n")
    machine.group("run", used=100, limit=1_000)
    (machine.root / "run" / name).unlink()
    assert machine.read() is None


@pytest.mark.parametrize("name", ["memory.current", "memory.max", "memory.stat"])
def test_a_file_that_cannot_be_read_is_a_failed_reading_and_not_an_absent_one(tmp_path, name):
    machine = Machine(tmp_path, "0::/run\n")
    machine.group("run", used=100, limit=1_000)
    path = machine.root / "run" / name
    path.unlink()
    path.symlink_to(path)
    assert machine.read() is None


@pytest.mark.parametrize("listing", ["memory\n", "0:\n", "4:memory\n"])
def test_a_list_of_groups_that_cannot_be_understood_is_a_failed_reading(tmp_path, listing):
    assert Machine(tmp_path, listing).read() is None


@pytest.mark.parametrize(
    "meminfo", ["", "MemTotal: 5 kB\n", "MemTotal: 0 kB\nMemAvailable: 0 kB\n", "MemTotal\n", "\0\0"]
)
def test_a_machine_that_cannot_be_understood_is_a_failed_reading(tmp_path, meminfo):
    machine = Machine(tmp_path)
    machine.write(machine.proc / "meminfo", meminfo)
    assert machine.read() is None


def test_without_procfs_nothing_is_known(tmp_path):
    assert MemorySensor(tmp_path / "proc", tmp_path / "cgroup").read() is None


@UNTIMED
@given(content=st.binary(max_size=200))
def test_whatever_a_kernel_file_holds_a_reading_is_none_or_makes_sense(tmp_path_factory, content):
    machine = Machine(tmp_path_factory.mktemp("machine"), "0::/run\n")
    machine.group("run", used=100, limit=1_000)
    for path in (machine.proc / "meminfo", machine.proc / "self" / "cgroup", machine.root / "run" / "memory.stat"):
        before = path.read_bytes()
        path.write_bytes(content)
        reading = machine.read()
        path.write_bytes(before)
        assert reading is None or (reading.used_bytes >= 0 and reading.limit_bytes > 0)


def test_a_file_is_read_anew_each_time_and_opened_once(tmp_path):
    path = tmp_path / "file"
    path.write_text("one")
    file = KernelFile.open(path)
    assert file.read() == "one"
    path.write_text("another")
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    assert file.read() == "another"
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


# --- this machine ---


def test_this_machine_has_a_plausible_working_set():
    reading = MemorySensor().read()
    assert 0 < reading.limit_bytes <= psutil.virtual_memory().total
    assert 0 < reading.used_bytes < reading.limit_bytes
    assert reading.psi_percent is None or 0 <= reading.psi_percent <= 100


# --- mounts ---


def statvfs(**values):
    """A mount of 100 blocks of 4 kB with plenty of inodes, but for *values*."""
    usual = {"f_frsize": 4096, "f_bsize": 65_536, "f_bavail": 50, "f_bfree": 100, "f_files": 10**6, "f_favail": 10**5}
    return lambda _path: SimpleNamespace(**usual | {"f_blocks": 100} | values)


def test_free_space_is_what_an_ordinary_user_may_fill(tmp_path):
    assert read_mount(tmp_path, statvfs()).free_bytes == 50 * 4096


@pytest.mark.parametrize(
    ("values", "free"),
    [
        ({"f_files": 0, "f_favail": 0}, True),
        ({"f_favail": 1_000}, True),
        ({"f_favail": 999}, False),
        ({"f_favail": 0}, False),
        ({"f_files": 500, "f_favail": 450}, True),
        ({"f_files": 500, "f_favail": 4}, False),
    ],
)
def test_a_mount_is_out_of_inodes_when_few_are_left_unless_it_counts_none(tmp_path, values, free):
    assert read_mount(tmp_path, statvfs(**values)).inodes_free is free


def test_a_mount_that_cannot_be_read_is_unknown(tmp_path):
    assert read_mount(tmp_path / "nowhere") is None


def test_the_mount_of_a_folder_here_has_the_room_that_the_system_states(tmp_path):
    stated = os.statvfs(tmp_path)
    assert read_mount(tmp_path).free_bytes == pytest.approx(stated.f_bavail * stated.f_frsize, rel=0.05)

"""Whole runs on an ext4 disk that is too small, that somebody else fills, or that refuses a call."""

from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import product

import pytest

from shared.system.owner_mark import own_mark, process_start
from tests.support.ext4 import Cut, Ext4Disk
from tests.support.runs import left_behind
from tests.support.sampler import Sampler
from tests.support.stores import contents, differences
from tests.support.strace import traced

DISK_BYTES = 96 << 20
SMALL_BYTES = 17_000_000
"""Room for Ray's scratch (12 MB) and some shards, not for all."""
RESERVE_BYTES = 1_000_000
FULL = {"ENOSPC", "EDQUOT"}


@pytest.fixture
def disk(tmp_path):
    """An ext4 disk; the runs' usual store is a link to a folder on it, so that their output lies elsewhere."""
    with Ext4Disk(tmp_path, DISK_BYTES) as disk:
        (disk.folder / "store").mkdir()
        (tmp_path / "store").symlink_to(disk.folder / "store")
        yield disk


def not_as_expected(store, expected):
    """Committed files that are not the undisturbed run's."""
    found = {name: digest for name, digest in contents(store).items() if name.startswith(("data/", "quarantine/"))}
    return [name for name, digest in found.items() if expected.get(name) != digest]


def test_a_disk_with_too_little_room_is_filled_up_to_the_reserve_and_used_to_the_end_once_it_is_freed(
    disk, start, straight
):
    disk.fill(leave_bytes=SMALL_BYTES)
    budget_bytes = disk.free_bytes - RESERVE_BYTES
    run = start("--disk-reserve", str(RESERVE_BYTES), "--force", "--stall-timeout", "3")
    with Sampler(run.store) as sampler:
        assert run.wait() == 3, run.messages()
    assert f"the disk of {run.store} is short by" in run.messages()
    assert "1.0 MB stay reserved" in run.messages()
    assert 0 < sampler.most_bytes <= budget_bytes
    assert 0 < run.committed() < len([name for name in straight.expected if name.startswith("data/")])
    assert not_as_expected(run.store, straight.expected) == left_behind(run.store) == []
    disk.free()
    again = start("--disk-reserve", str(RESERVE_BYTES))
    assert again.wait() == 0, again.messages()
    assert differences(run.store, straight.expected) == []


def test_a_run_waits_while_somebody_else_eats_the_disk_and_goes_on_within_ten_seconds_once_it_is_given_back(
    disk, start, straight
):
    run = start("--disk-reserve", "20MB")
    assert run.until(run.actors), run.messages()
    disk.fill(leave_bytes=60_000_000)
    assert run.until(run.committed), run.messages()
    with run.held():
        for leave_bytes in range(50_000_000, 0, -10_000_000):
            disk.fill(leave_bytes)
    assert run.until(lambda: "level emergency" in run.stdout.read_text()), run.messages()
    done = run.committed()
    disk.free()
    assert run.until(lambda: run.committed() > done, timeout_seconds=10), run.messages()
    assert run.wait() == 0, run.messages()
    assert differences(run.store, straight.expected) == []


@contextmanager
def refusing(run, expected, call, error, log):
    """Lets *call* fail with *error* on every shard that is being written, in one actor of *run*.

    In all actors for a rename: only quarantine files are renamed, and who makes them is not known before.
    """
    assert run.until(run.actors), run.messages()
    with ExitStack() as stack:
        with run.held():
            if call == "rename":
                assert run.until(lambda: len(run.actors()) == 2), run.messages()
            pids = [actor.pid for actor in run.actors()][: None if call == "rename" else 1]
            paths = list(partials(run, expected, pids))
            stack.enter_context(traced(pids, call, log, f"{call}:error={error}", paths=paths))
        yield
    assert "(INJECTED)" in log.read_text()


def partials(run, expected, pids):
    """Every name that a shard or quarantine file may have while *pids* write it, by link and by folder."""
    for name in (name.removeprefix("data/") for name in expected if name.startswith("data/")):
        for pid, folder in product(pids, (run.store, run.store.resolve())):
            owner = replace(own_mark(), pid=pid, started=process_start(pid)).text
            yield f"{folder}/.partial/{name}.{owner}"
            yield f"{folder}/.partial/quarantine-{name}.{owner}"


@pytest.fixture
def refused(start, straight, tmp_path):
    """A run whose *call* fails with *error* in one actor; what must hold of its end in any case is checked."""

    def refused_run(call, error):
        run = start("--stall-timeout", "3")
        with refusing(run, straight.expected, call, error, tmp_path / "strace.log"):
            status = run.wait()
        assert status == (3 if error in FULL else 1), run.messages()
        assert f"{run.store}/.partial/" in run.messages()
        assert "Traceback" not in run.messages()
        assert not_as_expected(run.store, straight.expected) == left_behind(run.store) == []

    return refused_run


@pytest.mark.usefixtures("disk")
def test_a_disk_that_refuses_one_actors_call_ends_the_run_with_the_file_named_and_the_same_command_goes_on(
    start, straight, refused
):
    refused("fsync", "EIO")
    refused("link", "ENOSPC")
    again = start()
    assert again.wait() == 0, again.messages()
    assert differences(again.store, straight.expected) == []


@pytest.mark.campaign
@pytest.mark.usefixtures("disk")
@pytest.mark.parametrize("call", ["write", "fsync", "link", "rename"])
def test_any_error_of_any_call_on_a_shard_ends_the_run_with_the_file_named_and_the_same_command_goes_on(
    start, straight, refused, call
):
    for error in ("EIO", "EDQUOT", "ENOSPC"):
        refused(call, error)
    again = start()
    assert again.wait() == 0, again.messages()
    assert differences(again.store, straight.expected) == []


@pytest.mark.campaign
@pytest.mark.parametrize("cut", Cut)
def test_a_disk_that_dies_under_a_run_ends_it_within_a_minute_and_the_same_command_goes_on_later(
    disk, start, straight, cut
):
    run = start()
    assert run.until(run.committed), run.messages()
    with run.held():
        disk.power_cut(cut)
    try:
        assert run.wait(60) == 1
    finally:
        disk.remount()
    assert "error: [Errno 5] Input/output error: '" in run.messages()
    assert [name for name in left_behind(run.store) if ".partial/" not in name] == []
    assert not_as_expected(run.store, straight.expected) == []
    again = start()
    assert again.wait() == 0, again.messages()
    assert differences(again.store, straight.expected) == []

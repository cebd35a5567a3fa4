"""Cleanup against whoever swaps things under its hand: what it does not own is never touched."""

import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from preprocess.workspace.cleanup import (
    Removal,
    opened_folder,
    owner_of,
    remove_all_partials,
    remove_dead_partials,
)
from shared.system.durable import DurableFile
from shared.system.owner_mark import OwnerMark, own_mark, process_start

HERE, BOOT = "vm-1.example.org", "0123456789ab"
DEAD = 9_999_999
"""No process has such a number."""
ROUNDS, CAMPAIGN_ROUNDS = 1_000, 50_000


def dead(owner: OwnerMark) -> bool:
    return owner.host == HERE and owner.pid == DEAD


def partial_name(host: str = HERE, pid: int = DEAD, shard: str = "train-00000-of-00009") -> str:
    return f"{shard}.parquet.{OwnerMark(host, BOOT, 4026531836, pid, 1234).text}"


@pytest.fixture
def partial(tmp_path) -> Path:
    folder = tmp_path / "store" / ".partial"
    folder.mkdir(parents=True)
    return folder


def write(path: Path, num_bytes: int = 10_000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * num_bytes)
    return path


# --- whose is it? ---


@pytest.mark.parametrize("host", ["vm", "vm-1", "a.parquet.b", "10-20-30", "ünïcode"])
@pytest.mark.parametrize("shard", ["train-00000-of-00009", "quarantine-train-00000-of-00009"])
def test_a_partial_file_names_its_owner(host, shard):
    assert owner_of(partial_name(host, 123, shard)) == OwnerMark(host, BOOT, 4026531836, 123, 1234)
    # As earlier versions wrote it: host, the run's process, its own.
    assert owner_of(f"{shard}.parquet.{host}-77-123") == OwnerMark(host, "", 0, 123, 0)


@pytest.mark.parametrize(
    "name",
    ["store.json", "ray", "COMPLETE", "index-train.parquet", "train-00000-of-00009.parquet", "",
     *("x.parquet." + end for end in ("vm-1", "vm-1-", "vm-1-2.bak", "-1-2", "vm-1-0", "vm-0-5", "vm-1-007", "vm-1-2\n",
                                      "vm-1-٣", "vm-1-12345678", "vm-1--2")), ".parquet.vm-1-2"],
)  # fmt: skip
def test_a_name_that_is_anything_else_has_no_owner(name):
    assert owner_of(name) is None


# --- what is removed and what stays ---


def test_dead_owners_files_go_and_all_others_stay(partial):
    gone = write(partial / partial_name())
    here = own_mark()

    def of(pid: int) -> Path:
        mark = replace(here, pid=pid, started=process_start(pid) or 1)
        return write(partial / f"train-00000-of-00009.parquet.{mark.text}")

    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        mine, neighbours, gone_here = map(of, (os.getpid(), sleeper.pid, DEAD))
        old = write(partial / f"train-1.parquet.{here.host}-77-{DEAD}")
        foreign = write(partial / partial_name("elsewhere"))
        unnamed = [write(partial / name) for name in ("store.json", "index-train.parquet", "ray/session/log")]
        assert {removal.path for removal in remove_dead_partials(partial)} == {gone_here, old}
        assert all(path.exists() for path in (gone, mine, neighbours, foreign, *unnamed))
    finally:
        sleeper.kill()
        sleeper.wait()
    assert [removal.path for removal in remove_dead_partials(partial)] == [neighbours]


@pytest.mark.parametrize("remove", [remove_all_partials, remove_dead_partials])
def test_a_file_that_somebody_holds_is_alive_whoever_its_name_says_is_dead(partial, remove):
    """The same host name and number may be another container's, or another machine's."""
    name = f"train-00000-of-00009.parquet.{replace(own_mark(), pid=DEAD).text}"
    with DurableFile(partial / name) as written:
        (told,) = remove(partial)
        assert (told.path.name, told.num_bytes, told.error) == (name, 0, "a live process is writing it")
        assert remove(partial, dry_run=True) == [told]
        written.file.write(b"x")
        written.seal()
        assert written.publish(partial.parent / "shard.parquet")
    assert remove(partial) == []


def test_a_folder_or_link_with_a_dead_owners_name_is_not_a_partial_file(partial, tmp_path):
    canary = write(tmp_path / "canary")
    folder = partial / partial_name(shard="train-1")
    write(folder / "file")
    link = partial / partial_name(shard="train-2")
    link.symlink_to(canary)
    os.mkfifo(partial / partial_name(shard="train-3"))
    assert remove_dead_partials(partial, dead) == []
    assert link.is_symlink()
    assert (folder / "file").exists()


def test_everything_goes_with_its_bytes_and_links_lead_nowhere(partial, tmp_path):
    outside = write(tmp_path / "outside" / "canary")
    file = write(partial / "b", 100_000)
    write(partial / "a" / "deep" / "er" / "file", 50_000)
    (partial / "a" / "link").symlink_to(outside.parent)
    (partial / "c").symlink_to(outside)
    os.mkfifo(partial / "d")
    allocated = file.stat().st_blocks * 512
    removed = {removal.path.name: removal for removal in remove_all_partials(partial)}
    assert list(partial.iterdir()) == []
    assert outside.read_bytes() == b"x" * 10_000
    assert removed["b"] == Removal(file, allocated, "file")
    assert removed["a"].kind == "folder"
    assert removed["a"].num_bytes >= 50_000
    assert (removed["c"].kind, removed["d"].kind) == ("link", "other")


def test_a_file_with_another_name_as_well_gives_no_bytes_back(partial):
    """A run that died between a shard's name and the end of its partial one."""
    file = write(partial / partial_name())
    shard = partial.parent / "shard.parquet"
    os.link(file, shard)
    assert remove_dead_partials(partial, dead) == [Removal(file, 0, "file")]
    assert shard.exists()


@pytest.mark.parametrize(
    "remove", [remove_all_partials, lambda partial, **more: remove_dead_partials(partial, dead, **more)]
)
def test_a_dry_run_tells_the_same_and_removes_nothing(partial, remove):
    write(partial / partial_name(), 70_000)
    write(partial / "ray" / "session" / "log", 30_000)
    before = sorted(partial.rglob("*"))
    promised = remove(partial, dry_run=True)
    assert sorted(partial.rglob("*")) == before
    assert promised == remove(partial)
    assert promised != []


@pytest.mark.parametrize("remove", [remove_all_partials, lambda partial: remove_dead_partials(partial, dead)])
def test_a_folder_that_is_missing_a_link_or_a_file_is_left_alone(tmp_path, remove):
    canary = write(tmp_path / "outside" / partial_name())
    link = tmp_path / "link"
    link.symlink_to(canary.parent)
    assert remove(tmp_path / "missing") == remove(link) == remove(canary) == []
    assert canary.exists()
    with pytest.raises(NotADirectoryError), opened_folder(link):
        pass


def test_what_cannot_be_removed_is_named_and_keeps_nobody_from_the_rest(partial, monkeypatch):
    for name in ("a", "b/c", "b/d", "e"):
        write(partial / name)
    unlink = os.unlink

    def refuse(path, *, dir_fd=None):
        if path in {"a", "c"}:
            raise PermissionError(1, "Operation not permitted", path)
        unlink(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", refuse)
    removed = {removal.path.name: removal for removal in remove_all_partials(partial)}
    assert {name: removal.error for name, removal in removed.items()} == {
        "a": "Operation not permitted", "b": "c: Operation not permitted", "e": "",
    }  # fmt: skip
    assert removed["a"].num_bytes == 0
    assert 0 < removed["b"].num_bytes == removed["e"].num_bytes
    assert sorted(path.name for path in partial.rglob("*")) == ["a", "b", "c"]


def test_a_folder_that_becomes_a_link_once_it_was_looked_at_is_not_followed(partial, tmp_path, monkeypatch):
    canary = write(tmp_path / "outside" / "log")
    folder = write(partial / "ray" / "log").parent
    stat_of = os.stat

    def then_swap(path, **options):
        status = stat_of(path, **options)
        if path == "ray" and not folder.is_symlink():
            folder.rename(tmp_path / "aside")
            folder.symlink_to(canary.parent)
        return status

    monkeypatch.setattr(os, "stat", then_swap)
    (removal,) = remove_all_partials(partial)
    assert (removal.num_bytes, removal.error) == (0, "Not a directory")
    assert canary.exists()


# --- races ---


class Swapper:
    """Turns the entries of *partial* into links to canaries, pipes and folders, and back, as fast as it can.

    It makes things aside and moves them in through folders that are none of its links, so that what happens to a canary
    is never its own doing.
    """

    def __init__(self, partial: Path, seed: int) -> None:
        self.partial, self.rng, self.swaps = partial, random.Random(seed), 0
        self.aside, outside = partial.parents[1] / "aside", partial.parents[1] / "outside"
        self.aside.mkdir()
        self.file = write(outside / "file")
        self.folder = outside / "folder"
        for name in ("x", partial_name(), "session/y"):
            write(self.folder / name)
        self.canaries = sorted(outside.rglob("*"))
        self.names = [partial_name(shard=f"train-{number}") for number in range(4)]

    def swap(self) -> None:
        """One entry becomes something else; whether a step succeeds depends on the cleanup at work."""
        self.swaps += 1
        with suppress(OSError), opened_folder(self.partial) as top:
            if self.rng.random() < 0.5:
                self._put(top, self.rng.choice([*self.names, "ray"]))
            else:
                with opened_folder(Path("ray"), top) as ray:
                    self._put(ray, self.rng.choice(["session", "log"]))

    def swap_partial(self) -> None:
        """The whole folder becomes a link to the canaries for a moment."""
        spare = self.aside / "spare"
        self.partial.rename(spare)
        self.partial.symlink_to(self.folder)
        self.partial.unlink()
        spare.rename(self.partial)

    def _put(self, folder: int, name: str) -> None:
        made = self.aside / f"{self.swaps}"
        self.rng.choice(self._makers())(made)
        with suppress(OSError):
            os.rename(name, self.aside / f"{self.swaps}-old", src_dir_fd=folder)
        os.rename(made, name, dst_dir_fd=folder)

    def _makers(self) -> list[Callable[[Path], object]]:
        return [
            lambda path: path.symlink_to(self.file),
            lambda path: path.symlink_to(self.folder),
            lambda path: path.symlink_to(".."),
            lambda path: path.write_bytes(b"x"),
            lambda path: write(path / "session" / "file"),
            lambda path: (path.mkdir(), (path / "session").symlink_to(self.folder)),
            os.mkfifo,
        ]

    def check(self) -> None:
        assert sorted(self.file.parent.rglob("*")) == self.canaries
        assert all(path.read_bytes() == b"x" * 10_000 for path in self.canaries if path.is_file())


@contextmanager
def busy(*works: Callable[[], None]) -> Iterator[threading.Thread]:
    """Does *works* in a thread of its own, over and over, while the block lasts; the thread ends when one fails."""
    done = threading.Event()

    def repeat() -> None:
        while not done.is_set():
            for work in works:
                work()

    thread = threading.Thread(target=repeat)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    thread.start()
    try:
        yield thread
    finally:
        done.set()
        thread.join()
        sys.setswitchinterval(interval)


def race(partial: Path, swaps: int, seed: int, *, swap_partial: bool) -> set[str]:
    """Cleans up while things are swapped, checks every canary, and returns what kinds were removed."""
    swapper = Swapper(partial, seed)
    kinds, number = set(), 0
    with busy(swapper.swap, *([swapper.swap_partial] if swap_partial else [])) as thread:
        while swapper.swaps < swaps and thread.is_alive():
            number += 1
            found = remove_all_partials(partial, dry_run=number % 10 == 0)
            found += remove_dead_partials(partial, dead)
            kinds |= {removal.kind for removal in found}
    swapper.check()
    assert swapper.swaps >= swaps
    return kinds


@pytest.mark.parametrize("swap_partial", [False, True])
def test_whatever_is_swapped_during_a_cleanup_no_canary_outside_is_touched(partial, swap_partial):
    # A race in which nothing was removed would prove nothing.
    removed = set()
    for seed in range(1, 20):
        removed |= race(partial, ROUNDS, seed, swap_partial=swap_partial)
        if removed >= {"file", "folder", "link"}:
            return
    pytest.fail(f"only {removed} were removed")


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("swap_partial", [False, True])
def test_whatever_is_swapped_thousands_of_times_no_canary_outside_is_touched(partial, seed, swap_partial):
    assert race(partial, CAMPAIGN_ROUNDS, seed, swap_partial=swap_partial) >= {"file", "folder", "link"}


def test_a_live_owners_file_survives_every_race_of_those_of_dead_ones(partial):
    live = write(partial / partial_name(pid=5))
    foreign = write(partial / partial_name("elsewhere"))
    swapper = Swapper(partial, seed=2)
    with busy(swapper.swap) as thread:
        while swapper.swaps < ROUNDS and thread.is_alive():
            remove_dead_partials(partial, dead)
            assert live.exists()
            assert foreign.exists()
    assert swapper.swaps >= ROUNDS
    swapper.check()


def test_writers_that_come_and_go_meanwhile_do_not_disturb_a_cleanup(partial):
    """Two cleanups at once, and files that appear in a folder that is being emptied."""
    rng = random.Random(3)

    def come() -> None:
        with suppress(OSError):
            write(partial / "ray" / f"{rng.randrange(9)}" / f"{rng.randrange(9)}", 10)

    with busy(come, lambda: remove_all_partials(partial)):
        for _ in range(ROUNDS):
            remove_all_partials(partial)
    assert [removal for removal in remove_all_partials(partial) if removal.error] == []
    assert list(partial.iterdir()) == []


def test_a_pipe_in_the_way_blocks_nobody(partial):
    """Opened as a folder it is refused at once; opened as a file it would wait for a writer for ever."""
    done = threading.Event()
    (partial / "ray").mkdir()

    def swap() -> None:
        with suppress(OSError):
            (partial / "ray").rmdir()
            os.mkfifo(partial / "ray")
        with suppress(OSError):
            (partial / "ray").unlink()
        with suppress(OSError):
            (partial / "ray").mkdir()

    def clean() -> None:
        for _ in range(ROUNDS):
            remove_all_partials(partial)
        done.set()

    with busy(swap):
        threading.Thread(target=clean, daemon=True).start()
        assert done.wait(60)

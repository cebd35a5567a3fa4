"""The watchdog: what it says after each beat, whom it kills, and that it opens nothing."""

import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from preprocess.governor.policy import BLIND_SECONDS, DiskReading, Level, MemoryReading
from preprocess.governor.sensors import MemorySensor, read_mount
from preprocess.governor.watchdog import SILENT_SECONDS, Watchdog

ROOM = DiskReading(0, 1_000, 10_000, 100)
PLENTY = MemoryReading(10, 100)
NO_MEMORY = MemoryReading(96, 100)


@dataclass
class World:
    """Readings, a clock and processes for a watchdog that is under test."""

    disk: DiskReading | None = ROOM
    memory: MemoryReading | None = PLENTY
    time: float = 100.0
    killed: list[int] = field(default_factory=list)
    kill_error: type[OSError] | None = None

    def kill(self, pid: int, number: int) -> None:
        assert number == signal.SIGKILL
        self.killed.append(pid)
        if self.kill_error:
            raise self.kill_error

    def watchdog(self, *actors: int) -> Watchdog:
        found = Watchdog(lambda: self.disk, lambda: self.memory, lambda: self.time, self.kill)
        found.actor_pids = frozenset(actors)
        return found


def beat(world: World, watchdog: Watchdog, beats: int = 1, seconds: float = 0.25) -> Level:
    for _ in range(beats):
        world.time += seconds
        watchdog.beat()
    return watchdog.verdict.level


def test_a_verdict_holds_what_was_read_and_when():
    world = World()
    watchdog = world.watchdog()
    assert beat(world, watchdog) is Level.NORMAL
    assert (watchdog.verdict.disk, watchdog.verdict.memory, watchdog.verdict.beat_at) == (ROOM, PLENTY, world.time)


def test_memory_at_stop_kills_exactly_the_actors_once():
    world = World(memory=NO_MEMORY)
    watchdog = world.watchdog(1_001, 1_002)
    assert beat(world, watchdog, beats=5) is Level.STOP
    assert sorted(world.killed) == [1_001, 1_002]


@pytest.mark.parametrize("share", [50, 75, 85, 92, 94])
def test_below_stop_nobody_is_killed(share):
    world = World(memory=MemoryReading(share, 100))
    beat(world, world.watchdog(1_001), beats=100)
    assert world.killed == []


def test_a_full_disk_kills_nobody():
    world = World(disk=DiskReading(1_000, 1_000, 0, 100, 5_000))
    watchdog = world.watchdog(1_001)
    watchdog.no_space = True
    assert beat(world, watchdog, beats=5) is Level.STOP
    assert world.killed == []


def test_an_actor_that_is_new_is_killed_as_well_even_with_the_number_of_a_dead_one():
    world = World(memory=NO_MEMORY)
    watchdog = world.watchdog(1_001)
    beat(world, watchdog)
    watchdog.actor_pids = frozenset()
    beat(world, watchdog)
    watchdog.actor_pids = frozenset({1_001, 1_002})
    beat(world, watchdog)
    assert sorted(world.killed) == [1_001, 1_001, 1_002]


@pytest.mark.parametrize("error", [ProcessLookupError, PermissionError])
def test_an_actor_that_went_by_itself_keeps_nobody_from_the_others(error):
    world = World(memory=NO_MEMORY, kill_error=error)
    beat(world, world.watchdog(1_001, 1_002, 1_003))
    assert len(world.killed) == 3


def test_numbers_that_name_no_single_process_are_never_signalled():
    world = World(memory=NO_MEMORY)
    beat(world, world.watchdog(0, -1, -55, 1, 1_001))
    assert world.killed == [1_001]


def test_it_kills_a_real_process_and_not_its_neighbour():
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    actor, neighbour = subprocess.Popen(command), subprocess.Popen(command)
    try:
        Watchdog(lambda: ROOM, lambda: NO_MEMORY, actor_pids=frozenset({actor.pid})).beat()
        assert actor.wait(10) == -signal.SIGKILL
        assert neighbour.poll() is None
    finally:
        for process in (actor, neighbour):
            process.kill()
            process.wait()


# --- silence ---


def test_nothing_is_admitted_before_the_first_beat():
    world = World()
    watchdog = world.watchdog()
    assert not watchdog.is_beating()
    beat(world, watchdog)
    assert watchdog.is_beating()


def test_a_watchdog_that_was_not_heard_of_for_five_seconds_does_not_beat_until_it_is():
    world = World()
    watchdog = world.watchdog()
    beat(world, watchdog)
    world.time += SILENT_SECONDS
    assert not watchdog.is_beating()
    beat(world, watchdog)
    assert watchdog.is_beating()


def test_a_reading_that_took_too_long_is_stale_when_it_comes():
    world = World()

    def slow() -> DiskReading:
        world.time += SILENT_SECONDS
        return ROOM

    watchdog = Watchdog(slow, lambda: PLENTY, lambda: world.time)
    watchdog.beat()
    assert not watchdog.is_beating()


def test_a_clock_that_went_back_is_no_beat():
    world = World()
    watchdog = world.watchdog()
    beat(world, watchdog)
    world.time -= 60
    assert not watchdog.is_beating()


@pytest.mark.parametrize("lost", [{"disk": None}, {"memory": None}])
def test_a_sensor_that_fails_is_a_pause_after_a_while(lost):
    world = World()
    watchdog = world.watchdog()
    beat(world, watchdog)
    for name, value in lost.items():
        setattr(world, name, value)
    assert beat(world, watchdog) is Level.NORMAL
    assert beat(world, watchdog, beats=int(BLIND_SECONDS / 0.25)) is Level.PAUSE


# --- the thread ---


def test_the_thread_beats_by_itself_and_ends_with_the_block():
    beats = threading.Semaphore(0)

    def read() -> MemoryReading:
        beats.release()
        return PLENTY

    with Watchdog(lambda: ROOM, read) as watchdog:
        assert all(beats.acquire(timeout=30) for _ in range(3))
        assert watchdog.is_beating()
        assert "watchdog" in {thread.name for thread in threading.enumerate()}
    assert "watchdog" not in {thread.name for thread in threading.enumerate()}


def test_the_thread_ends_when_the_block_fails():
    with pytest.raises(RuntimeError), Watchdog(lambda: ROOM, lambda: PLENTY):
        raise RuntimeError
    assert "watchdog" not in {thread.name for thread in threading.enumerate()}


OPENS_NOTHING = """
import os, sys
from pathlib import Path
from preprocess.governor.policy import DiskReading
from preprocess.governor.sensors import MemorySensor, read_mount
from preprocess.governor.watchdog import Watchdog

here, sensor = Path.cwd(), MemorySensor()

def disk():
    mount = read_mount(here)
    return mount and DiskReading(0, 1_000, mount.free_bytes, 0, inodes_free=mount.inodes_free)

def kill(pid, number):
    pass

watchdog = Watchdog(disk, sensor.read, kill=kill)
watchdog.beat()
events, before = [], os.listdir("/proc/self/fd")
sys.addaudithook(lambda name, values: events.append(name))
for _ in range(100):
    watchdog.beat()
seen = sorted(set(events))
assert os.listdir("/proc/self/fd") == before
assert watchdog.verdict.memory is not None and watchdog.verdict.disk is not None
print(seen)
"""


def test_a_beat_opens_no_file_and_imports_nothing(tmp_path):
    """Python tells an audit hook of every open, import and process; hooks stay, so this is a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [sys.executable, "-c", OPENS_NOTHING],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_beat_on_this_machine_reads_both(tmp_path):
    def disk() -> DiskReading | None:
        mount = read_mount(tmp_path)
        return mount and DiskReading(0, 1_000, mount.free_bytes, 0, inodes_free=mount.inodes_free)

    with Watchdog(disk, MemorySensor().read) as watchdog:
        assert watchdog.verdict.disk.free_bytes > 0
        assert watchdog.verdict.memory.used_bytes > 0

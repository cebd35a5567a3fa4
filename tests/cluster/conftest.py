"""An undisturbed run with five actors, and what was seen of it while it worked."""

import errno
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from tests.support.runs import Run, kill, shared_memory
from tests.support.stores import contents

LONG = "ein-ziemlich-langer-name-fuer-einen-ordner"
"""Three of them are longer than the path of a socket may be."""


@dataclass
class Straight:
    """The run, its store's contents, and what was seen at its first committed shard."""

    run: Run
    options: list[str]
    memory_before: set[str]
    status: int = -1
    expected: dict[str, str] = field(default_factory=dict)
    actors: int = 0
    listening: set[str] = field(default_factory=set)
    auth_modes: set[str] = field(default_factory=set)
    object_store_bytes: int = -1


class SmallDisk:
    """A file system of its own at *folder*, in a mount namespace: *enter* runs a command there, *seen* looks in."""

    def __init__(self, folder, holder):
        self.folder = folder
        self.seen = Path(f"/proc/{holder.pid}/root{folder}")
        self.enter = ["nsenter", f"--target={holder.pid}", "--user", "--preserve-credentials", "--mount"]

    def fill(self, leave_bytes):
        """Takes all room but *leave_bytes*, also while a stopped process still ends the write it was in."""
        with (self.seen / "somebody-elses").open("wb") as file:
            while not self._taken(file, leave_bytes):
                pass

    def free(self):
        (self.seen / "somebody-elses").unlink()

    def _taken(self, file, leave_bytes):
        """Whether the room counted now was still there to take."""
        now = os.statvfs(self.seen)
        size = os.fstat(file.fileno()).st_size + now.f_bavail * now.f_bsize - leave_bytes
        try:
            os.posix_fallocate(file.fileno(), 0, max(1, size))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return False
        return True


@pytest.fixture(scope="session")
def straight(tmp_path_factory, demo_corpus, demo_model):
    options = ["--source", str(demo_corpus), "--model", str(demo_model), "--no-report", "--no-metrics"]
    folder = tmp_path_factory.mktemp("straight") / LONG / LONG / LONG
    folder.mkdir(parents=True)
    run = Run(folder / "store", options)
    seen = Straight(run, options, shared_memory())
    assert run.until(run.committed), run.messages()
    with run.held():
        _look(seen)
    seen.status = run.wait()
    seen.expected = contents(run.store)
    return seen


@pytest.fixture
def start(straight, tmp_path):
    """Starts runs as the undisturbed one was, each on its own store unless told otherwise; ends what is left."""
    runs = []

    def start_run(*more, store=tmp_path / "store", prefix=(), **environment):
        runs.append(Run(store, [*straight.options, *more], environment, prefix))
        return runs[-1]

    yield start_run
    for run in runs:
        run.end()
        for process in run.processes():
            kill(process)


@pytest.fixture
def small_disk(tmp_path):
    mount = 'mount -t tmpfs -o size=100m none "$0" && echo mounted && exec sleep 600'
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "mounted\n"
        yield SmallDisk(tmp_path, holder)
        holder.kill()


def _look(seen):
    processes = [psutil.Process(seen.run.process.pid), *seen.run.processes()]
    connections = [found for process in processes for found in process.net_connections("inet")]
    seen.listening = {found.laddr.ip for found in connections if found.status == psutil.CONN_LISTEN}
    seen.actors = len(seen.run.actors())
    own = [*seen.run.named("raylet"), *seen.run.named("gcs_server")]
    seen.auth_modes = {process.environ().get("RAY_AUTH_MODE", "none") for process in own}
    seen.object_store_bytes = _touched(seen.run.named("raylet")[0].pid, "plasma")


def _touched(pid, name):
    """Bytes of the mappings of files called *name* that process *pid* has ever used."""
    total, counts = 0, False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if "-" in line.split()[0]:
            counts = name in line
        elif counts and line.startswith("Rss:"):
            total += int(line.split()[1]) * 1024
    return total

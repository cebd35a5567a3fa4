"""An undisturbed run with five actors, and what was seen of it while it worked."""

import errno
import fcntl
import json
import os
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
import pytest

from tests.support.runs import MANY_SHARDS, Run, kill, shared_memory
from tests.support.scraper import Scraped, Scraper, port_of
from tests.support.stores import contents

LONG = "ein-ziemlich-langer-name-fuer-einen-ordner"
"""Three of them are longer than the path of a socket may be."""
OBSERVED = ("--report", "--metrics", "--metrics-port", "0", "--metrics-linger", "2", "--actors", "5")
"""The run shows all that a run can show. Others are spared what they are not about."""


@dataclass(frozen=True)
class Straight:
    """The *options* that it shares with other runs, what it made, said and left, and what was *seen* from outside."""

    store: Path
    options: list[str]
    status: int
    stderr: str
    stdout: str
    expected: dict[str, str]
    left_in_memory: list[str]
    seen: "Seen"
    scraped: Scraped


@dataclass(frozen=True)
class Seen:
    """At the first committed shard: *listening* are addresses and ports, *token* is what Ray's own servers ask for.

    *scripts* are the files that its processes of Python run, where they have not renamed themselves.
    """

    actors: int
    scripts: list[str]
    listening: list[tuple[str, int]]
    port: int
    auth_modes: list[str]
    token: str
    object_store_bytes: int


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
def straight(shared_folder, demo_corpus, demo_model):
    """Made by the test process that needs it first; another waits for it."""
    told = shared_folder / "straight.json"
    with (shared_folder / "straight.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not told.exists():
            options = ["--source", str(demo_corpus), "--model", str(demo_model), "--no-report", "--no-metrics"]
            options += MANY_SHARDS
            folder = shared_folder / "straight" / LONG / LONG / LONG
            folder.mkdir(parents=True, exist_ok=True)
            told.write_text(json.dumps(asdict(_observed(folder / "store", options)), default=str))
    found = json.loads(told.read_text())
    store, seen, scraped = Path(found.pop("store")), Seen(**found.pop("seen")), Scraped(**found.pop("scraped"))
    return Straight(store=store, seen=seen, scraped=scraped, **found)


@pytest.fixture
def start(straight, tmp_path):
    """Starts runs like the undisturbed one, each on its own store unless told otherwise; ends what is left.

    Three more actors would be seconds of start-up, and make the same.
    """
    runs = []

    def start_run(*more, store=tmp_path / "store", prefix=(), actors=2, **environment):
        runs.append(Run(store, [*straight.options, "--actors", str(actors), *more], environment, prefix))
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


def _observed(store, options):
    before = shared_memory()
    run = Run(store, [*options, *OBSERVED])
    try:
        assert run.until(lambda: port_of(run)), run.messages()
        with Scraper(port_of(run)) as scraper:
            assert run.until(lambda: run.committed() and len(run.actors()) == 5), run.messages()
            with run.held():
                seen = _look(run, scraper.port)
            status = run.wait()
    finally:
        run.end()
    left = [name for name in shared_memory() - before if "plasma" in name]
    stdout = run.stdout.read_text()
    return Straight(store, options, status, run.messages(), stdout, contents(store), left, seen, scraper.seen)


def _look(run, port):
    processes = [psutil.Process(run.process.pid), *run.processes()]
    connections = [found for process in processes for found in process.net_connections("inet")]
    own = [process.environ() for process in (*run.named("raylet"), *run.named("gcs_server"))]
    return Seen(
        actors=len(run.actors()),
        scripts=[Path(word).name for process in processes for word in process.cmdline() if word.endswith(".py")],
        listening=sorted({tuple(found.laddr) for found in connections if found.status == psutil.CONN_LISTEN}),
        port=port,
        auth_modes=sorted({environment.get("RAY_AUTH_MODE", "none") for environment in own}),
        token=own[0]["RAY_AUTH_TOKEN"],
        object_store_bytes=_touched(run.named("raylet")[0].pid, "plasma"),
    )


def _touched(pid, name):
    """Bytes of the mappings of files called *name* that process *pid* has ever used."""
    total, counts = 0, False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if "-" in line.split()[0]:
            counts = name in line
        elif counts and line.startswith("Rss:"):
            total += int(line.split()[1]) * 1024
    return total

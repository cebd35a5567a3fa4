"""`python -m preprocess.run` as a person types it, the processes that it starts, and what it leaves behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from preprocess.workspace.processes import belonging, store_mark
from tests.support.stores import store_uuid

REPOSITORY = Path(__file__).resolve().parents[2]
SHARED_MEMORY = Path("/dev/shm")
MANY_SHARDS = ("--shard-size", "150kB")
"""Sixty clips of the demo become 30 shards; by itself so small a data set would be two."""
PATIENCE_SECONDS = 240.0
"""How long is waited for what comes within seconds where nobody else has the cores."""


@dataclass
class Run:
    """One run on *store*, in a session of its own; output goes to `NAME.out` and `NAME.err` beside the store.

    *prefix* is a command that runs the command, such as nsenter.
    """

    store: Path
    options: Sequence[str]
    environment: dict[str, str] = field(default_factory=dict)
    prefix: Sequence[str] = ()

    def __post_init__(self) -> None:
        base = self.store.parent
        self.stdout, self.stderr = (base / f"{self.store.name}.{name}" for name in ("out", "err"))
        command = [sys.executable, "-m", "preprocess.run", "--store", str(self.store), "--view", "json", *self.options]
        command = [*self.prefix, *command]
        path = os.pathsep.join(filter(None, [self.environment.pop("PYTHONPATH", ""), str(REPOSITORY)]))
        environment = os.environ | {"PYTHONPATH": path} | self.environment
        with self.stdout.open("wb") as out, self.stderr.open("wb") as err:
            self.process = subprocess.Popen(
                command, cwd=base, env=environment, stdout=out, stderr=err, start_new_session=True
            )

    def wait(self, timeout_seconds: float = PATIENCE_SECONDS) -> int:
        """The exit status; negative for a signal."""
        return self.process.wait(timeout_seconds)

    def messages(self) -> str:
        """What the run said on stderr so far."""
        return self.stderr.read_text()

    def processes(self) -> list[psutil.Process]:
        """Everything that the run has started and that lives."""
        return processes_of(self.store)

    def named(self, name: str) -> list[psutil.Process]:
        """Those of `processes` that are called *name*, in the order of their start."""
        return sorted((process for process in self.processes() if is_called(process, name)), key=started)

    def actors(self) -> list[psutil.Process]:
        """The actors."""
        return self.named("ray::_FeatureActor")

    def until(self, condition: Callable[[], object], timeout_seconds: float = PATIENCE_SECONDS) -> bool:
        """Waits until *condition* holds; False when the run ended or the time was up before."""
        end = time.monotonic() + timeout_seconds
        while True:
            began = time.monotonic()
            if condition():
                return True
            if self.process.poll() is not None or began > end:
                return False
            # A look at all processes takes a core for a while; most of the time is the run's.
            time.sleep(max(0.02, 3 * (time.monotonic() - began)))

    def committed(self) -> int:
        """Shards that are committed."""
        return sum(1 for _ in self.store.glob("data/*.parquet"))

    def signal_group(self, number: signal.Signals) -> None:
        """Sends a signal as a terminal does: to the run's whole process group."""
        os.killpg(self.process.pid, number)

    @contextmanager
    def held(self, *, everyone: bool = False) -> Iterator[None]:
        """Stops the run's own process meanwhile, so that it hands out no further work; actors end what they are at.

        With *everyone* its actors and all of Ray stand still, too, those that are still starting as well.
        """
        pids = [self.process.pid, *(process.pid for process in self.processes() if everyone)]
        for pid in pids:
            _signal(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                _signal(pid, signal.SIGCONT)

    def end(self) -> None:
        """Kills the run itself if it still goes on; what it started it leaves as it is."""
        self.process.kill()
        self.process.wait()


def is_called(process: psutil.Process, name: str) -> bool:
    try:
        return process.name() == name or (process.cmdline()[:1] != [] and process.cmdline()[0].startswith(name))
    except psutil.Error:
        return False


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def started(process: psutil.Process) -> float:
    try:
        return process.create_time()
    except psutil.Error:
        return 0.0


def kill(process: psutil.Process) -> None:
    """kill -9, where it still lives."""
    with suppress(psutil.NoSuchProcess):
        process.kill()


def shared_memory() -> set[str]:
    """Names in /dev/shm."""
    return {path.name for path in SHARED_MEMORY.iterdir()}


def left_behind(store: Path) -> list[str]:
    """What an ended run must not leave: processes, unfinished bytes, Ray's folder, a link to it."""
    found = [f"process {process.pid}" for process in processes_of(store)]
    found += [str(path) for path in (store / ".partial").rglob("*")]
    links = Path("/tmp").glob("speech-prep-*")
    return found + [str(link) for link in links if link.resolve().is_relative_to(store.resolve())]


def processes_of(store: Path) -> list[psutil.Process]:
    """Live processes of any run on *store*, but for this one and those that started it."""
    uuid = store_uuid(store)
    return list(belonging(store_mark(store, uuid), store / ".partial" / "ray")) if uuid else []

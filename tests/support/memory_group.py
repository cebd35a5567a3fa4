"""A memory cgroup (version 1) of one's own with a limit, and a hog that takes memory in it when told. Needs root."""

import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.sampler import Maximum

ROOT = Path("/sys/fs/cgroup/memory")
ENTER = 'echo $$ > "$0"/cgroup.procs && exec "$@"'
HOG = """
import sys
held = bytearray()
for line in sys.stdin:
    wanted = int(line)
    del held[wanted:]
    while len(held) < wanted:
        held += b"x" * min(8 << 20, wanted - len(held))
    print(len(held), flush=True)
"""
END_SECONDS = 10.0


class MemoryGroup:
    """A cgroup of at most *limit_bytes*. A context manager; on leaving, whatever is in it is killed.

    *enter* is a command that runs a command in it.
    """

    def __init__(self, name: str, limit_bytes: int) -> None:
        self.folder = ROOT / name
        self.folder.mkdir()
        self.limit_bytes = limit_bytes
        (self.folder / "memory.limit_in_bytes").write_text(str(limit_bytes))
        self.enter = ["sh", "-c", ENTER, str(self.folder)]
        self._working_set = Maximum(lambda: self.working_set_bytes)

    def __enter__(self) -> Self:
        self._working_set.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._working_set.__exit__(kind, error, trace)
        end = time.monotonic() + END_SECONDS
        while time.monotonic() < end:
            for pid in (self.folder / "cgroup.procs").read_text().split():
                subprocess.run(["kill", "-9", pid], check=False, stderr=subprocess.DEVNULL)
            with suppress(OSError):
                self.folder.rmdir()
                return
            time.sleep(0.05)
        raise TimeoutError(f"{self.folder} is still in use")

    @property
    def most_bytes(self) -> int:
        """The largest working set so far."""
        return self._working_set.most_bytes

    @property
    def working_set_bytes(self) -> int:
        """Usage less inactive file cache at this moment."""
        statistics = dict(line.split() for line in (self.folder / "memory.stat").read_text().splitlines())
        usage = int((self.folder / "memory.usage_in_bytes").read_text())
        return max(0, usage - int(statistics["total_inactive_file"]))

    @property
    def oom_kills(self) -> int:
        """Processes that the kernel killed here for want of memory."""
        lines = dict(line.split() for line in (self.folder / "memory.oom_control").read_text().splitlines())
        return int(lines["oom_kill"])


class Hog:
    """A process in *group* that holds as much memory as it is told to. A context manager."""

    def __init__(self, group: MemoryGroup) -> None:
        self._group = group

    def __enter__(self) -> Self:
        command = [*self._group.enter, sys.executable, "-c", HOG]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.held_bytes = 0
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def hold(self, num_bytes: int) -> None:
        """Holds *num_bytes* from now on; returns when it does."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{max(0, num_bytes)}\n")
        self._process.stdin.flush()
        self.held_bytes = int(self._process.stdout.readline())

    def fill_to(self, share: float) -> None:
        """Holds so much that the group's working set is *share* of its limit."""
        wanted = int(self._group.limit_bytes * share) - self._group.working_set_bytes
        self.hold(self.held_bytes + wanted)

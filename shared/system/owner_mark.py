"""Who owns something unfinished: a process, named so that any other can tell later whether it still lives.

Who holds a folder is `shared/system/locks.py`'s: a lock ends with its process, a file's name does not.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Self

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE = Path("/proc/self/ns/pid")
_BOOT_DIGITS = 12
_BOOT = f"(?P<boot>[0-9a-f]{{{_BOOT_DIGITS}}}|)"
_PID = "(?P<pid>[1-9][0-9]{0,6})"
_MARK = re.compile(rf"(?P<host>.+)~{_BOOT}~(?P<namespace>[0-9]+)~{_PID}~(?P<started>[0-9]+)")
_OLD_MARK = re.compile(rf"(?P<host>.+)-[1-9][0-9]{{0,6}}-{_PID}")
"""Of earlier versions: host, process of the run, and owner."""


class Life(Enum):
    """What can be said about an owner from here."""

    ALIVE = "alive"
    DEAD = "provably dead"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class OwnerMark:
    """A process: *boot* of *host*, the *namespace* that *pid* counts in (a container has its own), and *started*.

    *started* is in clock ticks since the boot and tells it from a later process of the same number. What a mark of an
    earlier version does not say is empty ('' and 0).
    """

    host: str
    boot: str
    namespace: int
    pid: int
    started: int

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The mark that *text* states; None for a text that is none."""
        if match := _MARK.fullmatch(text):
            numbers = (int(match[name]) for name in ("namespace", "pid", "started"))
            return cls(match["host"], match["boot"], *numbers)
        match = _OLD_MARK.fullmatch(text)
        return cls(match["host"], "", 0, int(match["pid"]), 0) if match else None

    @property
    def text(self) -> str:
        """The mark as a part of a file's name."""
        return f"{self.host}~{self.boot}~{self.namespace}~{self.pid}~{self.started}"

    def life(self, here: "OwnerMark", started: Callable[[int], int | None]) -> Life:
        """Whether the owner lives, as far as the process *here* can tell; *started* as `process_start`.

        Process numbers of another host or namespace say nothing here; no process outlives its host's boot.
        """
        if self.host != here.host:
            return Life.UNKNOWN
        if self.boot and here.boot and self.boot != here.boot:
            return Life.DEAD
        if self.namespace and self.namespace != here.namespace:
            return Life.UNKNOWN
        found = started(self.pid)
        return Life.DEAD if found is None or (self.started and found != self.started) else Life.ALIVE


def own_mark() -> OwnerMark:
    """The mark of this process."""
    # Some sandboxes have no boot id; all boots of such a host look the same.
    boot = _BOOT_ID.read_text().strip().replace("-", "")[:_BOOT_DIGITS] if _BOOT_ID.exists() else ""
    namespace, pid = _NAMESPACE.stat().st_ino, os.getpid()
    return OwnerMark(os.uname().nodename, boot, namespace, pid, process_start(pid) or 0)


def process_start(pid: int) -> int | None:
    """When process *pid* of this namespace started, in clock ticks since the boot; None for a dead one or a zombie."""
    try:
        # proc_pid_stat(5); the name in brackets may hold blanks and brackets.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in {b"Z", b"X"} else int(fields[19])


def is_provably_dead(mark: OwnerMark) -> bool:
    """Whether the owner's process is gone for certain: all else may still be writing."""
    return mark.life(own_mark(), process_start) is Life.DEAD

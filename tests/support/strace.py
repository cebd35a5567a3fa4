"""strace: hold of a running process, faults at chosen system calls, and the order in which calls were made."""

import re
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

LINE = re.compile(r"(?P<pid>\d+) +(?P<name>\w+)\((?P<arguments>.*)\) += (?P<result>-?\d+|\?)")
UNFINISHED = " <unfinished ...>"
RESUMED = re.compile(r"\d+ +<\.\.\. \w+ resumed>")


@dataclass(frozen=True, slots=True)
class Call:
    """One system call that returned; *arguments* as strace prints them, with a path behind each descriptor."""

    pid: int
    name: str
    arguments: str
    result: int

    @property
    def path(self) -> str:
        """The path of the first argument that names a file: `3</a/b>` or `"/a/b"`."""
        found = re.search(r'<([^>]*)>|"([^"]*)"', self.arguments.replace("AT_FDCWD<", "AT_FDCWD "))
        return (found[1] or found[2] or "") if found else ""

    @property
    def last_path(self) -> str:
        """The path of the last quoted argument: the new name in a rename or a link."""
        quoted = re.findall(r'"([^"]*)"', self.arguments)
        return quoted[-1] if quoted else ""


@contextmanager
def traced(pids: int | Sequence[int], names: str, log: Path, *inject: str, paths: Sequence[str] = ()) -> Iterator[None]:
    """Traces *pids* and their threads for system calls *names* while the block runs; *inject* as strace takes it.

    With *paths* only calls on these count. Processes are traced from the block's first line on; the block ends when
    strace does, with the last process.
    """
    pids = [pids] if isinstance(pids, int) else pids
    faults = [f"--inject={fault}" for fault in inject]
    command = ["strace", "-f", "-y", "-s", "0", "-o", str(log), f"--trace={names}", *faults]
    command += [f"--trace-path={path}" for path in paths] + [f"--attach={pid}" for pid in pids]
    # -s 0 would cut no path: strace prints file names whole.
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr is not None
        for _ in pids:
            # What it says of a path by a link that is there already is no answer.
            first = next(line for line in strace.stderr if "Requested path" not in line)
            assert "attached" in first, first
        try:
            yield
            strace.communicate(timeout=60)
        finally:
            strace.kill()


def calls(log: Path) -> list[Call]:
    """The calls in *log*, in the order they began; those that a kill cut short are left out."""
    found = (LINE.match(line) for line in _whole(log.read_text().splitlines()))
    return [
        Call(int(match["pid"]), match["name"], match["arguments"], int(match["result"]))
        for match in found
        if match and match["result"] != "?"
    ]


def _whole(lines: Sequence[str]) -> list[str]:
    """*lines* with those joined that strace parts where another thread's call came in between."""
    found: list[str] = []
    begun: dict[str, int] = {}
    for line in lines:
        pid = line.partition(" ")[0]
        if line.endswith(UNFINISHED):
            begun[pid] = len(found)
            found.append(line.removesuffix(UNFINISHED))
        elif (resumed := RESUMED.match(line)) and pid in begun:
            found[begun.pop(pid)] += line[resumed.end() :]
        else:
            found.append(line)
    return found


def most_by_one(made: list[Call]) -> int:
    """How many calls the busiest thread made; strace counts a fault's `when` for each thread by itself."""
    return max(Counter(call.pid for call in made).values(), default=0)

"""Runs without Ray in forked children (tests/fault/rehearsal.py), undisturbed or with a fault at one system call."""

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.support.runs import REPOSITORY
from tests.support.strace import Call, calls, traced

SCRIPT = REPOSITORY / "tests" / "fault" / "rehearsal.py"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one run ended: exit *status* (negative for a signal), what it said, and *calls* where it was traced."""

    status: int
    stdout: str
    stderr: str
    pid: int
    calls: tuple[Call, ...] = ()

    @property
    def acknowledged(self) -> list[str]:
        """File names of the shards that the run was told are committed, in order."""
        return re.findall(r"^acknowledged (\S+)$", self.stdout, re.MULTILINE)


class Rehearsals:
    """Starts the forking server on *source* and *model*; everything goes into *folder*. A context manager."""

    def __init__(self, source: Path, model: Path, folder: Path) -> None:
        self._folder = folder
        command = [sys.executable, str(SCRIPT), str(source), str(model)]
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "CACHE_DIR": str(folder / "cache")}
        self._server = subprocess.Popen(
            command, env=environment, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.communicate()

    def run(self, store: Path, names: str = "", *inject: str) -> Outcome:
        """One run on *store*; with *names* traced, and with faults as in `strace.traced`."""
        output, log = self._folder / "output", self._folder / "strace.log"
        self._ask({"store": str(store), "output": str(output), "held": bool(names)})
        pid = int(self._answer())
        if names:
            with traced(pid, names, log, *inject):
                os.kill(pid, signal.SIGUSR1)
        status = int(self._answer())
        made = tuple(calls(log)) if names else ()
        stdout, stderr = (output.with_suffix(suffix).read_text() for suffix in (".out", ".err"))
        return Outcome(status, stdout, stderr, pid, made)

    def _ask(self, request: dict[str, object]) -> None:
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()

    def _answer(self) -> str:
        assert self._server.stdout is not None
        return self._server.stdout.readline()

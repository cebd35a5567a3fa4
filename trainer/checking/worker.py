"""Processes that a check starts, and what becomes of them: each has its time, and none that hangs is left behind."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic
from typing import IO, Any, Self

from shared.system.signal_names import signal_name
from trainer.checking.scope import Scope
from trainer.checking.world import Outcome

MODEL, STORE, OUTPUT, EXPORT = "model", "store", "output", "export"
"""Folders of a check, in its own."""
_GRACE_SECONDS = 10.0
_LATEST = 4_000
"""Characters of what a process printed last, for the report."""
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Task:
    """One *probe* of a machine that is tried as *scope* says, with files in *folder*."""

    probe: str
    scope: Scope
    folder: Path

    def to_json(self) -> str:
        """One line."""
        return json.dumps({"probe": self.probe, "scope": asdict(self.scope), "folder": str(self.folder)})

    @classmethod
    def from_json(cls, line: str) -> Self:
        """From `to_json`'s."""
        value = json.loads(line)
        return cls(value["probe"], Scope(**value["scope"]), Path(value["folder"]))

    @property
    def checkpoint(self) -> Path:
        """What the training leaves."""
        return self.folder / OUTPUT / "best"


@dataclass(slots=True)
class Worker:
    """A process of *module* that answers tasks in turn; started when it is first asked, and again where it ended."""

    folder: Path
    environment: Mapping[str, str]
    module: str = "trainer.checking.probes.serve"
    _process: subprocess.Popen[str] | None = field(default=None, init=False)
    _answers: IO[bytes] | None = field(default=None, init=False)

    def ask(self, task: Task, limit_seconds: float) -> Outcome:
        """What came of *task*, at the latest after *limit_seconds*."""
        log, started = self.folder / "worker.log", monotonic()
        process, answers = self._started(log)
        before = log.stat().st_size
        assert process.stdin is not None
        with suppress(BrokenPipeError):
            print(task.to_json(), file=process.stdin, flush=True)
        line = _line(answers, started + limit_seconds)
        more: dict[str, Any] = {"seconds": monotonic() - started, "said": said(log, before)}
        if not line:
            code = None if line is None else _status(process)
            self.close()
            return Outcome(trouble=how_it_ended(code, limit_seconds), **more)
        return Outcome.of(task.probe, json.loads(line), **more)

    def close(self) -> None:
        """Ends the process, if there is one: nothing of it is left, neither on a GPU nor in memory."""
        process, self._process = self._process, None
        if process is not None:
            kill(process)
            assert self._answers is not None
            assert process.stdin is not None
            self._answers.close()
            with suppress(BrokenPipeError):
                process.stdin.close()

    def _started(self, log: Path) -> tuple[subprocess.Popen[str], IO[bytes]]:
        if self._process is None or self._answers is None:
            reading, writing = os.pipe()
            self._answers = os.fdopen(reading, "rb", buffering=0)
            command = [sys.executable, "-m", self.module, str(writing)]
            with log.open("a") as output:
                self._process = subprocess.Popen(  # noqa: S603 - this program
                    command,
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=output,
                    text=True,
                    pass_fds=(writing,),
                    cwd=self.folder,
                    env=self.environment,
                    start_new_session=True,
                )
            os.close(writing)
        return self._process, self._answers


def run_within(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str], limit_seconds: float, log: Path
) -> int | None:
    """The exit status of `python -m ARGUMENTS`, which prints to *log*; None where it had to be ended after its time."""
    with log.open("w") as output:
        process = subprocess.Popen(  # noqa: S603 - this program
            [sys.executable, "-m", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
    try:
        return process.wait(limit_seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        _end(process)


def child_environment(environment: Mapping[str, str], dropped: Sequence[str]) -> dict[str, str]:
    """*environment* for processes of a check: without settings of the user's trainings, and with this program."""
    kept = {name: value for name, value in environment.items() if name.upper() not in dropped}
    path = os.pathsep.join(part for part in (str(_ROOT), environment.get("PYTHONPATH", "")) if part)
    # What NCCL says of a failure belongs into the report; nothing here is the Hub's.
    return {"NCCL_DEBUG": "WARN", **kept, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "HF_HUB_OFFLINE": "1"}


def how_it_ended(code: int | None, limit_seconds: float) -> str:
    """In words: a process that gave no answer, with status *code*, or None where its time was over."""
    if code is None:
        return f"did not end within {limit_seconds:.0f} s"
    return f"ended by {signal_name(-code)}" if code < 0 else f"ended with status {code}"


def said(log: Path, start: int = 0) -> str:
    """The end of what was printed to *log* from byte *start* on; "" where nothing was."""
    with suppress(OSError), log.open(encoding="utf-8", errors="replace") as file:
        file.seek(max(start, log.stat().st_size - _LATEST))
        return file.read()[-_LATEST:]
    return ""


def kill(process: subprocess.Popen[Any]) -> None:
    """Ends *process* and what it started, at once; it leads a session of its own."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _end(process: subprocess.Popen[Any]) -> None:
    """Asks *process* to stop, and again, as a launcher ends its ranks at the second time; then kills it."""
    try:
        for _ in range(2):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_GRACE_SECONDS)
    finally:
        # Also where whoever waits here loses patience.
        kill(process)


def _line(answers: IO[bytes], until: float) -> bytes | None:
    """The next line; b"" where there comes none any more, None where it is not there in time."""
    found = b""
    watched = select.poll()
    watched.register(answers, select.POLLIN)
    while not found.endswith(b"\n"):
        if not watched.poll(1_000 * max(0.0, until - monotonic())):
            return None
        part = answers.read(1 << 16)
        if not part:
            return b""
        found += part
    return found


def _status(process: subprocess.Popen[Any]) -> int | None:
    """The exit status of *process*, which speaks no more; None where it lives on all the same."""
    with suppress(subprocess.TimeoutExpired):
        return process.wait(_GRACE_SECONDS)
    return None

"""Commands as a user types them, but warm: forked from a server that has imported, and compiled, what they need.

A training has seconds of that before its first step. Everything else is its own: environment, output, exit status, what
signals do to it. What a process of its own or torchrun must show is started by those.
"""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from unittest.mock import patch

from torch.distributed import TCPStore

ROOT = Path(__file__).parents[2]
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.support.warm_modules"])


def _become(program: str, arguments: Sequence[str], environment: dict[str, str], output: str) -> None:
    """In the forked process: `python -m PROGRAM ARGUMENTS`, or `python PROGRAM.py ARGUMENTS`."""
    file = os.open(output, os.O_WRONLY | os.O_APPEND)
    for number in (1, 2):
        os.dup2(file, number)
    os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    # As in a new process; the server leaves Ctrl-C to others.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = [program, *arguments]
    if program.endswith(".py"):
        runpy.run_path(program, run_name="__main__")
    else:
        runpy.run_module(program, run_name="__main__", alter_sys=True)


class WarmProcess:
    """*program* in as many processes as *ranks*, who find each other as under torchrun; has what tests use of Popen.

    What all of them say is one output. The first that fails ends the others, as torchrun would.
    """

    def __init__(
        self, program: str, arguments: Sequence[str], environment: dict[str, str] | None = None, ranks: int = 1
    ) -> None:
        with NamedTemporaryFile(delete=False) as output:
            self._output = Path(output.name)
        self._status: int | None = None
        environments = [dict(os.environ if environment is None else environment)]
        if ranks > 1:
            # The ranks are its clients, so that its port can be any that is free.
            self._store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
            meeting = {
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(self._store.port),
                "TORCHELASTIC_USE_AGENT_STORE": "True",
                "WORLD_SIZE": str(ranks),
                "LOCAL_WORLD_SIZE": str(ranks),
            }
            numbers = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(ranks)]
            environments = [environments[0] | meeting | number for number in numbers]
        self._processes = [
            _context.Process(target=_become, args=(program, tuple(arguments), own, output.name), daemon=True)
            for own in environments
        ]
        # The first of all starts the server, which has to find this tree.
        with patch.dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1"):
            for process in self._processes:
                process.start()
        self.pid = self._processes[0].pid

    @property
    def returncode(self) -> int | None:
        """0 where all ended well, the status of the first that did not, negative for a signal; None while one runs."""
        if self._status is None:
            codes = [process.exitcode for process in self._processes]
            failed = [code for code in codes if code]
            self._status = failed[0] if failed else None if None in codes else 0
        return self._status

    def poll(self) -> int | None:
        """As of Popen."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """As of Popen."""
        end = time.monotonic() + (600 if timeout is None else timeout)
        while (code := self.returncode) is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 600)
            for process in self._processes:
                process.join(0.05)
        self._end_the_others()
        return code

    def communicate(self, timeout: float | None = None) -> tuple[str, None]:
        """As of Popen."""
        self.wait(timeout)
        said = self._output.read_text() if self._output.exists() else ""
        self._output.unlink(missing_ok=True)
        return said, None

    def send_signal(self, number: int) -> None:
        """As of Popen, to all ranks."""
        for process in self._processes:
            if process.is_alive():
                with suppress(ProcessLookupError):
                    os.kill(process.pid, number)

    def kill(self) -> None:
        """As of Popen."""
        self.send_signal(signal.SIGKILL)

    def _end_the_others(self) -> None:
        for process in self._processes:
            process.join(2)
            process.terminate()
            process.join(20)
            process.kill()
            process.join()

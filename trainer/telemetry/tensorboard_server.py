"""TensorBoard itself, beside a training and no longer than it, on this machine's own address only."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Self

from shared.errors import SpeechPrepError, UsageError
from trainer.telemetry.tensorboard import FOLDER

_HOST = "127.0.0.1"
_LOG_NAME = "tensorboard.log"
_USUAL_PORT, _TRIES = 6006, 20
_STOP_SECONDS = 5.0
_POLL_SECONDS = 0.1


class TensorBoardServer:
    """A running TensorBoard at *url*. A context manager.

    The process ends with `close`, and by itself when this process ends in any way, kill -9 too: it watches a pipe that
    the system closes then.
    """

    def __init__(self, url: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.url = url
        self._process, self._log = process, log

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def wait(self, timeout_seconds: float = 0.0) -> bool:
        """Whether it answers, at the latest after *timeout_seconds*. Raises SpeechPrepError when it has ended."""
        port = int(self.url.rstrip("/").rpartition(":")[2])
        deadline = time.monotonic() + timeout_seconds
        while not (answers := _answers(port)) and time.monotonic() < deadline:
            self._check()
            time.sleep(_POLL_SECONDS)
        self._check()
        return answers

    def close(self) -> None:
        """Ends the process and waits for it; a second call does nothing."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _check(self) -> None:
        if self._process.poll() is not None:
            raise SpeechPrepError(f"TensorBoard ended with status {self._process.returncode}", f"see {self._log}")


def start_tensorboard(log_dir: Path, port: int | None) -> TensorBoardServer:
    """Starts TensorBoard on what `TensorBoardWriter` writes in *log_dir*, at *port* of 127.0.0.1 (0: one that is free;
    None: its usual one, or the next that is free).

    Returns at once; the pages answer some seconds later (`TensorBoardServer.wait`). What it prints goes to
    `tensorboard.log` in *log_dir*. Raises UsageError when the port is taken.
    """
    port = _usual_port() if port is None else free_port(port)
    folder = log_dir.absolute() / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    # The fast loader does not read what `purge_step` says: a resumed run would show steps that are yet to be made.
    options = ["--logdir", str(folder), "--host", _HOST, "--port", str(port), "--load_fast=false"]
    log = log_dir.absolute() / _LOG_NAME
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - this module, with a folder and a number
            [sys.executable, "-m", __spec__.name, *options],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C is for the trainer, which then closes this one.
            start_new_session=True,
        )
    return TensorBoardServer(f"http://{_HOST}:{port}/", process, log)


def _usual_port() -> int:
    for port in range(_USUAL_PORT, _USUAL_PORT + _TRIES):
        with suppress(UsageError):
            return free_port(port)
    return free_port(0)


def free_port(port: int) -> int:
    """*port* of 127.0.0.1, or one that is free for 0. Raises UsageError where it is taken."""
    with socket.socket() as probe:
        # As servers do it: a port that only remembers old connections is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as error:
            message = f"no TensorBoard at {_HOST}:{port}: {error.strerror}"
            raise UsageError(message, "name another --tensorboard-port, or 0 for any that is free") from error
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    try:
        socket.create_connection((_HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def _end_with_parent() -> None:
    """Blocks until standard input ends, as it does with the process at its other end; then asks this one to end."""
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import_module("tensorboard.main").run_main()

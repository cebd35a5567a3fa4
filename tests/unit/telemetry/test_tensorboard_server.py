"""TensorBoard beside a training: there when asked for, gone with the training."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import pytest

from shared.errors import SpeechPrepError, UsageError
from trainer.telemetry import tensorboard_server
from trainer.telemetry.tensorboard import TensorBoardWriter
from trainer.telemetry.tensorboard_server import start_tensorboard


def test_the_port_of_tensorboard_that_is_taken_is_named(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UsageError, match=rf"127.0.0.1:{port}.*in use\n.*--tensorboard-port"):
            start_tensorboard(tmp_path, port)


def test_without_a_port_it_is_the_usual_one_or_the_next_that_is_free(tmp_path, monkeypatch):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        monkeypatch.setattr(tensorboard_server, "_USUAL_PORT", port)
        with start_tensorboard(tmp_path, None) as server:
            assert port < int(server.url.rstrip("/").rpartition(":")[2]) < port + 20


def test_tensorboard_shows_the_training_and_ends_when_it_is_closed(tmp_path):
    TensorBoardWriter(tmp_path, tmp_path / "run", None).close()
    with start_tensorboard(tmp_path, 0) as server:
        assert server.wait(120)
        with urlopen(f"{server.url}data/environment") as answer:
            assert json.load(answer)["data_location"] == str(tmp_path / "tensorboard")
    with pytest.raises(SpeechPrepError, match=r"TensorBoard ended with status .*\n.*tensorboard.log"):
        server.wait()


def test_tensorboard_ends_with_a_training_that_is_killed(tmp_path):
    program = (
        "import sys, time\nfrom pathlib import Path\n"
        "from trainer.telemetry.tensorboard_server import start_tensorboard\n"
        f"server = start_tensorboard(Path({str(tmp_path)!r}), 0)\n"
        "assert server.wait(120)\n"
        "print(server._process.pid, flush=True); time.sleep(600)"
    )
    trainer = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    child = int(trainer.stdout.readline())
    assert Path(f"/proc/{child}").exists()
    os.kill(trainer.pid, signal.SIGKILL)
    trainer.communicate()
    deadline = time.monotonic() + 120
    while is_running(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(child)


def is_running(pid):
    """Not gone, and not a zombie that nobody has waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False

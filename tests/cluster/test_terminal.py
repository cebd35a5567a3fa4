"""The live view of a real run in a pseudo-terminal of 80 x 24."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from contextlib import contextmanager, suppress

from tests.support.runs import PATIENCE_SECONDS, REPOSITORY, kill, processes_of

COLUMNS, LINES = 80, 24
CURSOR_HIDDEN, ALTERNATE_SCREEN = "\x1b[?25l", "\x1b[?1049h"
COLOUR = re.compile(r"\x1b\[[0-9;]*(3[0-8]|4[0-8]|9[0-7])[0-9;]*m")
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """Runs a command in a terminal and records what it writes there."""

    def __init__(self, command, cwd, environment):
        self._main, self._side = pty.openpty()
        fcntl.ioctl(self._side, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self.modes_before = termios.tcgetattr(self._side)
        self._recorded = []
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment,
            stdin=self._side,
            stdout=self._side,
            stderr=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        # The other end is closed when the test is over.
        with suppress(OSError):
            while data := os.read(self._main, 65_536):
                self._recorded.append(data)

    @property
    def text(self):
        """Everything so far."""
        return b"".join(self._recorded).decode(errors="replace")

    @property
    def modes(self):
        """The terminal's settings at this moment."""
        return termios.tcgetattr(self._side)

    def close(self):
        os.close(self._side)
        self._thread.join(5)
        os.close(self._main)


@contextmanager
def in_terminal(straight, tmp_path, *more, **environment):
    store = tmp_path / "store"
    command = [
        sys.executable,
        "-m",
        "preprocess.run",
        "--view",
        "live",
        *straight.options,
        "--store",
        str(store),
        *more,
    ]
    whole = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "COLUMNS", "LINES"}}
    whole |= {"TERM": "xterm-256color", "PYTHONPATH": str(REPOSITORY), **environment}
    terminal = Terminal(command, tmp_path, whole)
    try:
        yield terminal, store
    finally:
        terminal.process.kill()
        terminal.process.wait()
        for process in processes_of(store):
            kill(process)
        terminal.close()


def wait_until(terminal, condition):
    while not condition():
        assert terminal.process.poll() is None, terminal.text
        time.sleep(0.05)


def frames(text):
    """What each drawing of the view wrote, without escapes; a drawing begins with the way back to its first line."""
    return [ESCAPE.sub("", part) for part in re.split(r"(?:\x1b\[1A\x1b\[2K)+", text)]


def test_the_view_fits_the_window_shows_everything_and_ends_in_the_summary(straight, tmp_path):
    with in_terminal(straight, tmp_path) as (terminal, _):
        assert terminal.process.wait(PATIENCE_SECONDS) == 0, terminal.process.stderr.read()
        text = terminal.text
    drawn = [frame for frame in frames(text) if "Rows" in frame and "actor" in frame]
    assert len(drawn) > 5
    for frame in drawn[:-1]:
        lines = frame.rstrip("\r\n").split("\n")
        assert len(lines) <= LINES
        assert max(len(line.rstrip("\r")) for line in lines) <= COLUMNS
    busy = "\n".join(drawn)
    for words in ("Disk", "RAM", "clips/s", "ETA", "working", "train-0000", "in use"):
        assert words in busy
    assert COLOUR.search(text)
    assert "preprocess.verify" in ESCAPE.sub("", text)
    assert ALTERNATE_SCREEN not in text


def test_with_no_color_nothing_is_coloured(straight, tmp_path):
    with in_terminal(straight, tmp_path, "--actors", "1", NO_COLOR="1") as (terminal, store):
        wait_until(terminal, lambda: list(store.glob("data/*")))
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.process.wait(60) == 130, terminal.process.stderr.read()
        text = terminal.text
    assert "Rows" in text
    assert not COLOUR.search(text)


def test_after_kill_9_the_terminal_is_as_it_was(straight, tmp_path):
    with in_terminal(straight, tmp_path, "--actors", "1") as (terminal, _):
        wait_until(terminal, lambda: "Rows" in terminal.text)
        os.kill(terminal.process.pid, signal.SIGKILL)
        terminal.process.wait()
        assert terminal.modes == terminal.modes_before
        text = terminal.text
    assert CURSOR_HIDDEN not in text

"""python -m tests.support.killed_fetch STORE TO STEP: SIGKILL at every STEP-th call to the file system, then once more.

Prints at how many calls a fetch can be killed, and a line for everything that was wrong after a kill. A kill comes just
before Python opens, names, makes or removes a file of one of the two, in any thread.
"""

import os
import shutil
import signal
import sys
from contextlib import redirect_stdout
from itertools import count
from pathlib import Path

from shared.command.cli import run_command
from tests.support.stores import contents
from trainer.fetch import main

CALLS = {"open", "os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir"}


def fetched(store: Path, to: Path, kill_at: int) -> tuple[bool, int]:
    """Fetches in a forked process, which dies at call *kill_at*: whether it ended well, and its calls up to 65,535."""
    reader, writer = os.pipe()
    if not (pid := os.fork()):
        numbers = count()

        def audit(event: str, arguments: tuple[object, ...]) -> None:
            if event in CALLS and str(arguments[0]).startswith((str(store), str(to))) and next(numbers) == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(audit)
        with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
            given = ["--store", str(store), "--to", str(to), "--disk-reserve", "0", "--in-flight", "2"]
            status = run_command(main, given)
        os.write(writer, str(next(numbers)).encode())
        os._exit(status)
    os.close(writer)
    with os.fdopen(reader) as calls:
        number = int(calls.read() or 0)
    return os.waitpid(pid, 0)[1] == 0, number


def wrong_after(store: Path, to: Path, kill_at: int, wanted: dict[str, str]) -> str:
    """What is not as it has to be after a kill, and after the same command again."""
    fetched(store, to, kill_at)
    there = {name: digest for name, digest in contents(to).items() if not name.startswith(".partial")}
    if "COMPLETE" in there and there != wanted:
        return f"{kill_at}: COMPLETE stands in a store that is not whole"
    if not fetched(store, to, -1)[0]:
        return f"{kill_at}: the same command failed"
    return "" if contents(to) == wanted else f"{kill_at}: the same command made another store"


def play(store: Path, to: Path, step: int) -> None:
    """Kills at every *step*-th call."""
    wanted = contents(store)
    _, calls = fetched(store, to, -1)
    print(calls)
    for kill_at in range(0, calls, step):
        shutil.rmtree(to, ignore_errors=True)
        if wrong := wrong_after(store, to, kill_at, wanted):
            print(wrong)


if __name__ == "__main__":
    play(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))

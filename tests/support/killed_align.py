"""`python -m tests.support.killed_align FOLDER`: aligns a long recording and is killed before its first fsync, then its
second, and so on, each time in a new store, and goes on; prints a JSON line for each with how both ended.
"""

import contextlib
import io
import json
import os
import signal
import sys
from pathlib import Path

import preprocess.align
from shared.command.cli import run_command
from tests.support.long_speech import LONG_ROWS, hear, write_stub_model
from tests.support.samples import write_source


def align(folder: Path, store: Path, killed_before: int = 0) -> int:
    """The status in which a child process ends that is killed before so many fsyncs; 0: never."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    fsync, calls = os.fsync, iter(range(1, 1_000))

    def dying(descriptor: int) -> None:
        if next(calls) == killed_before:
            os.kill(os.getpid(), signal.SIGKILL)
        fsync(descriptor)

    os.fsync = dying
    named = ("--source", str(folder / "source"), "--store", str(store), "--model", str(folder / "model"))
    with contextlib.redirect_stdout(io.StringIO()):
        status = run_command(lambda argv: preprocess.align.main(argv, lambda _: hear), named)
    os._exit(status)


def main(folder: Path) -> None:
    write_source(folder / "source" / "train.parquet", LONG_ROWS[:2])
    write_stub_model(folder / "model")
    for number in range(1, 100):
        store = folder / f"store-{number}"
        ended = align(folder, store, number)
        again = align(folder, store)
        left = sorted(path.name for path in (store / "cuts").iterdir())
        print(json.dumps([ended, again, left, (store / "cuts" / "train.parquet").read_bytes().hex()]), flush=True)
        if ended != -signal.SIGKILL:
            break


if __name__ == "__main__":
    main(Path(sys.argv[1]))

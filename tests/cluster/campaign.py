"""`make kills`: random kills of real runs from a seed; each run is repeated until it ends, and must end the same.

python tests/cluster/campaign.py --kills 30 --seed 1
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from preprocess.demo.corpus import build_corpus
from preprocess.demo.model import build_model
from tests.support.runs import MANY_SHARDS, Run, left_behind, shared_memory
from tests.support.stores import contents, differences

ATTEMPTS = 3
HANGING = 120
"""Seconds after which a run hangs; no exit status has this value."""


def targets(run: Run, victim: str, rng: random.Random) -> list[psutil.Process]:
    """The processes that *victim* names, now."""
    if victim == "driver":
        return [psutil.Process(run.process.pid)]
    if victim in {"one actor", "two actors"}:
        actors = run.actors()
        return rng.sample(actors, min(len(actors), 1 + (victim == "two actors")))
    return run.named(victim.removesuffix(TOLD))


def strike(run: Run, victim: str, rng: random.Random) -> str:
    """Kills *victim* at a random moment; tells when that was."""
    marks: dict[str, Callable[[], object]] = {
        "the start": lambda: True,
        "Ray's folder": (run.store / ".partial" / "ray").exists,
        "the first actor": run.actors,
        "the first shard": run.committed,
        "half of the shards": lambda: run.committed() >= 15,
    }
    mark = rng.choice(list(marks))
    delay = rng.uniform(0, 2)
    run.until(marks[mark])
    time.sleep(delay)
    state = f"{run.committed()} shards, {'running' if run.process.poll() is None else 'ended'}"
    if victim == "the group":
        run.signal_group(signal.SIGKILL)
    elif victim == "a signal":
        run.signal_group(rng.choice([signal.SIGINT, signal.SIGTERM]))
    else:
        run.until(lambda: targets(run, victim, rng))
        for process in targets(run, victim, rng):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGTERM if victim.endswith(TOLD) else signal.SIGKILL)
    return f"{delay:.1f} s after {mark}, {state}"


TOLD = ", told to end"
"""By SIGTERM, in place of SIGKILL: what ends in order takes leave of the others, who act on that."""
VICTIMS = (
    *("raylet", "gcs_server", "driver", "one actor", "two actors", "the group", "a signal"),
    *(f"raylet{TOLD}", f"gcs_server{TOLD}"),
)
NOT_FATAL = {
    f"raylet{TOLD}": {0},
    f"gcs_server{TOLD}": {0, 1},
    "one actor": {0},
    "two actors": {0},
    "raylet": {0},
    # While Ray starts, the death of its server ends the process that waits for it, from within Ray.
    "gcs_server": {0, 1},
    # Python has not come to the first line of ours yet.
    "a signal": {0, 130, -signal.SIGINT, -signal.SIGTERM},
}
"""Exit statuses that a run may have when it is struck and goes on, or stops as it should; others are killed."""


def trial(number: int, folder: Path, options: list[str], expected: dict[str, str], rng: random.Random) -> list[str]:
    """One struck run and its repetitions; returns what is wrong."""
    victim, store, before = VICTIMS[number % len(VICTIMS)], folder / f"store-{number}", shared_memory()
    run, wrong, began = Run(store, options), [], time.monotonic()
    when = strike(run, victim, rng)
    statuses = [status(run)]
    spilled = "Traceback" in run.messages() and not (victim == "a signal" and statuses[0] == -signal.SIGINT)
    if spilled or statuses[0] not in NOT_FATAL.get(victim, {0, -signal.SIGKILL}):
        wrong.append(f"the struck run ended with {statuses[0]}: {run.messages()[-2000:]}")
    while statuses[-1] != 0 and len(statuses) < ATTEMPTS:
        run = Run(store, options)
        statuses.append(status(run))
    if statuses[-1] != 0:
        wrong.append(f"it does not finish: {run.messages()[-2000:]}")
    wrong += [f"differs: {name}" for name in differences(store, expected)]
    wrong += [f"left behind: {name}" for name in left_behind(store)]
    wrong += [f"left in /dev/shm: {name}" for name in shared_memory() - before if "plasma" in name]
    seconds = time.monotonic() - began
    print(f"{number:3d} {victim:24s} {when}; exits {statuses}, {seconds:.0f} s: {wrong or 'ok'}", flush=True)
    return wrong


def status(run: Run) -> int:
    """The exit status, or HANGING for a run that had to be ended."""
    try:
        return run.wait(HANGING)
    except subprocess.TimeoutExpired:
        return HANGING
    finally:
        run.end()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first kill, to repeat one")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        folder = Path(name)
        build_corpus(folder / "corpus", train_clips=48, test_clips=12)
        build_model(folder / "model")
        options = ["--source", str(folder / "corpus"), "--model", str(folder / "model"), *MANY_SHARDS]
        undisturbed = Run(folder / "undisturbed", options)
        if undisturbed.wait() != 0:
            print(undisturbed.messages())
            return 1
        expected = contents(folder / "undisturbed")
        verdicts = Counter(
            bool(trial(number, folder, options, expected, random.Random(f"{given.seed}-{number}")))
            for number in range(given.first, given.first + given.kills)
        )
    print(f"{verdicts[False]} passed, {verdicts[True]} failed")
    return int(bool(verdicts[True]))


if __name__ == "__main__":
    sys.exit(main())

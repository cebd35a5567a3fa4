"""A soak: real runs in a small memory cgroup on a small disk, beside a hog that takes both as it likes.

`soak.py [--minutes 10] [--seed 1]`: the same command again and again until the store is finished, then from nothing
until the time is up. Exits 1 when the kernel killed anybody for want of memory, the disk budget or the memory limit was
passed, a finished store is not what an undisturbed run makes, or the exit code is not the one that its end calls for.
"""

import argparse
import random
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from preprocess.demo.corpus import build_corpus
from preprocess.demo.model import build_model
from tests.support.ext4 import Ext4Disk
from tests.support.memory_group import Hog, MemoryGroup
from tests.support.runs import Run
from tests.support.sampler import Sampler
from tests.support.stores import contents, differences

MB = 1 << 20
LIMIT_BYTES = 1_600 * MB
DISK_BYTES = 600 * MB
BUDGET_BYTES = 330 * MB
RESERVE_BYTES = 30 * MB
REPEATS = 4
"""The demo corpus so many times over: a run of a minute or two."""
MEMORY_SHARES = (0.0, 0.0, 0.4, 0.6, 0.72, 0.82, 0.88, 0.92, 0.94, 0.97)
DISK_LEFT = (None, None, 200 * MB, 60 * MB, 20 * MB, 5 * MB)
"""Free bytes that the hog leaves, None: all that there are."""


@dataclass
class Tally:
    """What the soak has seen; *end* is when it is over, on the monotonic clock."""

    end: float
    exits: Counter[int] = field(default_factory=Counter)
    stores: int = 0
    wrong: list[str] = field(default_factory=list)
    most_disk_bytes: int = 0
    levels: Counter[str] = field(default_factory=Counter)


class Nuisance(threading.Thread):
    """Takes and gives back memory and disk at random, until `end`."""

    def __init__(self, hog: Hog, disk: Ext4Disk, rng: random.Random) -> None:
        super().__init__(daemon=True)
        self._hog, self._disk, self._rng = hog, disk, rng
        self._done = threading.Event()
        self.moves = 0

    def run(self) -> None:
        """One move every 1 to 8 seconds."""
        while not self._done.wait(self._rng.uniform(1, 8)):
            self.moves += 1
            if self._rng.random() < 0.6:
                self._hog.fill_to(self._rng.choice(MEMORY_SHARES))
            else:
                self._disk.free()
                left = self._rng.choice(DISK_LEFT)
                if left is not None and left < self._disk.free_bytes:
                    self._disk.fill(left)

    def end(self) -> None:
        """Gives everything back."""
        self._done.set()
        self.join()
        self._hog.hold(0)
        self._disk.free()


def main(argv: Sequence[str] | None = None) -> int:
    """Prints what was seen; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="speech-prep-soak-") as name:
        folder = Path(name)
        words = make_job(folder)
        straight = Run(folder / "straight", words)
        if straight.wait(600) != 0:
            print(straight.messages(), file=sys.stderr)
            return 1
        return soak(folder, words, contents(straight.store), options)


def make_job(folder: Path) -> list[str]:
    """A source and a model; returns the options that name them."""
    build_corpus(folder / "corpus")
    build_model(folder / "model", num_mel_bins=80)
    table = pa.concat_tables([pq.read_table(path) for path in sorted((folder / "corpus").rglob("train*.parquet"))])
    source = folder / "source" / "train.parquet"
    source.parent.mkdir()
    pq.write_table(pa.concat_tables([table] * REPEATS), source, row_group_size=50)
    return ["--source", str(source), "--model", str(folder / "model")]


def soak(folder: Path, words: list[str], expected: dict[str, str], options: argparse.Namespace) -> int:
    """Runs until the time is up."""
    limits = [
        "--disk-budget",
        str(BUDGET_BYTES),
        "--disk-reserve",
        str(RESERVE_BYTES),
        "--stall-timeout",
        "60",
        "--force",
    ]
    tally, rng = Tally(time.monotonic() + 60 * options.minutes), random.Random(options.seed)
    with (
        MemoryGroup(f"speech-prep-soak-{uuid.uuid4().hex[:8]}", LIMIT_BYTES) as group,
        Hog(group) as hog,
        Ext4Disk(folder, DISK_BYTES) as disk,
    ):
        nuisance = Nuisance(hog, disk, rng)
        nuisance.start()
        try:
            while time.monotonic() < tally.end:
                one_store(disk.folder / f"store-{tally.stores}", [*words, *limits], group, expected, tally)
        finally:
            nuisance.end()
        oom_kills, most = group.oom_kills, group.most_bytes
    return report(tally, nuisance.moves, oom_kills, most)


def one_store(store: Path, words: list[str], group: MemoryGroup, expected: dict[str, str], tally: Tally) -> None:
    """The same command until *store* is finished or the time is up; then the store is removed."""
    while time.monotonic() < tally.end:
        with Sampler(store) as sampler:
            run = Run(store, words, prefix=group.enter)
            status = run.wait(900)
        tally.exits[status] += 1
        tally.most_disk_bytes = max(tally.most_disk_bytes, sampler.most_bytes)
        tally.levels.update(line.split('"')[3].split(":")[0] for line in run.stdout.read_text().splitlines()
                            if line.startswith('{"event": "level'))  # fmt: skip
        print(f"{store.name}: exit {status}, {run.committed()} shards, {run.messages().splitlines()[:1]}", flush=True)
        if status not in {0, 3}:
            tally.wrong.append(f"exit {status}: {run.messages()}")
        if status == 0:
            tally.wrong += differences(store, expected)
            tally.stores += 1
            break
    for path in sorted(store.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()


def report(tally: Tally, moves: int, oom_kills: int, most_bytes: int) -> int:
    """Says what was seen; 1 when a promise was broken."""
    print(f"{tally.stores} stores finished, exits {dict(tally.exits)}, {moves} moves of the hog")
    print(f"levels entered: {dict(tally.levels)}")
    print(f"most disk {tally.most_disk_bytes / MB:.0f} of {BUDGET_BYTES / MB:.0f} MiB")
    print(f"largest working set {most_bytes / MB:.0f} of {LIMIT_BYTES / MB:.0f} MiB, {oom_kills} kernel OOM kills")
    for line in tally.wrong:
        print(f"wrong: {line}", file=sys.stderr)
    broken = tally.wrong or oom_kills or tally.most_disk_bytes > BUDGET_BYTES or most_bytes > LIMIT_BYTES
    return 1 if broken or not tally.stores else 0


if __name__ == "__main__":
    sys.exit(main())

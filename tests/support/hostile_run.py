"""The real service on hostile rows: a source is written, a run made and watched, and every row accounted for."""

import json
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pyarrow.dataset as ds

from tests.support.damage import mutated
from tests.support.hostile import hand_made
from tests.support.hostile_input import EITHER, WRITTEN, Hostile
from tests.support.runs import REPOSITORY, Run, left_behind
from tests.support.samples import write_source

ACTORS = 5
LOOK_SECONDS = 0.25
HANGING_SECONDS = 60
"""An actor that stays at one row for so long hangs."""
DEADLINE_SECONDS = 3_600


@dataclass
class Seen:
    """What was seen of one run. *wrong* is empty where it kept every promise, *suspects* are rows to look at.

    *peak_bytes* is each actor's largest resident set, libraries that all share included; *own_bytes* the largest set
    that was one actor's alone, as the service itself tells once a second.
    """

    status: int = -1
    seconds: float = 0.0
    written: dict[int, str] = field(default_factory=dict)
    quarantined: dict[int, str] = field(default_factory=dict)
    restarts: int = 0
    peak_bytes: dict[int, int] = field(default_factory=dict)
    own_bytes: int = 0
    longest_seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)
    suspects: set[int] = field(default_factory=set)

    def in_words(self):
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in Counter(self.quarantined.values()).most_common())
        return (
            f"{len(self.written) + len(self.quarantined):,} inputs, {len(self.written):,} written, "
            f"{len(self.quarantined):,} quarantined ({reasons}), {self.restarts} restarts, largest actor "
            f"{max(self.peak_bytes.values(), default=0) / 1e6:,.0f} MB (own {self.own_bytes / 1e6:,.0f} MB), "
            f"longest stay at one row {self.longest_seconds:.0f} s, {self.seconds:,.0f} s"
        )


def hostile_rows(seed: int, count: int) -> list[tuple[str, Hostile]]:
    """Names and inputs: *count* mutated ones, whose row ids are their numbers, then all hand-made ones."""
    changed = [(f"mutated/{seed}-{number}", Hostile(mutated(seed, number))) for number in range(count)]
    return changed + [(f"hand-made/{name}", item) for name, item in hand_made().items()]


def run_hostile(folder: Path, rows: Sequence[tuple[str, Hostile]], model: Path, say: Callable[[str], object]) -> Seen:
    """Runs the service on *rows* in *folder* and checks all that it promises; *say* gets a line of progress."""
    source = write_source(folder / "source/data/train-00000-of-00001.parquet", _source_rows(rows)).parents[1]
    options = ["--source", str(source), "--model", str(model), "--max-quarantine", "100%", "--actors", str(ACTORS)]
    options += ["--shard-size", "1MB"]
    run, seen, began = Run(folder / "store", options), Seen(), time.monotonic()
    try:
        _watch(run, seen, say, began)
    finally:
        run.end()
    seen.seconds = time.monotonic() - began
    _judge_run(run, seen)
    if seen.status == 0:
        _judge_rows(run.store, rows, seen)
    return seen


def _source_rows(rows):
    return [(item.encoded, name, "Guten Tag") for name, item in rows]


def _watch(run, seen, say, began):
    """Reads the peak of every actor's memory until the run ends."""
    said = began
    while run.process.poll() is None and time.monotonic() - began < DEADLINE_SECONDS:
        for process in run.actors():
            with suppress(OSError, StopIteration, psutil.Error):
                seen.peak_bytes[process.pid] = _peak_bytes(process.pid)
        if time.monotonic() - said > 5:
            said = time.monotonic()
            last = (snapshots(run) or [{}])[-1]
            say(f"{said - began:.0f} s: {last.get('rows_done', 0):,} of {last.get('rows_total', 0):,} rows")
        time.sleep(LOOK_SECONDS)
    seen.status = run.process.poll() if run.process.poll() is not None else -1


def _peak_bytes(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def snapshots(run):
    """The run's JSON lines that tell its state; one that is being written is left out."""
    lines = run.stdout.read_text(errors="replace").split("\n")[:-1]
    return [json.loads(line) for line in lines if line.startswith("{") and '"actors"' in line]


def _judge_run(run, seen):
    states = snapshots(run)
    seen.restarts = sum(actor["restarts"] for actor in states[-1]["actors"]) if states else 0
    seen.longest_seconds = _longest_stay(states)
    seen.own_bytes = max((actor["memory_bytes"] for state in states for actor in state["actors"]), default=0)
    # What a decoder prints must not get among the lines that another program reads.
    others = [line for line in run.stdout.read_text(errors="replace").splitlines() if not line.startswith("{")]
    seen.wrong += [f"on stdout: {line}" for line in others[:5]]
    if "Traceback" in run.messages():
        seen.wrong.append(f"a traceback: {run.messages().partition('Traceback')[2][:2_000]}")
    if seen.status != 0:
        seen.wrong.append(f"the run ended with {seen.status}: {run.messages()[-2_000:]}")
    if seen.restarts or len(seen.peak_bytes) > ACTORS:
        seen.wrong.append(f"{seen.restarts} restarts, {len(seen.peak_bytes)} processes were actors")
    if seen.longest_seconds > HANGING_SECONDS:
        seen.wrong.append(f"an actor stayed at one row for {seen.longest_seconds:.0f} s")
    seen.wrong += [f"left behind: {name}" for name in left_behind(run.store)]


def _longest_stay(states):
    """The longest time that an actor was seen at the same row of the same unit."""
    since, longest = {}, 0.0
    for state in states:
        for actor in state["actors"]:
            number, place = actor["number"], (actor["unit"], actor["rows"])
            if not actor["unit"] or since.get(number, (None, 0))[0] != place:
                since[number] = (place, state["elapsed_seconds"])
            longest = max(longest, state["elapsed_seconds"] - since[number][1])
    return longest


def _judge_rows(store, rows, seen):
    seen.written, paths = _column(store / "data", "path"), _column(store / "quarantine", "path")
    seen.quarantined = _column(store / "quarantine", "reason")
    ends = defaultdict(list)
    for number, name in [*seen.written.items(), *paths.items()]:
        ends[number].append(name)
    _judge_outcomes(rows, seen, ends)
    if ends.keys() - set(range(len(rows))):
        seen.wrong.append("rows came out that were not put in")
    command = [sys.executable, "-m", "preprocess.verify", str(store)]
    verified = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)
    if verified.returncode != 0:
        seen.wrong.append(f"the store is damaged: {verified.stderr[-2_000:]}")


def _judge_outcomes(rows, seen, ends):
    """Each row once, as itself, and with the outcome that is certain; no row has killed anything."""
    for number, (name, item) in enumerate(rows):
        found = WRITTEN if number in seen.written else seen.quarantined.get(number, "lost")
        fine = found not in {"lost", "crashed"} and item.outcome in {EITHER, found} and ends[number] == [name]
        if not fine:
            seen.suspects.add(number)
            seen.wrong.append(f"input {number} ({name}): {found}, expected {item.outcome}; came out as {ends[number]}")


def _column(folder, name):
    """Row id to value of column *name*, over all files in *folder*."""
    if not any(folder.glob("*.parquet")):
        return {}
    table = ds.dataset(folder, format="parquet").to_table(columns=["row_id", name])
    return dict(zip(table["row_id"].to_pylist(), table[name].to_pylist(), strict=True))


def decoded_alone(folder: Path, encoded: Sequence[bytes]) -> list[tuple[object, int, float]]:
    """Outcome, bytes and seconds of each input, decoded without the service; `killed by ...` where it kills."""
    files = []
    for number, data in enumerate(encoded):
        (folder / str(number)).write_bytes(data)
        files.append(str(folder / str(number)))
    return _alone(files)


def _alone(files):
    command = [sys.executable, "-m", "tests.support.decode_alone", "--", *files]
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, timeout=600, check=False)
        ended = f"killed by {-done.returncode}: {done.stderr[-300:]}"
    except subprocess.TimeoutExpired:
        done, ended = None, "hangs"
    if done is not None and done.returncode == 0:
        return [tuple(result) for result in json.loads(done.stdout.splitlines()[-1])]
    if len(files) == 1:
        return [(ended, 0, 0.0)]
    middle = len(files) // 2
    return _alone(files[:middle]) + _alone(files[middle:])

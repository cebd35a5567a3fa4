"""A small job, the whole command from its start to its end, against `datasets.map` alone on the same clips in one run.

python tests/benchmarks/small_jobs.py [--clips 2000] [--rounds 3] [--actors 2] [--before TREE] [--work DIR]

Wall time and CPU time of all processes, in turns, medians of *rounds*; `datasets.map` counts from its first row to its
last, without starting Python, importing and loading. Of our command also when its first line came and how long each
phase took. *before* is another tree of this repository, whose command takes its turn: its ratio is that of a change.
On a busy machine only the ratios of CPU time travel.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from threading import Event, Thread

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))

from clips import make_corpus  # noqa: E402 - the repository is on the path only now
from watch import look_at_tree  # noqa: E402 - as above

from preprocess.demo.model import build_model  # noqa: E402 - as above
from preprocess.phases import Phase  # noqa: E402 - as above
from preprocess.workspace.environment import ONE_THREAD  # noqa: E402 - as above

_PHASES = {str(phase) for phase in Phase}


@dataclass
class Timed:
    """One command: *seconds* by the clock, those of CPU in its tree, and when its lines came."""

    seconds: float
    cpu_seconds: float
    lines: list[tuple[float, str]] = field(default_factory=list)

    @property
    def phases(self) -> dict[str, float]:
        """Seconds of each phase."""
        begun = [(at, name) for at, line in self.lines for name in _PHASES if line.endswith(f" {name}")]
        ends = [*(at for at, _ in begun[1:]), self.seconds]
        return {name: end - at for (at, name), end in zip(begun, ends, strict=True)}


def timed(command: list[str], tree: Path) -> Timed:
    """Runs *command* in *tree*; looks at all its processes twice a second, since Ray's actors are nobody's children."""
    started, spent, ended = time.perf_counter(), {}, Event()
    environment = os.environ | {"PYTHONPATH": str(tree), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tree, env=environment)

    def look() -> None:
        while not ended.wait(0.2):
            look_at_tree(process.pid, spent)

    thread = Thread(target=look)
    thread.start()
    lines = [(time.perf_counter() - started, line.rstrip()) for line in process.stdout]
    status, seconds = process.wait(), time.perf_counter() - started
    ended.set()
    thread.join()
    if status:
        raise SystemExit(f"{' '.join(command)} ended with status {status}")
    return Timed(seconds, sum(spent.values()), lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--actors", type=int, default=2, help="actors, and processes of datasets.map")
    parser.add_argument("--before", type=Path, help="another tree of this repository, such as a worktree of main")
    parser.add_argument("--work", type=Path, help="folder that keeps the clips for another run")
    options = parser.parse_args()
    os.environ |= ONE_THREAD
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        work = (options.work or Path(temporary)).absolute()
        corpus = make_corpus(work / f"flac-{options.clips}", "16 kHz FLAC", options.clips)
        build_model(work / "model", num_mel_bins=128)
        trees = {"preprocess.run": REPOSITORY} | ({"before": options.before.absolute()} if options.before else {})
        found: dict[str, list[Timed]] = {}
        for _ in range(options.rounds):
            for name, tree in trees.items():
                shutil.rmtree(work / "store", ignore_errors=True)
                command = [sys.executable, "-m", "preprocess.run", "--source", str(corpus), "--store"]
                command += [str(work / "store"), "--model", str(work / "model"), "--actors", str(options.actors)]
                found.setdefault(name, []).append(timed([*command, "--view", "plain", "--no-metrics"], tree))
            found.setdefault("datasets.map", []).append(_datasets_map(work, corpus, options.actors))
    _print(found)


def _datasets_map(work: Path, corpus: Path, processes: int) -> Timed:
    """Its wall time is its work's alone, its CPU time the whole command's."""
    folder = work / "datasets_map"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    script = str(Path(__file__).with_name("contenders.py"))
    command = [sys.executable, script, "datasets_map", str(corpus), str(folder), str(processes)]
    whole = timed([*command, str(work / "model" / "tokenizer.json")], REPOSITORY)
    shutil.rmtree(folder)
    line = next(line for _, line in reversed(whole.lines) if line.startswith("{"))
    return Timed(float(json.loads(line)["seconds"]), whole.cpu_seconds)


def _print(found: dict[str, list[Timed]]) -> None:
    theirs = found["datasets.map"]
    for name, rounds in found.items():
        seconds, cpu = median(one.seconds for one in rounds), median(one.cpu_seconds for one in rounds)
        wall = median(other.seconds / one.seconds for one, other in zip(rounds, theirs, strict=True))
        by_cpu = median(other.cpu_seconds / one.cpu_seconds for one, other in zip(rounds, theirs, strict=True))
        print(f"{name}: {seconds:.1f} s, {cpu:.1f} s of CPU; {wall:.1f} x datasets.map, {by_cpu:.1f} x of CPU")
        if rounds[0].lines:
            print(f"  first line after {median(one.lines[0][0] for one in rounds):.2f} s")
            for phase in rounds[0].phases:
                print(f"  {phase}: {median(one.phases.get(phase, 0.0) for one in rounds):.1f} s")


if __name__ == "__main__":
    main()

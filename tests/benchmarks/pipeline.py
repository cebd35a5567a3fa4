"""The whole pipeline, Ray included, against `datasets.map` and bare loops, on the same clips and cores in one run.

python tests/benchmarks/pipeline.py [--clips 1000] [--repeat 10] [--actors 2] [--rounds 3] [--json FILE] [--work DIR]

Contenders take turns, round by round, and medians are reported: on a busy machine only the ratios travel.
`datasets.map` works on the clips once; what is faster works on them *repeat* times, so that its rate is not that of a
second. Every library is held to one thread a process, which favours `datasets.map`. With --json, FILE gets all figures
and FILE.md (in place of .json) the table.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from clips import VARIANTS, make_corpus, repeat_corpus
from outcome import Outcome, of_contender, of_pipeline, parity
from table import checks, markdown, print_tables
from watch import watch

from preprocess.demo.model import build_model
from preprocess.workspace.environment import ONE_THREAD

NUM_MEL_BINS = 128
LOOPS = ("soundfile", "decode", "bare_loop")


@dataclass(frozen=True, slots=True)
class Plan:
    """What one run of the benchmark does; *work* holds clips, model and outputs."""

    clips: int
    repeat: int
    actors: int
    rounds: int
    work: Path

    @property
    def model(self) -> Path:
        return self.work / "model"


def main() -> int:
    """Measures, prints and writes; 1 where our features are not those of `WhisperFeatureExtractor`."""
    options = _options()
    os.environ |= ONE_THREAD
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        work = (options.work or Path(folder)).absolute()
        plan = Plan(options.clips, options.repeat, options.actors, options.rounds, work)
        build_model(plan.model, num_mel_bins=NUM_MEL_BINS)
        report = {variant: measure(plan, variant) for variant in options.variant or VARIANTS}
    print_tables(report)
    if options.json:
        content = {"clips": plan.clips, "repeat": plan.repeat, "actors": plan.actors, "variants": report}
        options.json.write_text(json.dumps(content, indent=2) + "\n")
        options.json.with_suffix(".md").write_text(markdown(report, plan.actors))
    return 0 if all(found["checks"]["features equal"]["ok"] for found in report.values()) else 1


def measure(plan: Plan, variant: str) -> dict:
    """All contenders on the clips of *variant*: medians, ratios and what the targets say."""
    corpus = make_corpus(plan.work / f"{variant.replace(' ', '-')}-{plan.clips}", variant, plan.clips)
    longer = repeat_corpus(corpus, corpus.with_name(f"{corpus.name}-x{plan.repeat}"), plan.repeat)
    rounds: list[dict[str, Outcome]] = []
    for number in range(plan.rounds):
        print(f"{variant}: round {number + 1} of {plan.rounds}", file=sys.stderr, flush=True)
        rounds.append({name: _contend(plan, name, longer) for name in LOOPS})
        rounds[-1]["ours"] = _contend(plan, "ours", longer)
        rounds[-1]["datasets_map"] = _contend(plan, "datasets_map", corpus)
    error = parity(plan.work / "ours" / "store", plan.work / "datasets_map" / "features.npy")
    found = {name: _median([outcomes[name] for outcomes in rounds]) for name in rounds[0]}
    return {
        "contenders": {name: asdict(outcome) for name, outcome in found.items()},
        "max_abs_error": error,
        "checks": checks(found, plan.actors, error),
    }


def _contend(plan: Plan, name: str, corpus: Path) -> Outcome:
    folder = plan.work / name
    shutil.rmtree(folder, ignore_errors=True)
    if name != "ours":
        script = str(Path(__file__).with_name("contenders.py"))
        tokenizer = str(plan.model / "tokenizer.json")
        command = [sys.executable, script, name, str(corpus), str(folder), str(plan.actors), tokenizer]
        return of_contender(watch(command, folder))
    command = [sys.executable, "-m", "preprocess.run", "--source", str(corpus), "--store", str(folder / "store")]
    command += ["--model", str(plan.model), "--actors", str(plan.actors), "--view", "json"]
    return of_pipeline(watch(command, folder))


def _median(outcomes: list[Outcome]) -> Outcome:
    """Each figure's median over the rounds."""
    values = [asdict(outcome) for outcome in outcomes]
    return Outcome(**{name: median(value[name] for value in values) for name in values[0]})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=1_000, help="clips of each variant")
    parser.add_argument("--repeat", type=int, default=10, help="how often all but datasets.map work on them")
    parser.add_argument("--actors", type=int, default=2, help="actors, and processes of the others")
    parser.add_argument("--rounds", type=int, default=3, help="rounds to take medians of")
    parser.add_argument("--variant", action="append", choices=list(VARIANTS), help="only this one")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--work", type=Path, help="folder that keeps the clips for another run")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

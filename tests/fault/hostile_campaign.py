"""The real service, five actors, on thousands of mutated audio files and all hand-made hostile ones.

python tests/fault/hostile_campaign.py --inputs 10000 --seed 1
python tests/fault/hostile_campaign.py --inputs 10000 --seed 1 --only 4711    one of them alone, without the service

Every input is a function of the seed and its number. An input that fails is saved and can be decoded alone.
"""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from preprocess.demo.model import build_model
from tests.support.hostile_run import decoded_alone, hostile_rows, run_hostile

HEAVY_BYTES = 300_000_000
SLOW_SECONDS = 60
BATCH = 500


def say(line):
    print(line, flush=True)


def alone(rows, numbers, folder):
    """Decodes the inputs *numbers* without the service; returns those that kill, hang, or take too much."""
    found, heaviest, slowest = {}, (0, ""), (0.0, "")
    for start in range(0, len(numbers), BATCH):
        part = numbers[start : start + BATCH]
        results = decoded_alone(folder, [rows[number][1].encoded for number in part])
        for number, (outcome, num_bytes, seconds) in zip(part, results, strict=True):
            heaviest = max(heaviest, (num_bytes, rows[number][0]))
            slowest = max(slowest, (seconds, rows[number][0]))
            fatal = isinstance(outcome, str) and outcome.startswith(("killed", "hangs"))
            if fatal or num_bytes > HEAVY_BYTES or seconds > SLOW_SECONDS or len(numbers) == 1:
                found[number] = f"{rows[number][0]}: {outcome}, {num_bytes / 1e6:,.1f} MB, {seconds:.2f} s"
    say(f"alone: most memory {heaviest[0] / 1e6:,.1f} MB ({heaviest[1]}), most time {slowest[0]:.2f} s ({slowest[1]})")
    return found


def report(rows, numbers, given):
    """Saves the inputs *numbers* and says how to replay them."""
    folder = Path(tempfile.mkdtemp(prefix="hostile-inputs-"))
    for number in sorted(numbers):
        path = folder / f"{given.seed}-{number}"
        path.write_bytes(rows[number][1].encoded)
        again = f"--inputs {given.inputs} --seed {given.seed} --only {number}"
        say(f"  input {number} ({rows[number][0]}) of seed {given.seed} is saved as {path}; replay: {again}")


def campaign(rows, given, folder):
    build_model(folder / "model")
    seen = run_hostile(folder, rows, folder / "model", say)
    (folder / "alone").mkdir()
    culprits = alone(rows, list(range(len(rows))), folder / "alone") if given.alone or seen.wrong else {}
    for line in [*seen.wrong, *culprits.values()]:
        say(f"WRONG: {line}")
    report(rows, seen.suspects | culprits.keys(), given) if seen.suspects or culprits else None
    say(f"seed {given.seed}: {seen.in_words()}: {'FAILED' if seen.wrong or culprits else 'passed'}")
    return int(bool(seen.wrong or culprits))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=10_000, help="mutated inputs; the hand-made ones come on top")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--only", type=int, help="decode this input alone; hand-made ones have the numbers after --inputs"
    )
    parser.add_argument("--alone", action="store_true", help="weigh every input by itself as well, without the service")
    given = parser.parse_args()
    rows = hostile_rows(given.seed, given.inputs)
    with tempfile.TemporaryDirectory(prefix="hostile-") as name:
        if given.only is None:
            return campaign(rows, given, Path(name))
        found = alone(rows, [given.only], Path(name))[given.only]
        say(found)
        report(rows, [given.only], given)
        return int("killed by" in found or "hangs" in found)


if __name__ == "__main__":
    sys.exit(main())

"""Plants every fault of `planted/*.txt` in a copy of this tree, one at a time, and lets its tests find it.

python tests/fault/planted_campaign.py                        all of them
python tests/fault/planted_campaign.py --only ledger tally/late-answers-counted    areas or single faults
python tests/fault/planted_campaign.py --check                plants nothing, and names what no longer can be planted

`caught` is a test that fails; `broken` is a fault or test that proves nothing: what it changes is not there once, a
test does not even start, or fails without the fault. Exit status 1 unless all are caught, or can be planted.
"""

import argparse
import ast
import queue
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.fault.planted.copies import BROKEN, CAUGHT, REPOSITORY, SURVIVED, Copy, Verdict
from tests.fault.planted.faults import FAULTS, PRODUCT, Fault
from tests.fault.planted.places import Places

TIMEOUT_SECONDS = 300


def obstacle(fault: Fault, product: Places, tests: Places) -> str:
    """Why *fault* cannot be planted; nothing where it can."""
    try:
        ast.parse(fault.plant(product)[1])
        fault.node_ids(tests)
    except (ValueError, SyntaxError) as error:
        return f"{error}".replace("\n", " ")
    return ""


def judge(copy: Copy, fault: Fault, *, sound: bool) -> Verdict:
    """What becomes of *fault*; where its tests are not known to be *sound* they first run without it."""
    started = time.monotonic()
    try:
        if not sound and (without := copy.test([fault])).outcome != SURVIVED:
            return Verdict(BROKEN, f"its tests fail without it: {without.reason}")
        with copy.planted(fault):
            found = copy.test([fault])
    except ValueError as error:
        return Verdict(BROKEN, str(error))
    return Verdict(found.outcome, found.reason, time.monotonic() - started)


def run(faults: Sequence[Fault], jobs: int, seed: int, timeout_seconds: float = TIMEOUT_SECONDS) -> list[Verdict]:
    """Judges *faults* on *jobs* copies and prints a line for each."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="planted-"))).resolve()
        pool = stack.enter_context(ThreadPoolExecutor(jobs))
        copies: queue.SimpleQueue[Copy] = queue.SimpleQueue()
        for number in range(jobs):
            copies.put(stack.enter_context(Copy.of_repository(folder / str(number), seed, timeout_seconds)))
        first = copies.get()
        print(f"{len(faults)} faults; their tests without a fault …", flush=True)
        without = first.test([fault for fault in faults if not obstacle(fault, first.product, first.tests)])
        copies.put(first)
        sound = without.outcome == SURVIVED
        print("all pass" if sound else f"NOT all pass: {without.reason}", flush=True)

        def judged(fault: Fault) -> Verdict:
            copy = copies.get()
            try:
                return judge(copy, fault, sound=sound)
            finally:
                copies.put(copy)

        verdicts = []
        for number, (fault, verdict) in enumerate(zip(faults, pool.map(judged, faults), strict=True), start=1):
            said = verdict.reason if verdict.outcome == BROKEN else ""
            print(
                f"{number}/{len(faults)} {verdict.outcome:8} {verdict.seconds:5.1f} s  {fault.name}  {said}", flush=True
            )
            verdicts.append(verdict)
    return verdicts


def check(faults: Sequence[Fault]) -> int:
    """Prints what keeps *faults* from being planted in this tree, a line for each; 1 where anything does."""
    product, tests = Places(REPOSITORY, *PRODUCT), Places(REPOSITORY, "tests")
    found = {fault.name: reason for fault in faults if (reason := obstacle(fault, product, tests))}
    for name, reason in found.items():
        print(f"{name}: {reason}")
    print(f"{len(faults) - len(found)} of {len(faults)} faults can be planted")
    return int(bool(found))


def table(faults: Sequence[Fault], verdicts: Sequence[Verdict]) -> str:
    """Outcomes by area, and every fault, in Markdown."""
    areas: dict[str, Counter[str]] = {}
    for fault, verdict in zip(faults, verdicts, strict=True):
        areas.setdefault(fault.area, Counter())[verdict.outcome] += 1
    lines = ["| area | faults | caught |", "|---|---|---|"]
    lines += [f"| {area} | {found.total()} | {found[CAUGHT]} |" for area, found in areas.items()]
    lines += ["", "| fault | place | outcome | noticed by |", "|---|---|---|---|"]
    for fault, verdict in zip(faults, verdicts, strict=True):
        lines.append(f"| {fault.name} | {fault.place} | {verdict.outcome} | {', '.join(fault.tests)} |")
    return "\n".join(lines) + "\n"


def chosen(names: Sequence[str]) -> list[Fault]:
    """The faults, or areas of faults, called *names*; all without any. Raises SystemExit for a name that is none's."""
    known = {fault.name for fault in FAULTS} | {fault.area for fault in FAULTS}
    if unknown := set(names) - known:
        raise SystemExit(f"no such fault or area: {', '.join(sorted(unknown))}")
    return [fault for fault in FAULTS if not names or fault.name in names or fault.area in names]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these faults or areas")
    parser.add_argument("--jobs", type=int, default=1, help="copies of the tree that are tested at the same time")
    parser.add_argument("--seed", type=int, default=0, help="Hypothesis' seed")
    parser.add_argument("--timeout", type=float, default=TIMEOUT_SECONDS, help="seconds that a fault's tests may take")
    parser.add_argument("--markdown", type=Path, help="writes a table of all faults to this file")
    parser.add_argument("--check", action="store_true", help="only names the faults that cannot be planted, and why")
    given = parser.parse_args()
    faults, started = chosen(given.only), time.monotonic()
    if given.check:
        return check(faults)
    verdicts = run(faults, given.jobs, given.seed, given.timeout)
    if given.markdown:
        given.markdown.write_text(table(faults, verdicts))
    count = Counter(verdict.outcome for verdict in verdicts)
    words = ", ".join(f"{count[outcome]} {outcome}" for outcome in (CAUGHT, SURVIVED, BROKEN))
    print(f"{len(faults)} faults: {words}; {time.monotonic() - started:.0f} s")
    return int(count[CAUGHT] < len(faults))


if __name__ == "__main__":
    sys.exit(main())

"""The house in figures: rooms, sizes, circles, the ways to the work, and what the suite costs.

python tests/benchmarks/house.py                                 this tree
python tests/benchmarks/house.py --revision b94d44f --revision HEAD   committed ones, side by side
python tests/benchmarks/house.py --suite                        also the CPU time of `make test` (half an hour)
"""

import argparse
import ast
import ctypes
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import grimp

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = ("preprocess", "trainer", "shared")
WAYS = Path(__file__).with_name("ways.py")
PR_SET_CHILD_SUBREAPER = 36
"""prctl(2): orphans of what we start become ours, so that their CPU time is counted as well."""


def sizes(root: Path) -> dict[str, object]:
    """Modules in the largest folder; lines of files and functions; lines of product and of tests."""
    product = [path for package in PACKAGES for path in sorted((root / package).rglob("*.py"))]
    rooms = Counter(path.parent.relative_to(root) for path in product if path.name != "__init__.py")
    room, modules = rooms.most_common(1)[0]
    files = [_lines(path) for path in product if path.name != "__init__.py"]
    functions = [length for path in product for length in _functions(path)]
    return {
        "modules in the largest folder": f"{modules} ({room})",
        "lines of a file, median / 90th percentile": _spread(files),
        "lines of a function, median / 90th percentile": _spread(functions),
        "lines of product": sum(_lines(path) for path in product),
        "lines of tests": sum(
            _lines(path) for path in sorted((root / "tests").rglob("*")) if path.suffix in {".py", ".txt"}
        ),
    }


def circles(root: Path) -> int:
    """Pairs of modules that import each other, directly or by way of others, anywhere in the product."""
    sys.path.insert(0, str(root))
    try:
        graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    finally:
        sys.path.remove(str(root))
    inside = {name for name in graph.modules if name.partition(".")[0] in PACKAGES}
    below = {name: graph.find_upstream_modules(name) for name in inside}
    return sum(1 for name in inside for other in below[name] if name < other and name in below[other])


def ways(root: Path) -> dict[str, object]:
    """Calls and modules of our own on the stack at the first backward pass and at the first decoded clip."""
    environment = os.environ | {"PYTHONPATH": str(root)}
    return {
        f"from {start}: calls / modules": _way(root, name, environment)
        for name, start in {"train": "trainer.train to the first backward", "run": "preprocess.run to a clip"}.items()
    }


def suite(root: Path) -> str:
    """CPU minutes (user + system) of `make test` in *root*, of every process that it started."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    make = subprocess.Popen(["make", "test"], cwd=root, stdout=sys.stderr)
    # Orphans are reaped as they end: tests look whether they are gone. Daemons that are left behind are not waited for.
    status = None
    while status is None:
        ended, how = os.wait()
        status = os.waitstatus_to_exitcode(how) if ended == make.pid else None
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return f"{seconds / 60:.1f}" + ("" if status == 0 else f" (exit {status})")


def _way(root: Path, name: str, environment: dict[str, str]) -> str:
    command = [sys.executable, str(WAYS), name]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} in {root}:\n{done.stderr}")
    calls = json.loads(done.stdout.splitlines()[-1])
    return f"{len(calls)} / {len({call.partition(':')[0] for call in calls})}"


def _lines(path: Path) -> int:
    return path.read_text().count("\n")


def _functions(path: Path) -> Iterator[int]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            yield (node.end_lineno or node.lineno) - node.lineno + 1


def _spread(lengths: Sequence[int]) -> str:
    return f"{statistics.median(lengths):.0f} / {statistics.quantiles(lengths, n=10)[-1]:.0f}"


@contextmanager
def tree_of(revision: str | None) -> Iterator[Path]:
    """The working tree without a *revision*, else a clone of that one."""
    if revision is None:
        yield REPOSITORY
        return
    with tempfile.TemporaryDirectory(prefix="house-") as folder:
        subprocess.run(["git", "clone", "-q", str(REPOSITORY), folder], check=True)
        subprocess.run(["git", "checkout", "-q", revision], cwd=folder, check=True)
        yield Path(folder)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--revision", action="append", help="a commit instead of the working tree; repeatable")
    parser.add_argument("--suite", action="store_true", help="run `make test` as well, one after the other")
    given = parser.parse_args()
    columns = {}
    for revision in given.revision or [None]:
        with tree_of(revision) as root:
            facts = sizes(root) | {"modules in a circle of imports, pairs": circles(root)} | ways(root)
            if given.suite:
                facts["CPU minutes of make test"] = suite(root)
            columns[revision or "this tree"] = facts
    print("| |", " | ".join(columns), "|\n|---|" + "---|" * len(columns))
    for name in next(iter(columns.values())):
        print(f"| {name} |", " | ".join(str(facts.get(name, "")) for facts in columns.values()), "|")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Faults at single system calls of a run, and what must hold afterwards."""

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tests.fault.conftest import CALLS, Stage
from tests.support.rehearsals import Outcome
from tests.support.stores import contents, differences
from tests.support.strace import Call

DISK_ERRORS = ("ENOSPC", "EIO", "EDQUOT")
REFUSABLE = ("openat", "write", "fsync", "link", "rename", "mkdir")
FULL = {"ENOSPC", "EDQUOT"}


@dataclass(frozen=True, slots=True)
class Point:
    """The *number*-th call (from 1) of *name* in a run; *call* is what it was in the undisturbed one."""

    name: str
    number: int
    call: Call

    def __str__(self) -> str:
        return f"{self.name} {self.number} ({Path(self.call.last_path or self.call.path).name})"


def points(outcome: Outcome) -> list[Point]:
    """Every call of the undisturbed run's main thread, in order."""
    counts: Counter[str] = Counter()
    found = []
    for call in outcome.calls:
        if call.pid == outcome.pid:
            counts[call.name] += 1
            found.append(Point(call.name, counts[call.name], call))
    return found


def publications(outcome: Outcome) -> list[Point]:
    """Calls that give a file its final name, and each one's next fsync, that of the directory."""
    found, after = [], False
    for point in points(outcome):
        named = point.name in {"link", "rename"}
        if named or (after and point.name == "fsync"):
            found.append(point)
            after = named
    return found


def acknowledgements(outcome: Outcome) -> list[Point]:
    """Calls that follow output: what it says is known outside from then on."""
    made = [(point, point.call.path.endswith(".out")) for point in points(outcome)]
    return [after for (_, said), (after, goes_on) in pairwise(made) if said and not goes_on]


def killed(stage: Stage, *killers: Point) -> list[str]:
    """What is wrong after runs that are killed at *killers*, one after the other, and a last one that is not."""
    store = stage.folder / "killed"
    wrong = []
    for point in killers:
        outcome = stage.rehearsals.run(store, CALLS, f"{point.name}:signal=SIGKILL:when={point.number}")
        if outcome.status not in {-9, 0}:
            wrong.append(f"{point}: exit status {outcome.status}: {outcome.stderr}")
        wrong += [f"{point}: torn {name}" for name in torn(stage, store)]
    return wrong + [f"{' then '.join(map(str, killers))}: {problem}" for problem in repeated(stage, store)]


def refused(stage: Stage, point: Point, error: str) -> list[str]:
    """What is wrong with a run whose call at *point* fails with *error*, and with the store that a repeat makes."""
    store = stage.folder / "refused"
    outcome = stage.rehearsals.run(store, CALLS, f"{point.name}:error={error}:when={point.number}")
    return [f"{point} {error}: {problem}" for problem in _wrong(stage, store, point, error, outcome)] + [
        f"{point} {error}: {problem}" for problem in repeated(stage, store)
    ]


def _wrong(stage: Stage, store: Path, point: Point, error: str, outcome: Outcome) -> Iterator[str]:
    in_store = str(stage.folder / "undisturbed") in point.call.arguments
    creates = point.name != "openat" or "O_CREAT" in point.call.arguments
    if outcome.status not in {0, 1, 2, 3}:
        yield f"exit status {outcome.status}"
    if error in FULL and in_store and creates and outcome.status not in {0, 3}:
        yield f"exit status {outcome.status} for a full disk"
    if outcome.status and not outcome.stderr.startswith("error: "):
        yield f"says {outcome.stderr!r}"
    if error == "EIO" and in_store and outcome.status and not _is_named(point, outcome.stderr):
        yield f"does not name the file: {outcome.stderr!r}"
    if "Traceback" in outcome.stderr or "Exception ignored" in outcome.stderr:
        yield f"spills {outcome.stderr}"
    if not outcome.status and (different := differences(store, stage.expected)):
        yield f"claims success, but differs: {different}"
    yield from (f"torn {name}" for name in torn(stage, store))
    yield from (f"leaves {path}" for path in (store / ".partial").rglob("*"))


def _is_named(point: Point, message: str) -> bool:
    """Whether *message* names the file or folder of the call; the process in a partial name does not count."""
    return Path(point.call.path).name.partition("~")[0].replace("undisturbed", "refused") in message


def torn(stage: Stage, store: Path) -> list[str]:
    """Final names in *store* whose content is not the undisturbed run's."""
    if not (store / "store.json").exists():
        return []
    kept = {name: digest for name, digest in contents(store).items() if not name.startswith(".partial")}
    return [name for name, digest in kept.items() if stage.expected.get(name) != digest]


def repeated(stage: Stage, store: Path) -> list[str]:
    """What is wrong after the same command without a fault; the store is removed."""
    outcome = stage.rehearsals.run(store)
    if outcome.status != 0:
        return [f"the repeat ended with {outcome.status}: {outcome.stderr}"]
    wrong = [f"the repeat differs in {name}" for name in differences(store, stage.expected)]
    shutil.rmtree(store)
    return wrong

"""What committed units were made from, against what there is now: a warning for a run that goes on, and a comparison.

A run looks at sizes and times of files, which are hints; `differing_units` reads the source itself, in another process.
"""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from preprocess.features.provenance import Provenance, ReadChecksum, this_software
from preprocess.planning.planned_job import PlannedJob
from preprocess.sources.base import RowReader
from preprocess.units import Unit
from preprocess.workspace.environment import actor_environment
from shared.errors import SourceError, SpeechPrepError
from shared.layout import shard_name
from shared.selection import Selection
from shared.system.stop_request import deaf_children

MOST_FILES = 20_000
"""So many files a run looks at before it goes on; a clip folder's units are then looked at in part."""


def mixed_origins(job: PlannedJob) -> str:
    """One warning where committed units were made from other files or with other software than the rest will be.

    '' where nothing differs, or nothing is left to make.
    """
    found: dict[str, list[Unit]] = {}
    committed = _committed(job)
    if not committed or not job.open_units():
        return ""
    most = max(1, MOST_FILES // len(committed))
    for unit, known in committed:
        for difference in _differences(job, unit, known, most):
            found.setdefault(difference, []).append(unit)
    told = [f"{_in_words(units)} made with other {difference}" for difference, units in found.items()]
    remedy = "; verify --source tells which units differ in what was read" if told else ""
    return f"warning: this store will be mixed: {'; '.join(told)}{remedy}" if told else ""


def _committed(job: PlannedJob) -> list[tuple[Unit, Provenance]]:
    found = []
    for plan in job.plans:
        for number in sorted(job.layout.committed(plan.name, len(plan.units))):
            known = Provenance.read(job.layout.provenance_of(plan.name, number, len(plan.units)))
            if known is not None:
                found.append((plan.units[number], known))
    return found


def _differences(job: PlannedJob, unit: Unit, known: Provenance, most: int) -> Iterator[str]:
    plan = next(plan for plan in job.plans if plan.name == unit.split)
    now = job.source.reader(plan.source_split, unit.start, unit.stop).source_files(most)
    then = {file.name: file for file in known.files}
    if changed := [file.name for file in now if then.get(file.name, file) != file]:
        yield f"files (size or time of {changed[0]}{' and others' if len(changed) > 1 else ''})"
    if software := known.software.differences(this_software()):
        yield f"software ({', '.join(software)})"


def _in_words(units: Sequence[Unit]) -> str:
    """`shards 0-4, 7 of train were`."""
    parts = []
    for split in dict.fromkeys(unit.split for unit in units):
        numbers = [unit.number for unit in units if unit.split == split]
        parts.append(f"{ranges(numbers)} of {split}")
    return f"shards {' and '.join(parts)} were"


def ranges(numbers: Iterable[int]) -> str:
    """Ascending *numbers* with runs drawn together: `0-4, 7`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


@dataclass(frozen=True, slots=True)
class ReadTask:
    """What a unit is read from: rows from *start* on of *reader*, those of *selection*."""

    name: str
    reader: RowReader
    selection: Selection
    start: int
    stop: int

    def checksum(self) -> str:
        """That of what is read now."""
        checksum, selected = ReadChecksum(), self.selection.mask(self.start, self.stop)
        for row in self.reader.rows():
            if selected[row.row_id - self.start]:
                checksum.add(row)
        return checksum.text


def read_task(job: PlannedJob, unit: Unit) -> ReadTask:
    """That of *unit* of *job*."""
    plan = next(plan for plan in job.plans if plan.name == unit.split)
    reader = job.source.reader(plan.source_split, unit.start, unit.stop)
    return ReadTask(shard_name(unit.split, unit.number, len(plan.units)), reader, plan.selection, unit.start, unit.stop)


def checksums_apart(tasks: Sequence[ReadTask]) -> Iterator[str | Exception]:
    """For each of *tasks* the checksum of what it reads now, or why that cannot be read; read in another process.

    Raises SourceError where that process ends at one.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(theirs, tasks), daemon=True)
    with actor_environment(), deaf_children():
        process.start()
    theirs.close()
    try:
        for task in tasks:
            yield _received(ours, task)
    finally:
        process.kill()
        process.join()
        ours.close()


def _received(connection: Connection, task: ReadTask) -> str | Exception:
    try:
        answer: str | Exception = connection.recv()
    except EOFError as error:
        message = f"the process that reads the source ended at the rows of {task.name}"
        raise SourceError(message, "look at memory, and at the rows with python -m preprocess.inspect") from error
    return answer


def _child(connection: Any, tasks: Sequence[ReadTask]) -> None:
    send: Callable[[object], None] = connection.send
    for task in tasks:
        try:
            send(task.checksum())
        except (SpeechPrepError, OSError) as error:
            send(error)

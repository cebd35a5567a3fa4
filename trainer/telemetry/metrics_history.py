"""A run's records as lines of JSON that stay below a size, however long the run. Pure."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from trainer.telemetry.records import EvaluationRecord, StepRecord


@dataclass(frozen=True, slots=True)
class Entry:
    """One record: *line* is its JSON object; *padding* is an evaluation's, empty for steps."""

    step: int
    line: str
    padding: str = ""
    best: bool = False


def step_entry(record: StepRecord) -> Entry:
    """A `StepRecord` under its own field names; null where it is None or not finite."""
    return read_entry(asdict(record))


def evaluation_entry(record: EvaluationRecord, *, best: bool) -> Entry:
    """An `EvaluationRecord` under its own field names, without the sample transcripts, and *best*."""
    fields = {name: value for name, value in asdict(record).items() if name != "samples"}
    return read_entry(fields | {"best": best})


def read_entry(fields: Mapping[str, Any]) -> Entry:
    """The entry with these *fields*, as `metrics.json` has them. Raises KeyError without a step."""
    line = json.dumps(_finite(fields), ensure_ascii=False, allow_nan=False)
    return Entry(int(fields["step"]), line, fields.get("padding", ""), bool(fields.get("best", False)))


def thinned(entries: Sequence[Entry], max_bytes: int) -> list[Entry]:
    """*entries*, which are in order, as far apart as it takes for their lines to have *max_bytes* at most.

    Of each span of 1, 2, 4 … steps the last entry stays, for each padding; so the newest stays, and the best too. Only
    an entry larger than *max_bytes* passes the limit.
    """
    best = next((entry for entry in reversed(entries) if entry.best), None)
    kept, span = list(entries), 1
    while _num_bytes(kept) > max_bytes and span <= entries[-1].step:
        span *= 2
        last = {(entry.step // span, entry.padding, entry is best): entry for entry in entries}
        kept = sorted(last.values(), key=lambda entry: entry.step)
    return kept


def document(run: str, steps: Iterable[Entry], evaluations: Iterable[Entry]) -> bytes:
    """`metrics.json`: an object with the output folder, `run`, and the lists `steps` and `evaluations`."""
    parts = (
        f'"{name}": [\n' + ",\n".join(entry.line for entry in entries) + "\n]"
        for name, entries in (("steps", steps), ("evaluations", evaluations))
    )
    return (f'{{"run": {json.dumps(run)},\n' + ",\n".join(parts) + "}\n").encode()


def _num_bytes(entries: Iterable[Entry]) -> int:
    # Two more are the comma and the end of the line.
    return sum(len(entry.line.encode()) + 2 for entry in entries)


def _finite(value: Any) -> Any:
    """JSON has no number for NaN and infinity."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value

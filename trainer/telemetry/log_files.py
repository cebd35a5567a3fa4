"""What a run leaves to be read: `training.log` for people, `metrics.json` for programs, `best_wer.txt` for both.

Trainings may share a folder of logs one after the other; `metrics.json` and `best_wer.txt` say whose they are.
"""

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from shared.errors import UsageError
from shared.system.durable import write_durably
from shared.system.foreign_files import read_json
from shared.system.locks import remove_unheld
from shared.text import one_line
from shared.units import format_count, format_share
from trainer.telemetry.health import HealthWarning
from trainer.telemetry.metrics_history import Entry, document, evaluation_entry, read_entry, step_entry, thinned
from trainer.telemetry.record_lines import evaluation_line, saved_line, source_lines, step_line, transcript_lines
from trainer.telemetry.records import CheckpointRecord, EvaluationRecord, StepRecord
from trainer.telemetry.sink import Sink

Clock = Callable[[], datetime]
"""Says the time, in UTC."""
_LOG_NAME = "training.log"
_METRICS_NAME = "metrics.json"
_BEST_NAME = "best_wer.txt"
_AWAY = "-before-"
_OWNER = "run: "
_STEP_BYTES = 1_200_000
"""Most of `metrics.json` that step records take, ..."""
_EVALUATION_BYTES = 700_000
"""... and evaluations."""


class TrainingLog(Sink):
    """Appends to `training.log` in *folder*: one line a record or event, each with the time in UTC.

    A line is handed to the system before the next one is made, so that kill -9 loses none.
    """

    def __init__(self, folder: Path, max_steps: int, clock: Clock) -> None:
        self._max_steps, self._clock = max_steps, clock
        self._file = (folder / _LOG_NAME).open("a", encoding="utf-8", buffering=1)

    def step(self, record: StepRecord) -> None:
        """One line."""
        self._write(step_line(record, self._max_steps))

    def evaluated(self, record: EvaluationRecord, *, best: bool) -> None:
        """One line, one more for each of several sources, three for each sample transcript."""
        self._write(evaluation_line(record, best=best), *source_lines(record))
        for sample in record.samples:
            self._write(*(f"  {line}" for line in transcript_lines(sample)))

    def saved(self, record: CheckpointRecord) -> None:
        """One line."""
        self._write(saved_line(record))

    def event(self, text: str) -> None:
        """One line, whatever *text* holds."""
        self._write(one_line(text))

    def warn(self, warning: HealthWarning) -> None:
        """One line with the remedy."""
        self._write(one_line(f"WARNING: {warning.message} -> {warning.remedy}"))

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _write(self, *lines: str) -> None:
        now = self._clock().strftime("%Y-%m-%dT%H:%M:%SZ")
        self._file.write("".join(f"{now} {line}\n" for line in lines))


class MetricsFile(Sink):
    """Keeps `metrics.json` in *folder*, which is a whole JSON document at any moment and stays below 2 MB.

    With *resumed_step* *run*'s file goes on behind that step: later records, which will be made again, are dropped.
    Any other file that is there is another run's and is renamed. Raises UsageError when it is no `metrics.json`.
    """

    def __init__(self, folder: Path, run: Path, resumed_step: int | None, clock: Clock) -> None:
        self._path, self._run = folder / _METRICS_NAME, str(run)
        _claim(self._path, self._run, _metrics_owner, clock, resumed=resumed_step is not None)
        self._steps, self._evaluations = _read_metrics(self._path, -1 if resumed_step is None else resumed_step)

    def step(self, record: StepRecord) -> None:
        """Rewrites the file with *record*."""
        self._steps = thinned([*self._steps, step_entry(record)], _STEP_BYTES)
        self._write()

    def evaluated(self, record: EvaluationRecord, *, best: bool) -> None:
        """Rewrites the file with *record*, without its transcripts; the last one of a step counts."""
        entry = evaluation_entry(record, best=best)
        others = [old for old in self._evaluations if (old.step, old.padding) != (entry.step, entry.padding)]
        self._evaluations = thinned([*others, entry], _EVALUATION_BYTES)
        self._write()

    def _write(self) -> None:
        _replace(self._path, document(self._run, self._steps, self._evaluations))


class BestWer(Sink):
    """Keeps `best_wer.txt` in *folder*: the step of the best evaluation and its rates by normaliser.

    A file of another *run*, and without *resumed_step* any that is there, is renamed.
    """

    def __init__(self, folder: Path, run: Path, resumed_step: int | None, clock: Clock) -> None:
        self._path, self._run = folder / _BEST_NAME, str(run)
        _claim(self._path, self._run, _best_owner, clock, resumed=resumed_step is not None)

    def evaluated(self, record: EvaluationRecord, *, best: bool) -> None:
        """Rewrites the file when *record* is the best."""
        if not best:
            return
        lines = [f"step: {record.step}"]
        lines += [f"WER {name}: {format_share(errors.wer)}" for name, errors in record.overall.items()]
        lines += [f"CER {name}: {format_share(errors.cer)}" for name, errors in record.overall.items()]
        lines += [f"clips: {format_count(record.rows)}", f"encoder context: {record.padding}"]
        lines += [f"{_OWNER}{self._run}"]
        _replace(self._path, ("\n".join(lines) + "\n").encode())


def read_history(folder: Path, last_step: int) -> dict[str, list[dict[str, Any]]]:
    """What `metrics.json` in *folder* has up to *last_step*: the fields of each of `steps` and `evaluations`.

    Raises UsageError as `MetricsFile` does.
    """
    steps, evaluations = _read_metrics(folder / _METRICS_NAME, last_step)
    return {
        name: [json.loads(entry.line) for entry in entries]
        for name, entries in (("steps", steps), ("evaluations", evaluations))
    }


def _claim(path: Path, run: str, owner: Callable[[Path], str | None], clock: Clock, *, resumed: bool) -> None:
    """Renames *path* where it is not *run*'s, or *run* not *resumed*; and puts back what a *resumed* run had last.

    *owner* tells whose a file is; None is anybody's. The new name tells when the next run began.
    """
    if path.exists() and not (resumed and owner(path) in {None, run}):
        path.rename(path.with_name(f"{path.stem}{_AWAY}{clock():%Y%m%dT%H%M%SZ}{path.suffix}"))
    if resumed and not path.exists():
        away = sorted(path.parent.glob(f"{path.stem}{_AWAY}*{path.suffix}"), reverse=True)
        own = next((file for file in away if owner(file) == run), None)
        if own is not None:
            own.rename(path)


def _read_metrics(path: Path, last_step: int) -> tuple[list[Entry], list[Entry]]:
    """The step and evaluation entries up to *last_step*; none without a file."""
    try:
        found = read_json(path)
        steps, evaluations = ([read_entry(fields) for fields in found[name]] for name in ("steps", "evaluations"))
    except FileNotFoundError:
        return [], []
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is not a history of training: {error!r}", "rename it; a new one is made") from error
    return _up_to(steps, last_step), _up_to(evaluations, last_step)


def _up_to(entries: list[Entry], last_step: int) -> list[Entry]:
    return [entry for entry in entries if entry.step <= last_step]


def _metrics_owner(path: Path) -> str | None:
    try:
        found = read_json(path)
        return found.get("run") if isinstance(found, dict) else None
    except ValueError:
        return None


def _best_owner(path: Path) -> str | None:
    lines = path.read_text(errors="replace").splitlines()
    return next((line.removeprefix(_OWNER) for line in lines if line.startswith(_OWNER)), None)


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_name(f"{path.name}.partial")
    # What kill -9 left of this run's last attempt.
    remove_unheld(partial)
    write_durably(path, content, partial)

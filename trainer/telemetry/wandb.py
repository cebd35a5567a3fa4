"""Records on Weights & Biases, for those who ask for it; nothing else imports wandb."""

import os
from importlib import import_module
from pathlib import Path
from typing import Any

from shared.command.cli import python_command
from shared.errors import UsageError, first_line
from shared.text import one_line
from trainer.telemetry.health import HealthWarning
from trainer.telemetry.records import EvaluationRecord, StepRecord
from trainer.telemetry.scalars import evaluation_prefix, evaluation_scalars, step_scalars
from trainer.telemetry.sink import Sink

_RUN_NAME = "wandb_run.txt"
"""In the log folder: the id of the run to go on with."""
_PROJECT = "whisper-finetuning"
"""Where `WANDB_PROJECT` names none."""
_REMEDY = "`wandb login`, WANDB_MODE=offline, or --report-to tensorboard"


class WandbWriter(Sink):
    """Logs to wandb's run of the output folder *run*, which a resumed training goes on with; its variables count.

    wandb takes no step below its last one: steps that are made again after a crash stay as they were first logged.
    Raises UsageError where wandb is not installed or does not start. *wandb* is the module, imported unless told.
    """

    def __init__(self, folder: Path, run: Path, resumed_step: int | None, wandb: Any = None) -> None:
        self._wandb = _import_wandb() if wandb is None else wandb
        known = run / _RUN_NAME
        run_id = known.read_text().strip() if resumed_step is not None and known.exists() else None
        project = os.environ.get("WANDB_PROJECT") or _PROJECT
        try:
            self._run: Any = self._wandb.init(project=project, dir=str(folder), id=run_id, resume="allow")
        except self._wandb.Error as error:
            raise UsageError(f"--report-to wandb: {error}", _REMEDY) from error
        known.write_text(f"{self._run.id}\n")

    def step(self, record: StepRecord) -> None:
        """The scalars of `trainer.telemetry.scalars`."""
        self._run.log(step_scalars(record), step=record.step)

    def evaluated(self, record: EvaluationRecord, *, best: bool) -> None:
        """The scalars (`scalars.py`), the transcripts as a table, and the best rates as the run's summary."""
        values: dict[str, Any] = dict(evaluation_scalars(record))
        if best:
            self._run.summary.update({f"best/{tag}": value for tag, value in values.items()})
        if record.samples:
            rows = [[sample.row_id, sample.source, sample.reference, sample.hypothesis] for sample in record.samples]
            table = self._wandb.Table(columns=["row", "source", "reference", "hypothesis"], data=rows)
            values[f"{evaluation_prefix(record)}/transcripts"] = table
        self._run.log(values, step=record.step)

    def warn(self, warning: HealthWarning) -> None:
        """An alert, which wandb shows and may mail."""
        self._run.alert(title=str(warning.kind), text=one_line(f"{warning.message} -> {warning.remedy}"))

    def close(self) -> None:
        """Uploads the rest and ends the run."""
        self._run.finish()


def require_login(wandb: Any = None) -> None:
    """Raises UsageError where wandb is not installed, or would need a login that nobody made or that it does not know.

    Whoever sits at a terminal is asked for one. *wandb* as in `WandbWriter`.
    """
    wandb = _import_wandb() if wandb is None else wandb
    try:
        # False is offline: then there is nothing to log in to.
        wandb.login(verify=True)
    except wandb.Error as error:
        raise UsageError(f"--report-to wandb: {first_line(error)}", _REMEDY) from error


def _import_wandb() -> Any:
    try:
        return import_module("wandb")
    except ImportError as error:
        remedy = f"{python_command()} -m pip install wandb, or --report-to tensorboard"
        raise UsageError("--report-to wandb: wandb is not installed", remedy) from error

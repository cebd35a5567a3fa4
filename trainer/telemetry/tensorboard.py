"""Records as TensorBoard's event files."""

from hashlib import blake2s
from importlib import import_module
from pathlib import Path
from typing import Any

from shared.text import one_line
from trainer.telemetry.health import HealthWarning
from trainer.telemetry.record_lines import transcript_lines
from trainer.telemetry.records import EvaluationRecord, StepRecord
from trainer.telemetry.scalars import evaluation_prefix, evaluation_scalars, step_scalars
from trainer.telemetry.sink import Sink

FOLDER = "tensorboard"
"""In the log folder; below it, each run has a folder of its own."""
_OWNER = "run.txt"
"""There, says whose it is: two output folders may have one name."""
_FLUSH_SECONDS = 10


class TensorBoardWriter(Sink):
    """Writes to `tensorboard/` in *folder*, below the name of *run*, which is the output folder.

    Every figure of a record is a scalar, every warning and transcript a text. What this run wrote after *resumed_step*
    before (all of it, without one) is hidden by TensorBoard, so that no step stands twice.
    """

    def __init__(self, folder: Path, run: Path, resumed_step: int | None) -> None:
        # Half a second to import, for those who want it.
        module = import_module("torch.utils.tensorboard")
        first = 0 if resumed_step is None else resumed_step + 1
        self._step = max(0, first - 1)
        events = _own_folder(folder / FOLDER, run)
        self._writer: Any = module.SummaryWriter(str(events), purge_step=first, flush_secs=_FLUSH_SECONDS)

    def step(self, record: StepRecord) -> None:
        """Scalars `train/…`, `speed/…`, `gpu/…`."""
        self._add(record.step, step_scalars(record))

    def evaluated(self, record: EvaluationRecord, *, best: bool) -> None:  # noqa: ARG002 - the curves show it
        """Scalars `eval/…` and `eval_by_source/…`, and the sample transcripts as text."""
        self._add(record.step, evaluation_scalars(record))
        # Indented lines are shown as they are, not as Markdown.
        samples = ("\n".join(f"    {line}" for line in transcript_lines(sample)) for sample in record.samples)
        if text := "\n    \n".join(samples):
            self._writer.add_text(f"{evaluation_prefix(record)}/transcripts", text, record.step)

    def warn(self, warning: HealthWarning) -> None:
        """A text at the last step."""
        text = one_line(f"{warning.message} -> {warning.remedy}")
        self._writer.add_text(f"warnings/{warning.kind}", f"    {text}", self._step)

    def close(self) -> None:
        """Flushes and closes the event file."""
        self._writer.close()

    def _add(self, step: int, scalars: dict[str, float]) -> None:
        self._step = step
        for tag, value in scalars.items():
            self._writer.add_scalar(tag, value, step)


def _own_folder(folder: Path, run: Path) -> Path:
    """Below *folder*, that of *run*'s curves: by its name, or by more where that is another run's."""
    own = folder / run.name
    if owner(own) not in {None, str(run)}:
        own = folder / f"{run.name}-{blake2s(str(run).encode(), digest_size=4).hexdigest()}"
    own.mkdir(parents=True, exist_ok=True)
    (own / _OWNER).write_text(str(run))
    return own


def owner(folder: Path) -> str | None:
    """The output folder of the training whose curves lie in *folder*, where that is known."""
    path = folder / _OWNER
    return path.read_text() if path.is_file() else None

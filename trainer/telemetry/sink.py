"""What takes a run's news: a file, a screen, TensorBoard, wandb."""

from trainer.telemetry.health import HealthWarning
from trainer.telemetry.records import CheckpointRecord, EvaluationRecord, Phase, StepRecord


class Sink:
    """Takes news and does nothing with it; a kind of sink overrides what it cares for. Used from one thread.

    Any method may raise OSError; the sink is then given up, the run is not.
    """

    def progress(self, step: int) -> None:
        """*step* is done; told at every single one, so it has to cost next to nothing."""

    def phase(self, phase: Phase, done: int = 0, total: int = 0) -> None:
        """What the training is at from now on; *done* of *total* clips of it where they are counted, else 0."""

    def saved(self, record: CheckpointRecord) -> None:
        """A checkpoint was written."""

    def save_failed(self, text: str) -> None:
        """A checkpoint could not be written, in a line: an event like others where no one cares for more."""
        self.event(text)

    def step(self, record: StepRecord) -> None:
        """The steps since the last record are done."""

    def evaluated(self, record: EvaluationRecord, *, best: bool) -> None:
        """The model was evaluated; *best* says that no evaluation before was better."""

    def event(self, text: str) -> None:
        """Something happened, in a line of plain text."""

    def warn(self, warning: HealthWarning) -> None:
        """Something is wrong, and this is what to do."""

    def close(self) -> None:
        """No more news; what is held back is written. Called once."""

"""What takes a run's news: a file, a screen, TensorBoard, wandb."""

from trainer.telemetry.health import HealthWarning
from trainer.telemetry.records import EvaluationRecord, StepRecord


class Sink:
    """Takes news and does nothing with it; a kind of sink overrides what it cares for. Used from one thread.

    Any method may raise OSError; the sink is then given up, the run is not.
    """

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

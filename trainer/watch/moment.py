"""What a training looks like at one moment: the values that its page and its metrics are made from."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from trainer.telemetry.health import Trouble
from trainer.telemetry.records import CheckpointRecord, EvaluationRecord, Phase, StepRecord


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What does not change while a training goes on; *started_at* is Unix time. Nothing here is secret."""

    run_id: str
    model: str
    store: str
    output: str
    started_at: float


@dataclass(frozen=True, slots=True)
class Moment:
    """A training at one moment; times are Unix times.

    Of *max_steps* *step* are done, *first_step* of them by earlier runs. *done* of *total* clips of an evaluation are.
    *record* is the last one; *steps*, *skipped*, *samples* and *audio_seconds* count what this run's records told.
    *evaluations* are the last by padding. *checkpoint* may be an earlier run's, *checkpoints* and *failures* count this
    one's.
    """

    phase: Phase = Phase.OPENING
    done: int = 0
    total: int = 0
    first_step: int = 0
    step: int = 0
    max_steps: int = 0
    last_step_at: float | None = None
    seconds_left: float | None = None
    record: StepRecord | None = None
    recorded_step: int = 0
    skipped: int = 0
    samples: float = 0.0
    audio_seconds: float = 0.0
    evaluations: Mapping[str, EvaluationRecord] = field(default_factory=dict)
    best_wer: float | None = None
    best_step: int | None = None
    checkpoint: CheckpointRecord | None = None
    checkpoints: int = 0
    failures: int = 0
    warnings: Mapping[Trouble, int] = field(default_factory=dict)

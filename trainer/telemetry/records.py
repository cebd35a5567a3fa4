"""What a training run tells of itself: one value per logging interval, one per evaluation. Plain values, no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Phase(StrEnum):
    """What a training is at."""

    OPENING = "opening"
    LOADING = "loading"
    MEASURING = "measuring"
    TRAINING = "training"
    EVALUATING = "evaluating"
    SAVING = "saving"
    UPLOADING = "uploading"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class StepRecord:
    """The optimiser steps since the last record, up to and with *step*; shares are of 1, means are over these steps.

    *loss* is the mean per token over all ranks. *seconds_per_step* counts everything but evaluation and checkpoints.
    *data_wait_share* is the part of it that rank 0 waited for data. *mfu* is the model's floating point operations
    against what the device can do; *gpu_utilisation* is NVML's. None stands for what this device does not tell.
    """

    step: int
    loss: float
    learning_rate: float
    grad_norm: float
    loss_scale: float
    seconds_per_step: float
    samples_per_second: float
    audio_seconds_per_second: float
    data_wait_share: float
    padding_waste: float
    skipped_steps: int = 0
    mfu: float | None = None
    vram_bytes: int | None = None
    gpu_utilisation: float | None = None


@dataclass(frozen=True, slots=True)
class CheckpointRecord:
    """The checkpoint of *step* is whole on the disk: its bytes, Unix time, and the seconds that writing it took."""

    step: int
    num_bytes: int
    written_at: float
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class WordErrors:
    """Error rates under one normaliser, 1 is 100 %: *wer* by words, *cer* by characters; *words* is the reference's."""

    wer: float
    cer: float
    words: int


@dataclass(frozen=True, slots=True)
class Transcript:
    """One row as it should be and as the model has it."""

    row_id: int
    source: str
    reference: str
    hypothesis: str


@dataclass(frozen=True, slots=True)
class EvaluationRecord:
    """The model after *step* on *rows* clips: rates by normaliser ("raw", "basic", "basic+ss"), overall and by source.

    *padding* tells the encoder's context: "own" length or the full 30 s "window".
    """

    step: int
    rows: int
    padding: str
    overall: Mapping[str, WordErrors]
    by_source: Mapping[str, Mapping[str, WordErrors]]
    seconds: float
    samples: Sequence[Transcript] = field(default=())

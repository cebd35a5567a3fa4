"""What is wrong with a run, seen from its records alone; each kind of trouble is told once, with what to do. Pure."""

import math
from collections import deque
from dataclasses import dataclass, replace
from enum import StrEnum

from shared.units import format_counted
from trainer.telemetry.records import EvaluationRecord, StepRecord

_DATA_WAIT_LIMIT = 0.10
"""Share of the time, in each of `_DATA_WAIT_RECORDS` records in a row, from which waiting for data is told."""
_DATA_WAIT_RECORDS = 3
_LEAST_LOSS_SCALE = 1.0
"""A scale below it no longer lifts small gradients into float16's range, which is all that it is there for."""
_HALVINGS_LIMIT = 6
_WER_RISE = 0.005
"""Raw WER above the best, of 1, in two evaluations in a row; less is chance on a subset of some hundred clips."""
_SKIPPED_LIMIT = 0.10
"""Share of the steps skipped over `_SKIPPED_WINDOW` steps or more; the scale's first search skips fewer."""
_SKIPPED_WINDOW = 50


class Trouble(StrEnum):
    """Kinds of trouble."""

    DATA_WAIT = "data wait"
    SCALE_COLLAPSE = "loss scale collapse"
    LOSS_NOT_FINITE = "loss not finite"
    WER_RISES = "WER rises"
    STEPS_SKIPPED = "steps skipped"
    WER_OVER_ALL = "WER over 100 %"


@dataclass(frozen=True, slots=True)
class HealthWarning:
    """One trouble: *message* says what was seen and at which step, *remedy* what to do about it."""

    kind: Trouble
    message: str
    remedy: str


_REMEDIES = {
    Trouble.DATA_WAIT: "raise --loader-threads, and keep the store on a local SSD; after the first epoch a store that "
    "fits into RAM is read from there",
    Trouble.SCALE_COLLAPSE: "go back to the last good checkpoint and lower --learning-rate or raise --warmup-steps; on "
    "a GPU that has it, --precision bf16 needs no loss scale",
    Trouble.LOSS_NOT_FINITE: "look at the rows of this step; lower --learning-rate, raise --warmup-steps, or train "
    "with --precision bf16 or fp32; the same command goes on at the last checkpoint",
    Trouble.STEPS_SKIPPED: "lower --learning-rate or raise --warmup-steps; under --precision fp16 it may be float16's "
    "small range alone, which --precision bf16 does not have",
    Trouble.WER_OVER_ALL: "early in the training of a new language that passes; else look at the transcripts in "
    "metrics.json, and whether preprocess.run was given the --language that is spoken",
}
_WER_REMEDIES = {
    "window": "raise --full-context-share, so that 30 s windows are trained as they are evaluated, or lower "
    "--learning-rate; the best checkpoint is kept",
    "own": "the model learns the transcripts by heart: lower --learning-rate or --num-epochs, or try --freeze-encoder; "
    "the best checkpoint is kept",
}


@dataclass(frozen=True, slots=True)
class _Trend:
    """Raw WER under one padding: the best so far with its loss, and how many evaluations since lay above it.

    *loss_sum* and *loss_records* are `Health`'s totals at the last evaluation.
    """

    best: float = math.inf
    best_step: int = 0
    best_loss: float = math.inf
    above: int = 0
    loss_sum: float = 0.0
    loss_records: int = 0


class Health:
    """Takes a run's records in their order and answers with the warnings that each gives rise to, once a kind.

    *resumed_step* is the step before the first record. No clock, no I/O: the same records give the same warnings.
    """

    def __init__(self, resumed_step: int = 0) -> None:
        self._told: set[Trouble] = set()
        self._last_step = resumed_step
        self._waits: deque[float] = deque(maxlen=_DATA_WAIT_RECORDS)
        self._scale = 0.0
        self._halvings = 0.0
        self._skips: deque[tuple[int, int]] = deque()
        self._loss_sum, self._loss_records = 0.0, 0
        self._trends: dict[str, _Trend] = {}

    def step(self, record: StepRecord) -> tuple[HealthWarning, ...]:
        """The warnings that *record* gives rise to, none most of the time."""
        seen = {
            Trouble.LOSS_NOT_FINITE: self._see_loss(record),
            Trouble.SCALE_COLLAPSE: self._see_scale(record),
            Trouble.STEPS_SKIPPED: self._see_skips(record),
            Trouble.DATA_WAIT: self._see_wait(record),
        }
        self._last_step = record.step
        return self._tell({kind: (message, _REMEDIES[kind]) for kind, message in seen.items() if message})

    def evaluated(self, record: EvaluationRecord) -> tuple[HealthWarning, ...]:
        """As `step`; evaluations are compared with those of the same padding."""
        last = self._trends.get(record.padding, _Trend())
        records = self._loss_records - last.loss_records
        loss = (self._loss_sum - last.loss_sum) / records if records else math.inf
        trend = _next_trend(last, record, loss)
        self._trends[record.padding] = replace(trend, loss_sum=self._loss_sum, loss_records=self._loss_records)
        if trend.above < 2 or not loss < trend.best_loss:  # noqa: PLR2004 - the last two, says the module
            return self._see_wer(record)
        wer = record.overall["raw"].wer
        message = (
            f"raw WER is {wer:.2%} at step {record.step} and was {trend.best:.2%} at step {trend.best_step}, while the "
            f"loss fell from {trend.best_loss:.4f} to {loss:.4f}"
        )
        return self._tell({Trouble.WER_RISES: (message, _WER_REMEDIES.get(record.padding, _WER_REMEDIES["own"]))})

    def _see_wer(self, record: EvaluationRecord) -> tuple[HealthWarning, ...]:
        wer = record.overall["raw"].wer
        if wer <= 1:
            return ()
        message = f"raw WER is {wer:.2%} at step {record.step}: more wrong words than were said"
        return self._tell({Trouble.WER_OVER_ALL: (message, _REMEDIES[Trouble.WER_OVER_ALL])})

    def _tell(self, seen: dict[Trouble, tuple[str, str]]) -> tuple[HealthWarning, ...]:
        new = [kind for kind in seen if kind not in self._told]
        self._told.update(new)
        return tuple(HealthWarning(kind, *seen[kind]) for kind in new)

    def _see_loss(self, record: StepRecord) -> str:
        if not math.isfinite(record.loss):
            return f"the loss is {record.loss} in the steps {self._last_step + 1} to {record.step}"
        self._loss_sum += record.loss
        self._loss_records += 1
        return ""

    def _see_scale(self, record: StepRecord) -> str:
        """Falls in a row are added up in halvings; a record without a fall ends the row."""
        scale, last = record.loss_scale, self._scale
        self._scale = scale
        self._halvings = self._halvings + math.log2(last / scale) if 0 < scale < last else 0.0
        if scale < _LEAST_LOSS_SCALE:
            return f"the loss scale is {scale:g} at step {record.step}"
        if self._halvings >= _HALVINGS_LIMIT:
            return f"the loss scale was halved {self._halvings:.0f} times in a row, to {scale:g} at step {record.step}"
        return ""

    def _see_skips(self, record: StepRecord) -> str:
        self._skips.append((max(1, record.step - self._last_step), record.skipped_steps))
        while sum(steps for steps, _ in self._skips) - self._skips[0][0] >= _SKIPPED_WINDOW:
            self._skips.popleft()
        steps, skipped = (sum(values) for values in zip(*self._skips, strict=True))
        if steps < _SKIPPED_WINDOW or skipped <= _SKIPPED_LIMIT * steps:
            return ""
        return (
            f"of {format_counted(steps, 'step')} up to step {record.step}, {skipped} skipped: gradients were not finite"
        )

    def _see_wait(self, record: StepRecord) -> str:
        self._waits.append(record.data_wait_share)
        if len(self._waits) < _DATA_WAIT_RECORDS or min(self._waits) <= _DATA_WAIT_LIMIT:
            return ""
        share = sum(self._waits) / len(self._waits)
        return f"training waits for data {share:.0%} of the time, up to step {record.step}"


def _next_trend(trend: _Trend, record: EvaluationRecord, loss: float) -> _Trend:
    wer = record.overall["raw"].wer
    if wer < trend.best:
        return replace(trend, best=wer, best_step=record.step, best_loss=loss, above=0)
    # Before an evaluation at step 0 nothing was trained: the first loss after it stands for its own.
    best_loss = trend.best_loss if math.isfinite(trend.best_loss) else loss
    return replace(trend, best_loss=best_loss, above=trend.above + 1 if wer > trend.best + _WER_RISE else 0)

"""The training loop: step after step, with records, evaluations and checkpoints in between."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from time import perf_counter

import torch

from shared.errors import InterruptedRunError, ResourceLimitError
from trainer.checkpoints.checkpoint import TrainState
from trainer.checkpoints.files import CheckpointContent, copy_to_cpu, weights_to_save
from trainer.checkpoints.optimizer_state import whole_state
from trainer.checkpoints.writer import Checkpoints
from trainer.data.loader import Loader
from trainer.data.step_planner import StepPlan
from trainer.memory.budget_search import lowered
from trainer.memory.words import frame_words
from trainer.settings import TrainSettings
from trainer.telemetry.health import Health
from trainer.telemetry.records import CheckpointRecord, Phase
from trainer.telemetry.telemetry import Telemetry
from trainer.training.evaluator import Evaluator
from trainer.training.forecast import Forecast
from trainer.training.meter import Meter
from trainer.training.nonfinite import MOST_SKIPPED, SETTLING, require_updates, write_nonfinite
from trainer.training.optimizers import learning_rate
from trainer.training.step import OutOfMemory, Stepper, StepResult


@dataclass(slots=True)
class TrainingLoop:
    """Trains until *max_steps*; *checkpoints* is None on all ranks but the first. *stop* asks whether to end early."""

    settings: TrainSettings
    max_steps: int
    state: TrainState
    stepper: Stepper
    loader: Loader
    meter: Meter
    evaluator: Evaluator | None
    checkpoints: Checkpoints | None
    telemetry: Telemetry
    stop: Callable[[], bool]
    health: Health = field(init=False)
    forecast: Forecast = field(init=False)
    told_of: CheckpointRecord | None = None
    saved_step: int = -1

    def run(self) -> TrainState:
        """The state at the end, which is saved.

        Raises InterruptedRunError after a stop request, once what was done is saved; SpeechPrepError when the training
        has diverged, ResourceLimitError when the last checkpoint found no room.
        """
        self.saved_step, self.health = self.state.step, Health(self.state.step)
        self.forecast = Forecast(self.max_steps, self.loader.planner.steps_per_epoch)
        self.telemetry.phase(Phase.TRAINING)
        if self.state.step and self.state.evaluated_step != self.state.step and self._due(self.settings.eval_steps):
            # The run before was ended while it evaluated.
            self._evaluate()
        while self.state.step < self.max_steps:
            self._step()
            self._settle()
            step = self.state.step
            if self._due(self.settings.logging_steps):
                self._log()
            # Saved first: whatever ends an evaluation, which may take hours, costs no step.
            if self._due(self.settings.save_steps):
                self._save()
            if self._due(self.settings.eval_steps):
                self._evaluate()
            if self.stepper.ranks.any(flag=self.stop()):
                self._save()
                self._finish_saving()
                raise InterruptedRunError(f"stopped after step {step}", "the same command goes on from there")
        self._finish_saving()
        require_updates(self.state, 1 + (SETTLING if self.stepper.scaler.is_enabled() else 0))
        return self.state

    def _log(self) -> None:
        record = self.meter.record(self.state.step, self.stepper.scaler.get_scale())
        self.telemetry.step(record)
        for warning in self.health.step(record):
            self.telemetry.warn(warning)

    def _due(self, every: int) -> bool:
        return self.state.step % every == 0 or self.state.step == self.max_steps

    def _step(self) -> None:
        """The next step, on smaller and smaller micro-batches where memory runs out."""
        settings, step = self.settings, self.state.step
        rate = learning_rate(
            step, peak=settings.learning_rate, warmup_steps=settings.warmup_steps, max_steps=self.max_steps
        )
        started = perf_counter()
        while True:
            plan, batches = self.loader.step(step)
            try:
                result = self.stepper.run(plan, batches, rate)
            except OutOfMemory:
                self._lower()
            else:
                break
        seconds = perf_counter() - started
        self.meter.add(plan, result, rate, seconds)
        self.state = replace(self.state, step=step + 1, skipped=self.state.skipped + 1 if result.skipped else 0)
        self.telemetry.progress(step + 1)
        if words := self.forecast.see(step + 1, seconds):
            self.telemetry.event(words)
        if result.skipped:
            self._keep_for_inspection(plan, result)
            require_updates(self.state, MOST_SKIPPED)

    def _lower(self) -> None:
        """On every rank the same, so that all plan the step alike."""
        budget = self.loader.planner.budget = lowered(self.loader.planner.budget)
        self.state = replace(self.state, frames=budget.frames, plain_frames=budget.plain_frames)
        self.loader.reset()
        torch.cuda.empty_cache()
        self.telemetry.event(f"GPU memory ran out: micro-batches of {frame_words(budget.frames)} from now on")

    def _evaluate(self) -> None:
        """Scores the model, and keeps it where it is better than it ever was."""
        if self.evaluator is None:
            return
        self.telemetry.phase(Phase.EVALUATING)
        record = self.evaluator(self.stepper.model.whisper, self.state.step)
        self.telemetry.phase(Phase.TRAINING)
        wer = record.overall["raw"].wer
        # Rank 0 alone knows whether the best one until now was written.
        best = bool(self.stepper.ranks.from_main(self.state.best_wer is None or wer < self.state.best_wer))
        step = self.state.step
        self.state = replace(self.state, evaluated_step=step)
        if best:
            self.state = replace(self.state, best_wer=wer, best_step=step)
        self.telemetry.evaluated(record, best=best)
        for warning in self.health.evaluated(record):
            self.telemetry.warn(warning)
        if self.saved_step != step:
            if best:
                self._save()
        elif self.checkpoints is not None:
            self.checkpoints.amend(self.state)

    def _save(self) -> None:
        """Starts a checkpoint of this moment; one that found no room ends no run but the last."""
        if self.saved_step == self.state.step:
            return
        self.saved_step = self.state.step
        self.telemetry.phase(Phase.SAVING)
        # Before anything is copied: two of them at once may be more than the memory there is.
        self._settle(wait=True)
        optimiser = whole_state(self.stepper.optimiser, self.stepper.ranks)
        if self.checkpoints is not None:
            weights = copy_to_cpu(weights_to_save(self.stepper.model))
            self.checkpoints.save(CheckpointContent(self.state, weights, optimiser, self.stepper.scaler.state_dict()))
        self.telemetry.phase(Phase.TRAINING)

    def _settle(self, *, wait: bool = False) -> None:
        """Tells of a checkpoint that could not be written: if it was the best, the one before that is so again."""
        if self.checkpoints is None:
            return
        try:
            (self.checkpoints.wait if wait else self.checkpoints.poll)()
        except ResourceLimitError as error:
            self.telemetry.save_failed(str(error))
            wer, step = self.checkpoints.best
            # A newer one is still to be written.
            if self.state.best_step != self.state.step:
                self.state = replace(self.state, best_wer=wer, best_step=step)

        self._tell_of_saved(self.checkpoints.last)

    def _tell_of_saved(self, last: CheckpointRecord | None) -> None:
        if last is not None and last is not self.told_of:
            self.told_of = last
            self.telemetry.saved(last)

    def _finish_saving(self) -> None:
        self.telemetry.phase(Phase.SAVING)
        if self.checkpoints is not None:
            self.checkpoints.wait()
            self._tell_of_saved(self.checkpoints.last)
        self.stepper.ranks.barrier()

    def _keep_for_inspection(self, plan: StepPlan, result: StepResult) -> None:
        """Writes which rows made a loss that is no number, and tells of it; every rank calls it."""
        output, rank = self.settings.output_folder, self.stepper.ranks.rank
        path = write_nonfinite(output, self.loader.split, plan.step + 1, rank, result.bad) if result.bad else None
        for written in self.stepper.ranks.gather(None if path is None else str(path)):
            if written is not None:
                self.telemetry.event(f"step {plan.step + 1}: the loss is not a number; its rows are in {written}")

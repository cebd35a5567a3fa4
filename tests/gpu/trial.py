"""One data set trained on for some steps under a memory cap: the trainer's own parts, put together as a run does it."""

import gc
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from time import perf_counter

import numpy as np
import torch

from shared.errors import SpeechPrepError
from shared.store import StoreSplit
from trainer.checking.probes.random_model import random_whisper
from trainer.checking.speech import speech_split
from trainer.data.loader import Loader
from trainer.data.micro_batches import Budget
from trainer.distributed.ranks import Ranks
from trainer.memory.budget_search import lowered
from trainer.model.shape import ModelShape
from trainer.model.whisper import TrainingModel, trained_parameters
from trainer.settings import TrainSettings
from trainer.telemetry.records import StepRecord
from trainer.training.components import Data, Setup, planner
from trainer.training.frame_budget import find_budget
from trainer.training.meter import Meter
from trainer.training.optimizers import make_optimiser
from trainer.training.step import OutOfMemory, Stepper

RATE = 1e-7
OPTIM = "adamw-8bit"
MOST_SETTLING = 20
"""Steps in which the loss scale must have come down to one that gives finite gradients."""


@dataclass(frozen=True, slots=True)
class Workload:
    """Clips of *seconds* with *labels* labels each (None: as many as speech has), *batch* in a step.

    *shares* are the shares of the clips padded to 30 s that are measured, by name.
    """

    name: str
    seconds: np.ndarray
    batch: int
    shares: dict[str, float]
    labels: int | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured of *workload* with *contexts* under *cap_bytes*. None stands for what a CPU does not tell."""

    workload: str
    contexts: str
    cap_bytes: int
    frames: int
    plain_frames: int
    samples_per_second: float
    data_wait_share: float
    padding_waste: float
    skipped_steps: int
    lowered: int
    mfu: float | None
    allocated_bytes: int | None
    reserved_bytes: int | None


class Memory:
    """What torch says of a GPU's memory; of a CPU's it says nothing."""

    def __init__(self, device: torch.device) -> None:
        self.is_cuda = device.type == "cuda"

    def start(self) -> None:
        """The peaks count from now on."""
        if self.is_cuda:
            torch.cuda.reset_peak_memory_stats()

    def peaks(self) -> tuple[int | None, int | None]:
        """The most that was in use, and the most that was taken from the GPU for it, since `start`."""
        if not self.is_cuda:
            return None, None
        return torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()

    def release(self) -> None:
        """Gives back what nothing uses any more; a model's references form cycles."""
        gc.collect()
        if self.is_cuda:
            torch.cuda.empty_cache()


@dataclass(slots=True)
class Trial:
    """Measures workloads with a model of *shape*: *rounds* times *steps* steps of every context, which take turns."""

    ranks: Ranks
    shape: ModelShape
    steps: int
    rounds: int
    memory: Memory = field(init=False)

    def __post_init__(self) -> None:
        self.memory = Memory(self.ranks.device)

    def clips(self, batch: int) -> int:
        """How many clips it takes so that none comes twice; every block begins with a step that does not count."""
        return batch * self.rounds * (self.steps + 1)

    def run(self, workload: Workload, cap_bytes: int) -> list[Figures]:
        """The figures of every context. Raises ResourceLimitError when not even single clips fit under the cap."""
        self.memory.release()
        with tempfile.TemporaryDirectory(prefix="gpu-") as folder:
            split = speech_split(Path(folder) / "store", self.shape, workload.seconds, labels=workload.labels)
            return self._run(workload, cap_bytes, split)

    def _run(self, workload: Workload, cap_bytes: int, split: StoreSplit) -> list[Figures]:
        settings = TrainSettings(
            store=Path(), vram_budget=cap_bytes, global_batch_size=workload.batch, optim=OPTIM, _env_file=None
        )
        stepper, data = self._stepper(settings), Data(split, None, "", self.shape)
        budget = find_budget(Setup.of(settings, self.ranks), data, stepper, None)
        blocks = {
            name: Block(self, stepper, data, settings.model_copy(update={"full_context_share": share}), budget)
            for name, share in workload.shares.items()
        }
        next(iter(blocks.values())).settle()
        for number in range(self.rounds):
            for block in blocks.values():
                block.run(number * (self.steps + 1))
        return [block.figures(workload, name) for name, block in blocks.items()]

    def _stepper(self, settings: TrainSettings) -> Stepper:
        model = TrainingModel(random_whisper(self.shape, self.ranks.device)).train()
        optimiser = make_optimiser(OPTIM, trained_parameters(model), self.ranks, rate=RATE, weight_decay=0.0)
        return Stepper(model, optimiser, self.ranks, torch.float16, settings.max_grad_norm, settings.seed)


@dataclass(slots=True)
class Block:
    """Steps with contexts of one kind, and what they took."""

    trial: Trial
    stepper: Stepper
    data: Data
    settings: TrainSettings
    budget: Budget
    lowered: int = 0
    records: list[StepRecord] = field(default_factory=list)
    allocated: list[int | None] = field(default_factory=list)
    reserved: list[int | None] = field(default_factory=list)

    def settle(self) -> None:
        """Repeats the first step until it updates the model: before, the optimiser has no state.

        Raises SpeechPrepError where that never comes.
        """
        for _ in range(MOST_SETTLING):
            if self._steps([0]).skipped_steps == 0:
                return
        raise SpeechPrepError(f"{MOST_SETTLING} steps gave no finite gradient", "this is a fault of the trainer")

    def run(self, first: int) -> None:
        """Steps from *first* on; that one is to fill the loader's queue, and does not count."""
        memory = self.trial.memory
        memory.start()
        self.records.append(self._steps(range(first, first + 1 + self.trial.steps), counted_from=first + 1))
        for peaks, peak in zip((self.allocated, self.reserved), memory.peaks(), strict=True):
            peaks.append(peak)

    def figures(self, workload: Workload, contexts: str) -> Figures:
        """Means over the rounds, and the highest peaks."""
        records = self.records
        mfus = [record.mfu for record in records if record.mfu is not None]
        return Figures(
            workload=workload.name,
            contexts=contexts,
            cap_bytes=self.settings.vram_budget or 0,
            frames=self.budget.frames,
            plain_frames=self.budget.plain_frames,
            samples_per_second=workload.batch / mean(record.seconds_per_step for record in records),
            data_wait_share=mean(record.data_wait_share for record in records),
            padding_waste=mean(record.padding_waste for record in records),
            skipped_steps=sum(record.skipped_steps for record in records),
            lowered=self.lowered,
            mfu=mean(mfus) if mfus else None,
            allocated_bytes=_highest(self.allocated),
            reserved_bytes=_highest(self.reserved),
        )

    def _steps(self, numbers: Sequence[int], counted_from: int = 0) -> StepRecord:
        plans = planner(Setup.of(self.settings, self.trial.ranks), self.data, self.budget)
        with Loader(self.data.train, plans, 0, self.trial.ranks.device, numbers[-1] + 1) as loader:
            meter = Meter(self.trial.ranks, loader, self.trial.shape, freeze_encoder=False)
            for number in numbers:
                if number == counted_from and number > numbers[0]:
                    meter.record(number, 1.0)
                self._step(number, loader, meter)
            return meter.record(numbers[-1], self.stepper.scaler.get_scale())

    def _step(self, number: int, loader: Loader, meter: Meter) -> None:
        """One step; as in a run, it is repeated with smaller micro-batches where memory runs out."""
        started = perf_counter()
        while True:
            plan, batches = loader.step(number)
            try:
                result = self.stepper.run(plan, batches, RATE)
            except OutOfMemory:
                self.lowered += 1
                self.budget = loader.planner.budget = lowered(self.budget)
                loader.reset()
                self.trial.memory.release()
            else:
                meter.add(plan, result, RATE, perf_counter() - started)
                return


def _highest(peaks: Sequence[int | None]) -> int | None:
    return max((peak for peak in peaks if peak is not None), default=None)

"""The parts of a run, made from its settings: store, model, optimiser, plan, evaluator, checkpoints."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from tokenizers import Tokenizer
from transformers import WhisperForConditionalGeneration

from shared.errors import UsageError
from shared.layout import StoreLayout, read_record
from shared.model_files import model_config, model_file
from shared.store import StoreSplit
from trainer.activations import StepOptions
from trainer.checkpoint import checkpoints as written
from trainer.checkpoint_writer import Checkpoints, still_to_come
from trainer.data import check_split, evaluation_split, monitored_rows, open_for_training, require_rows
from trainer.distributed import Ranks
from trainer.evaluation import Evaluator
from trainer.footprint import optimiser_bytes
from trainer.micro_batches import Budget
from trainer.model import TrainingModel, trained_parameters
from trainer.optim import make_optimiser, resolve_optim
from trainer.output import check_room, small_files
from trainer.settings import TrainSettings
from trainer.shape import ModelShape
from trainer.step import Stepper
from trainer.steps import Lengths, StepPlanner

DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": None}


@dataclass(frozen=True, slots=True)
class Data:
    """The splits that a run reads; *evaluated* is None where the store has none to evaluate on."""

    train: StoreSplit
    evaluated: StoreSplit | None
    tokenizer_json: str
    shape: ModelShape


def open_data(settings: TrainSettings, tell: Callable[[str], None], stop: Callable[[], bool] = lambda: False) -> Data:
    """The store, checked against the model, before any weight is read; *stop* ends waiting for it.

    Raises StoreError for an incomplete store, UsageError where store and model do not fit each other.
    """
    store = settings.store_folder
    if not settings.wait_for_store:
        # A mistyped name is told before the Hub is asked for a model.
        read_record(StoreLayout(store))
    config = model_config(settings.model)
    tokenizer_json = model_file(settings.model, "tokenizer.json")
    train = open_for_training(store, settings.split, wait=settings.wait_for_store, tell=tell, stop=stop)
    name = evaluation_split(train.record, settings.eval_split)
    evaluated = open_for_training(store, name, wait=settings.wait_for_store, tell=tell, stop=stop) if name else None
    if evaluated is not None and not len(evaluated):
        evaluated = None
    shape = ModelShape.from_config(config)
    for split in (train, evaluated):
        if split is not None:
            check_split(split, shape, tokenizer_json, allow_long_context=settings.allow_long_context)
    require_rows(train, settings.global_batch_size)
    return Data(train, evaluated, tokenizer_json, shape)


def planner(settings: TrainSettings, data: Data, ranks: Ranks, budget: Budget) -> StepPlanner:
    """Plans the steps of a run. Raises UsageError for fewer clips in a step than ranks."""
    if settings.global_batch_size < ranks.world_size:
        message = f"--global-batch-size {settings.global_batch_size} is less than the {ranks.world_size} ranks"
        raise UsageError(message, "give every rank at least one clip")
    lengths = Lengths(data.train.num_frames, data.train.num_labels, data.train.duration)
    share = settings.full_context_share
    return StepPlanner(lengths, settings.global_batch_size, settings.seed, share, ranks.world_size, budget)


def max_steps(settings: TrainSettings, steps_per_epoch: int) -> int:
    """Optimiser steps of the whole run."""
    return settings.max_steps or max(1, math.ceil(round(settings.num_epochs * steps_per_epoch, 6)))


def make_stepper(settings: TrainSettings, ranks: Ranks, whisper: WhisperForConditionalGeneration) -> Stepper:
    """The model around *whisper*, and its optimiser, on this rank's device."""
    model = TrainingModel(whisper, freeze_encoder=settings.freeze_encoder).to(ranks.device).train()
    optim = resolve_optim(settings.optim, ranks)
    parameters = trained_parameters(model)
    optimiser = make_optimiser(
        optim, parameters, ranks, rate=settings.learning_rate, weight_decay=settings.weight_decay
    )
    return Stepper(model, optimiser, ranks, precision(settings, ranks), settings.max_grad_norm, settings.seed)


def precision(settings: TrainSettings, ranks: Ranks) -> torch.dtype | None:
    """Autocast's dtype, None for none. Raises UsageError for float16 on a CPU, whose arithmetic is far slower."""
    if settings.precision == "auto":
        return torch.float16 if ranks.is_cuda else None
    if settings.precision == "fp16" and not ranks.is_cuda:
        raise UsageError("--precision fp16 needs a GPU", "leave --precision out, or try bf16")
    return DTYPES[settings.precision]


def step_options(settings: TrainSettings, ranks: Ranks) -> StepOptions:
    """What decides how much memory a step of this run takes."""
    optim = resolve_optim(settings.optim, ranks)
    return StepOptions(
        optimiser="adamw" if optim == "auto" else optim,
        world_size=ranks.world_size,
        freeze_encoder=settings.freeze_encoder,
        autocast=precision(settings, ranks) is not None,
    )


def make_evaluator(settings: TrainSettings, data: Data, stepper: Stepper, frames: int) -> Evaluator | None:
    """What evaluates the model, on a fixed subset or on everything."""
    if data.evaluated is None:
        return None
    count = len(data.evaluated) if settings.eval_full else settings.eval_rows
    rows = monitored_rows(data.evaluated, count)
    tokenizer = Tokenizer.from_str(data.tokenizer_json)
    window = settings.eval_padding == "window"
    return Evaluator(data.evaluated, rows, tokenizer, stepper.ranks, stepper.dtype, frames, window)


@contextmanager
def open_checkpoints(
    settings: TrainSettings, ranks: Ranks, stepper: Stepper, shape: ModelShape, max_steps: int
) -> Iterator[Checkpoints | None]:
    """What writes checkpoints, on rank 0."""
    if not ranks.is_main:
        yield None
        return
    output = settings.output_folder
    checkpoints = Checkpoints(output, small_files(settings.model), settings.keep_latest)
    checkpoints.clear_partial()
    weights = sum(parameter.nbytes for parameter in stepper.model.parameters())
    # Rank 0 writes the whole optimiser, however it is shared out.
    one = weights + optimiser_bytes(shape, replace(step_options(settings, ranks), world_size=1))
    existing = [step for step, _ in written(output)]
    steps = max_steps - max(existing, default=0)
    check_room(output, one, still_to_come(len(existing), -(-steps // settings.save_steps), settings.keep_latest))
    try:
        yield checkpoints
    finally:
        checkpoints.close()

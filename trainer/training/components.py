"""The parts of a run, made from its settings: what these leave open, store, model, plan, evaluator, checkpoints."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Self

import torch
from transformers import WhisperForConditionalGeneration

from shared.errors import UsageError
from shared.layout import StoreLayout, read_record
from shared.schema import WINDOW_FRAMES
from shared.system.home import expand_home
from shared.text import open_tokenizer
from shared.units import format_counted
from trainer.checkpoints.checkpoint import checkpoints as written
from trainer.checkpoints.output_folder import check_room, small_files
from trainer.checkpoints.writer import Checkpoints, still_to_come
from trainer.data.dataset import check_split, evaluation_splits, monitored_rows, open_for_training, require_rows
from trainer.data.exclusion import Exclusion
from trainer.data.micro_batches import Budget
from trainer.data.packing import Packing
from trainer.data.rows import JoinedRows, numbered
from trainer.data.step_planner import Lengths, StepPlanner
from trainer.data.timed_labels import TimeTokens
from trainer.distributed.ranks import Ranks
from trainer.memory.activations import Optimiser, StepOptions
from trainer.memory.footprint import optimiser_bytes
from trainer.model.files import ModelFiles
from trainer.model.own_settings import read_own_settings
from trainer.model.shape import ModelShape
from trainer.model.whisper import TrainingModel, trained_parameters
from trainer.settings import TrainSettings
from trainer.training.evaluator import Evaluator
from trainer.training.optimizers import make_optimiser
from trainer.training.step import Stepper

_DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": None}


@dataclass(frozen=True, slots=True)
class Setup:
    """A run's *settings* on its *ranks*, with all that they leave open decided: once, before anything is opened.

    *dtype* is autocast's, None for none; *options* name the optimiser, and what else decides a step's memory.
    """

    settings: TrainSettings
    ranks: Ranks
    dtype: torch.dtype | None
    options: StepOptions

    @classmethod
    def of(cls, settings: TrainSettings, ranks: Ranks) -> Self:
        """Raises UsageError for more ranks than clips."""
        if settings.global_batch_size < ranks.world_size:
            message = (
                f"--global-batch-size {settings.global_batch_size} is less than the "
                f"{format_counted(ranks.world_size, 'rank')}"
            )
            raise UsageError(message, "give every rank at least one clip")
        auto: tuple[Optimiser, torch.dtype | None] = ("adamw-8bit", torch.float16) if ranks.is_cuda else ("adamw", None)
        dtype = auto[1] if settings.precision == "auto" else _DTYPES[settings.precision]
        options = StepOptions(
            optimiser=auto[0] if settings.optim == "auto" else settings.optim,
            world_size=ranks.world_size,
            freeze_encoder=settings.freeze_encoder,
            autocast=dtype is not None,
        )
        return cls(settings, ranks, dtype, options)


@dataclass(frozen=True, slots=True)
class Data:
    """The rows that a run reads; *evaluated* is None where no store has any to evaluate on."""

    train: JoinedRows
    evaluated: JoinedRows | None
    tokenizer_json: str
    shape: ModelShape


def open_data(settings: TrainSettings, tell: Callable[[str], None], stop: Callable[[], bool] = lambda: False) -> Data:
    """The stores, checked against the model and each other, before any weight is read; *stop* ends waiting for them.

    Raises StoreError for an incomplete store, UsageError where stores, model and `--exclude-rows` do not fit.
    """
    stores = settings.store_folders
    if not settings.wait_for_store:
        # A mistyped name is told before the Hub is asked for a model.
        for store in stores:
            read_record(StoreLayout(store))
    excluded = Exclusion.read(expand_home(settings.exclude_rows)) if settings.exclude_rows else None
    # All that an export will want as well: not to be missed after days of training.
    files = ModelFiles.read(settings.model)
    for text in files.mended:
        tell(f"{settings.model}: {text}")
    tokenizer_json = files.tokenizer_json
    opened = partial(
        open_for_training,
        wait=settings.wait_for_store,
        check_rows=settings.check_rows,
        tell=tell,
        stop=stop,
    )
    trained = [opened(store, settings.split) for store in stores]
    evaluated = [opened(store, name) for store, name in evaluation_splits(trained, settings.eval_split)]
    shape = ModelShape.from_config(files.config)
    for split in (*trained, *evaluated):
        check_split(split, shape, tokenizer_json, allow_long_context=settings.allow_long_context)
    train = JoinedRows.of(trained, excluded.left_out(trained) if excluded else None)
    require_rows(train, settings.global_batch_size)
    held_out = JoinedRows.of(evaluated) if any(map(len, evaluated)) else None
    return Data(train, held_out, tokenizer_json, shape)


def planner(setup: Setup, data: Data, budget: Budget) -> StepPlanner:
    """Plans the steps of a run.

    Raises UsageError where clips are to tell times and the model's tokenizer has none, or packing leaves too little
    for a rank.
    """
    lengths, settings = Lengths(data.train.num_frames, data.train.num_labels, data.train.duration), setup.settings
    share = settings.full_context_share
    window = data.shape.window_frames
    plans = StepPlanner(
        lengths, settings.global_batch_size, settings.seed, share, setup.ranks.world_size, budget, window
    )
    if settings.pack_share or settings.timestamp_share:
        plans.packing = _packing(settings, data)
        plans.plan(0)
    return plans


def _packing(settings: TrainSettings, data: Data) -> Packing:
    limits = data.shape.limits
    return Packing(
        settings.pack_share,
        TimeTokens.of(data.tokenizer_json, data.shape.vocab_size),
        data.train.floor,
        numbered(data.train.source),
        timestamp_share=settings.timestamp_share,
        previous_share=settings.previous_text_share,
        # No later time has a token.
        window_frames=min(limits.window_frames, WINDOW_FRAMES),
        max_labels=limits.max_labels,
    )


def max_steps(settings: TrainSettings, steps_per_epoch: int) -> int:
    """Optimiser steps of the whole run."""
    return settings.max_steps or max(1, math.ceil(round(settings.num_epochs * steps_per_epoch, 6)))


def make_stepper(setup: Setup, whisper: WhisperForConditionalGeneration) -> Stepper:
    """The model around *whisper*, and its optimiser, on this rank's device."""
    settings, ranks = setup.settings, setup.ranks
    model = TrainingModel(whisper, freeze_encoder=settings.freeze_encoder).to(ranks.device).train()
    parameters, rate = trained_parameters(model), settings.learning_rate
    optimiser = make_optimiser(
        setup.options.optimiser, parameters, ranks, rate=rate, weight_decay=settings.weight_decay
    )
    return Stepper(model, optimiser, ranks, setup.dtype, settings.max_grad_norm, settings.seed)


def make_evaluator(setup: Setup, data: Data, frames: int) -> Evaluator | None:
    """What evaluates the model, on a fixed subset or on everything."""
    if data.evaluated is None:
        return None
    settings = setup.settings
    rows = monitored_rows(data.evaluated, len(data.evaluated) if settings.eval_full else settings.eval_rows)
    tokenizer = open_tokenizer(data.tokenizer_json, settings.model)
    window = settings.eval_padding == "window"
    own = read_own_settings(settings.model) if settings.generation_config == "model" else None
    limits = data.shape.limits
    return Evaluator(data.evaluated, rows, tokenizer, setup.ranks, setup.dtype, frames, window, limits, own)


def open_checkpoints(setup: Setup, stepper: Stepper, shape: ModelShape, max_steps: int) -> Checkpoints | None:
    """What writes checkpoints, on rank 0; whoever asks closes it. Raises ResourceLimitError where they find no room."""
    if not setup.ranks.is_main:
        return None
    settings, output = setup.settings, setup.settings.output_folder
    tied = bool(stepper.model.whisper.config.tie_word_embeddings)
    checkpoints = Checkpoints(output, small_files(settings.model, tied=tied), settings.keep_latest)
    checkpoints.clear_partial()
    weights = sum(parameter.nbytes for parameter in stepper.model.parameters())
    # Rank 0 writes the whole optimiser, however it is shared out.
    one = weights + optimiser_bytes(shape, replace(setup.options, world_size=1))
    existing = [step for step, _ in written(output)]
    steps = max_steps - max(existing, default=0)
    check_room(output, one, still_to_come(len(existing), -(-steps // settings.save_steps), settings.keep_latest))
    return checkpoints

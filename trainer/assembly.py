"""A run put together from its settings: store, model, optimiser, budget and what it goes on from."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from shared.errors import UsageError
from shared.store import StoreSplit
from trainer.activations import StepOptions, frame_bytes, token_bytes
from trainer.checkpoint import TrainState, latest, load_training
from trainer.data import check_split, evaluation_split, model_config, model_file, open_for_training, require_rows
from trainer.distributed import Ranks
from trainer.evaluation import Evaluator, monitored_rows
from trainer.footprint import optimiser_bytes
from trainer.memory import SHARE, BudgetSearch, allow, cpu_budget, made_up, peak_on_gpu, window_worst
from trainer.micro_batches import Budget, MicroBatch
from trainer.model import TrainingModel, load_model, trained_parameters
from trainer.optim import make_optimiser, resolve_optim
from trainer.optimiser_state import is_fresh, restore
from trainer.settings import TrainSettings
from trainer.shape import ModelShape
from trainer.step import Stepper
from trainer.steps import Lengths, StepPlanner

DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": None}
IDENTITY = "the checkpoints in --output were made with others"


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


def identity(settings: TrainSettings, data: Data) -> dict[str, Any]:
    """The model that a run began with, and what decides which clips every step has; it goes on only with the same."""
    return {
        "model": _model_name(settings.model),
        "store": data.train.record.uuid,
        "split": settings.split,
        "rows": len(data.train),
        "seed": settings.seed,
        "global_batch_size": settings.global_batch_size,
        "full_context_share": settings.full_context_share,
        "freeze_encoder": settings.freeze_encoder,
    }


def find_checkpoint(settings: TrainSettings, own: Mapping[str, Any]) -> tuple[Path, TrainState, dict[str, Any]] | None:
    """The last checkpoint of the output folder with its state; None for a new run.

    Raises UsageError where there is one but `--resume never`, or one of another run.
    """
    path = latest(settings.output_folder)
    if path is None:
        return None
    if settings.resume == "never":
        raise UsageError(f"{path} exists, and --resume is never", "name another --output, or leave --resume out")
    state, training = load_training(path)
    other = {
        name: (state.identity.get(name), value) for name, value in own.items() if state.identity.get(name) != value
    }
    if other:
        words = ", ".join(f"{name} {before!r} before, {now!r} now" for name, (before, now) in other.items())
        raise UsageError(f"{path}: {words}: {IDENTITY}", "name another --output, or give the same values")
    return path, state, training


def _model_name(name: str) -> str:
    """A Hub id as it is, a folder by where it lies."""
    folder = Path(name).expanduser()
    return str(folder.resolve()) if folder.is_dir() else name


def evaluation(settings: TrainSettings, data: Data) -> list[Any]:
    """What is evaluated and how; only rates of the same can be compared."""
    split = data.evaluated
    rows = None if split is None else len(split) if settings.eval_full else settings.eval_rows
    return [None if split is None else split.name, rows, settings.eval_padding]


def circumstances(settings: TrainSettings, ranks: Ranks) -> dict[str, Any]:
    """What decides how large a micro-batch may be; a budget found under others is not gone on with."""
    return {
        "world_size": ranks.world_size,
        "device": torch.cuda.get_device_name(ranks.device) if ranks.is_cuda else "cpu",
        "optim": resolve_optim(settings.optim, ranks),
        "precision": str(precision(settings, ranks)),
        "gradient_checkpointing": settings.gradient_checkpointing,
        "vram_budget": settings.vram_budget,
    }


def go_on(stepper: Stepper, training: dict[str, Any]) -> bool:
    """Gives *stepper* what a checkpoint's *training* holds, and forgets it there.

    False where the optimiser was another, whose state is of no use: this one begins without any.
    """
    # A run in other precision had no loss scale.
    if scaler := training.pop("scaler"):
        stepper.scaler.load_state_dict(scaler)
    return restore(stepper.optimiser, training.pop("optimiser"))


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
    return settings.max_steps or max(1, math.ceil(settings.num_epochs * steps_per_epoch))


def make_stepper(settings: TrainSettings, ranks: Ranks, source: str) -> Stepper:
    """Model (read from *source*) and optimiser on this rank's device."""
    model = TrainingModel(load_model(source), freeze_encoder=settings.freeze_encoder).to(ranks.device).train()
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


def token_frames(shape: ModelShape, options: StepOptions) -> float:
    """Frames whose activations take as much as one label's, kept or recomputed, whichever is more."""
    both = (replace(options, checkpointing=checkpointing) for checkpointing in (False, True))
    return max(token_bytes(shape, options) / frame_bytes(shape, options) for options in both)


def find_budget(
    settings: TrainSettings, data: Data, ranks: Ranks, stepper: Stepper, state: TrainState | None
) -> Budget:
    """The frame budget: the user's, the one this run had, or what the GPU has room for."""
    per_token = token_frames(data.shape, step_options(settings, ranks))
    mode = settings.gradient_checkpointing
    if settings.frame_budget or not ranks.is_cuda:
        return cpu_budget(settings.frame_budget, mode, per_token)
    allowed = ranks.least(allow(settings.vram_budget, ranks.device))
    now = circumstances(settings, ranks)
    if state is not None and now == {name: state.identity.get(name) for name in now}:
        return Budget(state.frames, state.plain_frames, per_token)
    worst = window_worst(
        int(data.train.num_frames.max()),
        int(data.train.num_labels.max()) - 1,
        full_contexts=settings.full_context_share > 0,
    )

    def attempt(batch: MicroBatch) -> None:
        stepper.try_out(batch, made_up(batch, data.shape.num_mel_bins, data.shape.vocab_size, ranks.device))

    def peak_bytes(batch: MicroBatch) -> int | None:
        return peak_on_gpu(batch, attempt, ranks)

    pending = optimiser_bytes(data.shape, step_options(settings, ranks)) if is_fresh(stepper.optimiser) else 0
    return BudgetSearch(worst, per_token, SHARE * allowed - pending, peak_bytes).run(mode)


def make_evaluator(settings: TrainSettings, data: Data, stepper: Stepper, frames: int) -> Evaluator | None:
    """What evaluates the model, on a fixed subset or on everything."""
    if data.evaluated is None:
        return None
    count = len(data.evaluated) if settings.eval_full else settings.eval_rows
    rows = monitored_rows(data.evaluated, count)
    tokenizer = Tokenizer.from_str(data.tokenizer_json)
    window = settings.eval_padding == "window"
    return Evaluator(data.evaluated, rows, tokenizer, stepper.ranks, stepper.dtype, frames, window)

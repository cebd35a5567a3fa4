"""What a run goes on from: whether a checkpoint is of the same run, and what of it is taken over."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from shared.errors import SpeechPrepError, UsageError
from shared.system.home import expand_home
from trainer.checkpoints.checkpoint import TrainState, checkpoints, latest, load_training
from trainer.checkpoints.optimizer_state import restore
from trainer.data.micro_batches import Budget
from trainer.model.device import device_name
from trainer.model.whisper import load_model
from trainer.settings import TrainSettings
from trainer.training.components import Data, Setup, make_stepper
from trainer.training.step import Stepper

_IDENTITY = "the checkpoints in --output were made with others"
_CONTENT, _EXCLUDED = "content", "excluded"
_SAME = {
    frozenset({_CONTENT}): "restore the store as it was",
    frozenset({_EXCLUDED}): "give an --exclude-rows of the same rows",
    frozenset({_EXCLUDED, "rows"}): "give an --exclude-rows of the same rows",
}
"""What else helps where just these entries of the identity differ."""


def identity(settings: TrainSettings, data: Data) -> dict[str, Any]:
    """The model that a run began with, and what decides which clips every step has; it goes on only with the same."""
    return {
        "model": _model_name(settings.model),
        "store": data.train.store,
        _CONTENT: data.train.content_digest,
        _EXCLUDED: data.train.excluded,
        "split": settings.split,
        "rows": len(data.train),
        "seed": settings.seed,
        "global_batch_size": settings.global_batch_size,
        "full_context_share": settings.full_context_share,
        "freeze_encoder": settings.freeze_encoder,
        # None where it is not used, as in checkpoints of earlier versions.
        "pack_share": settings.pack_share or None,
        "previous_text_share": settings.previous_text_share if settings.pack_share else None,
        "timestamp_share": settings.timestamp_share or None,
    }


def find_checkpoint(settings: TrainSettings, own: Mapping[str, Any]) -> tuple[Path, TrainState, dict[str, Any]] | None:
    """The last checkpoint of the output folder with its state; None for a new run.

    Raises UsageError where there is one but `--resume never`, one of another run, or only models.
    """
    path = latest(settings.output_folder)
    if path is None:
        _require_no_models(settings.output_folder)
        return None
    if settings.resume == "never":
        raise UsageError(f"{path} exists, and --resume is never", "name another --output, or leave --resume out")
    state, training = load_training(path)
    other = {
        name: (state.identity.get(name), value)
        for name, value in own.items()
        if state.identity.get(name) != value and not (name == _CONTENT and content_unknown(state))
    }
    if other:
        words = ", ".join(f"{name} {before!r} before, {now!r} now" for name, (before, now) in other.items())
        same = _SAME.get(frozenset(other), "give the same values")
        raise UsageError(f"{path}: {words}: {_IDENTITY}", f"name another --output, or {same}")
    return path, state, training


def content_unknown(state: TrainState) -> bool:
    """Whether *state* does not tell which content its store had: earlier versions did not write that down."""
    return state.identity.get(_CONTENT) is None


def _require_no_models(output: Path) -> None:
    """Raises UsageError where a new run would take the place of models that *output* has."""
    if models := checkpoints(output):
        message = f"{models[-1][1]} is a model alone, without the state that training goes on from"
        raise UsageError(message, f"name another --output; or remove {output}'s checkpoints to begin anew")


def _model_name(name: str) -> str:
    """A Hub id as it is, a folder by where it lies."""
    folder = expand_home(name)
    return str(folder.resolve()) if folder.is_dir() else name


def _evaluation(settings: TrainSettings, data: Data) -> list[Any]:
    """What is evaluated and how; only rates of the same can be compared."""
    split = data.evaluated
    if split is None:
        return [None, None, settings.eval_padding, None]
    rows = len(split) if settings.eval_full else settings.eval_rows
    return [split.name, rows, settings.eval_padding, split.content_digest, settings.generation_config]


def _comparable(before: list[Any] | None, now: list[Any]) -> bool:
    """Whether rates of both evaluations can be compared; earlier versions did not write down the content."""
    return before is not None and all(one == other for one, other in zip(before, now, strict=False))


def circumstances(setup: Setup) -> dict[str, Any]:
    """What decides how large a micro-batch may be; a budget found under others is not gone on with."""
    return {
        "world_size": setup.ranks.world_size,
        "device": device_name(setup.ranks.device),
        "optim": setup.options.optimiser,
        "precision": str(setup.dtype),
        "gradient_checkpointing": setup.settings.gradient_checkpointing,
        "vram_budget": setup.settings.vram_budget,
    }


def go_on(stepper: Stepper, training: dict[str, Any]) -> bool:
    """Gives *stepper* what a checkpoint's *training* holds, and forgets it there.

    False where the optimiser was another, whose state is of no use: this one begins without any.
    """
    # A run in other precision had no loss scale.
    if scaler := training.pop("scaler"):
        stepper.scaler.load_state_dict(scaler)
    return restore(stepper.optimiser, training.pop("optimiser"))


def stepper_from(setup: Setup, checkpoint: Path | None, tell: Callable[[str], None]) -> Stepper:
    """Model and optimiser, from *checkpoint* where there is one. Raises SpeechPrepError when that is damaged.

    *tell* hears where the model was not read as it is written.
    """
    if checkpoint is None:
        return make_stepper(setup, load_model(setup.settings.model, tell))
    try:
        whisper = load_model(str(checkpoint))
    except UsageError as error:
        remedy = f"remove {checkpoint}; the one before it is then used"
        raise SpeechPrepError(f"{checkpoint} cannot be loaded: {error.message}", remedy) from error
    return make_stepper(setup, whisper)


def run_state(state: TrainState | None, setup: Setup, data: Data, budget: Budget) -> TrainState:
    """Where the run stands; its budget is that of these ranks."""
    settings = setup.settings
    own = identity(settings, data) | circumstances(setup) | {"evaluation": _evaluation(settings, data)}
    before = state or TrainState(0, own, 0, 0)
    now = replace(before, identity=own, frames=budget.frames, plain_frames=budget.plain_frames)
    # Rates of other clips, or in other contexts, tell nothing of which model is the better one.
    same = _comparable(before.identity.get("evaluation"), own["evaluation"])
    return now if same else replace(now, best_wer=None, best_step=None, evaluated_step=0)

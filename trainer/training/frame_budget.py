"""How many frames a micro-batch of a run may have."""

from collections.abc import Callable
from dataclasses import replace

from trainer.checkpoints.checkpoint import TrainState
from trainer.checkpoints.optimizer_state import is_fresh
from trainer.data.micro_batches import Budget, MicroBatch
from trainer.memory.activations import StepOptions, frame_bytes, token_bytes
from trainer.memory.budget_search import SHARE, BudgetSearch, allow, cpu_budget, made_up, peak_on_gpu, window_worst
from trainer.memory.footprint import optimiser_bytes
from trainer.model.shape import ModelShape
from trainer.training.components import Data, Setup
from trainer.training.resume import circumstances
from trainer.training.step import Stepper


def token_frames(shape: ModelShape, options: StepOptions) -> float:
    """Frames whose activations take as much as one label's, kept or recomputed, whichever is more."""
    both = (replace(options, checkpointing=checkpointing) for checkpointing in (False, True))
    return max(token_bytes(shape, options) / frame_bytes(shape, options) for options in both)


def find_budget(
    setup: Setup, data: Data, stepper: Stepper, state: TrainState | None, measuring: Callable[[], None] = lambda: None
) -> Budget:
    """The frame budget: the user's, the one this run had, or what the GPU has room for.

    *measuring* is called where that has to be found out, which takes minutes.
    """
    settings, ranks = setup.settings, setup.ranks
    per_token = token_frames(data.shape, setup.options)
    mode = settings.gradient_checkpointing
    if settings.frame_budget or not ranks.is_cuda:
        return cpu_budget(settings.frame_budget, mode, per_token)
    allowed = ranks.least(allow(settings.vram_budget, ranks.device))
    now = circumstances(setup)
    if state is not None and now == {name: state.identity.get(name) for name in now}:
        return Budget(state.frames, state.plain_frames, per_token)
    measuring()
    packs = settings.pack_share > 0
    # A time takes the place of a label, and another comes after the text; windows may fill all places.
    labels = int(data.train.num_labels.max()) + (settings.timestamp_share > 0)
    worst = window_worst(
        int(data.train.num_frames.max()),
        (data.shape.limits.max_labels if packs else min(labels, data.shape.limits.max_labels)) - 1,
        full_contexts=settings.full_context_share > 0 or packs,
        window=data.shape.window_frames,
    )

    def attempt(batch: MicroBatch) -> None:
        stepper.try_out(batch, made_up(batch, data.shape.num_mel_bins, data.shape.vocab_size, ranks.device))

    def peak_bytes(batch: MicroBatch) -> int | None:
        return peak_on_gpu(batch, attempt, ranks)

    pending = optimiser_bytes(data.shape, setup.options) if is_fresh(stepper.optimiser) else 0
    return BudgetSearch(worst, per_token, SHARE * allowed - pending, peak_bytes).run(mode)

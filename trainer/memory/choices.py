"""What a training could take on a GPU, optimiser by optimiser, which of it to use, and what is left where nothing fits.

Pure; how it is shown is `trainer.estimate`'s.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from shared.units import format_bytes
from trainer.memory.activations import Optimiser, StepOptions
from trainer.memory.footprint import Footprint, dense_tokens, fits, footprint, suggested_frame_budget
from trainer.memory.words import frame_words
from trainer.model.shape import PUBLISHED, ModelShape

ORDER: tuple[Optimiser, ...] = ("adamw", "adamw-8bit", "adamw-zero1", "adafactor")
"""The first that fits is the one to use: exact, then nearly so, then at the price of traffic, then another method."""


@dataclass(frozen=True, slots=True)
class Need:
    """A micro-batch of *frames* on each of *world_size* GPUs of *vram_bytes*; of clips of *clip_frames*, if known."""

    frames: int
    vram_bytes: int
    world_size: int = 1
    freeze_encoder: bool = False
    clip_frames: int | None = None

    def tokens(self, shape: ModelShape) -> int:
        """The most decoder tokens that the micro-batch can have."""
        dense = dense_tokens(shape, self.frames)
        if self.clip_frames is None:
            return dense
        return min(dense, self.frames // self.clip_frames * shape.max_target_positions)


@dataclass(frozen=True, slots=True)
class Choice:
    """One line of the table: *options*, what they need, and the most frames of a micro-batch, None if too few."""

    options: StepOptions
    needed: Footprint
    fits: bool
    frame_budget: int | None


def choices(shape: ModelShape, need: Need) -> list[Choice]:
    """Every optimiser, in `ORDER`, without and with gradient checkpointing."""
    base = StepOptions(
        frames=need.frames,
        tokens=need.tokens(shape),
        world_size=need.world_size,
        freeze_encoder=need.freeze_encoder,
    )
    found = []
    for optimiser in ORDER:
        for checkpointing in (False, True):
            options = replace(base, optimiser=optimiser, checkpointing=checkpointing)
            needed = footprint(shape, options)
            budget = suggested_frame_budget(shape, options, need.vram_bytes)
            found.append(Choice(options, needed, fits(needed, need.vram_bytes), budget))
    return found


def any_fits(found: Sequence[Choice]) -> bool:
    """Whether some choice takes a clip of 30 s, or the micro-batch of the table."""
    return any(choice.fits or choice.frame_budget is not None for choice in found)


def advice(found: Sequence[Choice]) -> str:
    """One line: the first of *found* that fits, else the one with the largest micro-batch; `any_fits` has to hold."""
    best = next((choice for choice in found if choice.fits), None)
    best = best or max(found, key=lambda choice: choice.frame_budget or 0)
    optimiser = best.options.optimiser
    budgets = [_budget(choice) for choice in found if choice.options.optimiser == optimiser and choice.frame_budget]
    mode = "auto" if best.options.checkpointing else "never"
    total = format_bytes(best.needed.total) if best.fits else "smaller micro-batches"
    return f"use --optim {optimiser} --gradient-checkpointing {mode}: {total}; {', '.join(budgets)}"


def _budget(choice: Choice) -> str:
    how = "recomputed" if choice.options.checkpointing else "kept"
    return f"up to {frame_words(choice.frame_budget or 0)} {how}"


def way_out(shape: ModelShape, need: Need) -> str:
    """What to try where nothing fits: what is named here does."""
    if not need.freeze_encoder and any_fits(choices(shape, replace(need, freeze_encoder=True))):
        return "--freeze-encoder fits"
    smaller = sorted(PUBLISHED.items(), key=lambda item: -item[1].parameter_count)
    name = next((name for name, other in smaller if any_fits(choices(other, need))), None)
    return "a GPU with more memory" + (f", or a smaller model: {name} fits" if name else "")

"""The GPU memory that a training step of Whisper takes, whether it fits, and how large a micro-batch may be. Pure.

The CUDA context, NCCL's buffers and fragmentation are not counted: they are what USABLE_SHARE leaves.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

from trainer.memory.activations import FULL, StepOptions, activation_bytes, passing_bytes
from trainer.model.shape import ModelShape

USABLE_SHARE = 0.92
"""Of a card's memory, what a step may plan to use."""
_BLOCK = 256
"""Values that share one float32 scale in an 8-bit state (Dettmers et al. 2021, arXiv:2110.02861; bitsandbytes)."""
_LARGEST_BUDGET = 10_000_000
"""Frames, 28 hours: more than any card holds."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes on one GPU at the worst moment of a step.

    *weights*, *gradients* and *optimiser* stay. *activations* are what the forward pass keeps for the backward one;
    *passing* is what comes on top at the worst moment: autocast's copies of the weights, logits, a layer's gradients.
    """

    weights: int
    gradients: int
    optimiser: int
    activations: int
    passing: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.gradients + self.optimiser + self.activations + self.passing


def footprint(shape: ModelShape, options: StepOptions) -> Footprint:
    """What a step of a model of *shape* takes under *options*.

    Gradients are one float32 copy: DDP's buckets are the gradients themselves (`gradient_as_bucket_view`).
    """
    return Footprint(
        weights=FULL * shape.parameter_count,
        gradients=FULL * shape.trained_count(freeze_encoder=options.freeze_encoder),
        optimiser=optimiser_bytes(shape, options),
        activations=activation_bytes(shape, options),
        passing=passing_bytes(shape, options),
    )


def fits(needed: Footprint, vram_bytes: int) -> bool:
    """Whether *needed* stays within USABLE_SHARE of a card's *vram_bytes*."""
    return needed.total <= USABLE_SHARE * vram_bytes


def suggested_frame_budget(shape: ModelShape, options: StepOptions, vram_bytes: int) -> int | None:
    """The most padded frames of a micro-batch that fits in USABLE_SHARE of *vram_bytes*; None when not one window does.

    Tokens are as dense as they can be, a full decoder for every window of 30 s; what *options* says of frames and
    tokens does not matter.
    """

    def needed(frames: int) -> int:
        tokens = dense_tokens(shape, frames)
        return footprint(shape, replace(options, frames=frames, tokens=tokens)).total

    frames = bisect_right(range(_LARGEST_BUDGET), USABLE_SHARE * vram_bytes, key=needed) - 1
    return frames if frames >= shape.window_frames else None


def dense_tokens(shape: ModelShape, frames: int) -> int:
    """The most decoder tokens that *frames* of full windows can have."""
    return -(-frames * shape.max_target_positions // shape.window_frames)


def clip_tokens(shape: ModelShape, frames: int) -> int:
    """The most decoder tokens of one clip of *frames*: a clip over the window has no more places than one within it."""
    return min(dense_tokens(shape, frames), shape.max_target_positions)


def optimiser_bytes(shape: ModelShape, options: StepOptions) -> int:
    """The optimiser's state: two moments for AdamW, row and column means for Adafactor (Shazeer and Stern 2018,
    arXiv:1804.04235). ZeRO-1 (Rajbhandari et al. 2020, arXiv:1910.02054) shares the moments out over the ranks.
    """
    trained = shape.trained_count(freeze_encoder=options.freeze_encoder)
    match options.optimiser:
        case "adamw":
            return 2 * FULL * trained
        case "adamw-8bit":
            return 2 * (trained + FULL * -(-trained // _BLOCK))
        case "adamw-zero1":
            return -(-2 * FULL * trained // options.world_size)
        case "adafactor":
            weights = shape.trained_weights(freeze_encoder=options.freeze_encoder)
            return FULL * sum(_factored(weight.dims) * times for weight, times in weights.items())


def _factored(dims: Sequence[int]) -> int:
    """Values of Adafactor's state for one tensor: the last two dimensions are factored, a vector is kept whole."""
    if len(dims) == 1:
        return dims[0]
    *batch, rows, columns = dims
    return (rows + columns) * (batch[0] if batch else 1)

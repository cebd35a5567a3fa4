"""How a machine is tried: which size of model, on how many ranks, and what that is expected to take. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trainer.checking.observations import Build, Training
from trainer.checking.speech import TOKENS_PER_SECOND, labels_of, speech_seconds
from trainer.checking.world import World
from trainer.memory.activations import Optimiser, StepOptions
from trainer.memory.choices import Choice, Need, any_fits, choices
from trainer.memory.footprint import footprint, optimiser_bytes
from trainer.memory.words import BUSY_SHARES
from trainer.model.flops import epoch_flops, peak_flops
from trainer.model.shape import PUBLISHED, ModelShape

FULL_CONTEXT_SHARE = 0.15
TINIEST = ModelShape(
    d_model=64,
    encoder_layers=2,
    decoder_layers=2,
    encoder_ffn_dim=256,
    decoder_ffn_dim=256,
    encoder_heads=2,
    decoder_heads=2,
    vocab_size=2_048,
    num_mel_bins=80,
    max_source_positions=1_500,
    max_target_positions=448,
)
"""A CPU's: some hundred thousand weights, with Whisper's window and special tokens."""
_DEMO = "demo"
SIZES = {_DEMO: TINIEST} | {name.removeprefix("openai/whisper-"): shape for name, shape in PUBLISHED.items()}
_WISHED = ("large-v3-turbo", "medium", "small", "base", "tiny")
"""What a GPU is tried with: the first of these that fits."""
_GPU_OPTIMISER: Optimiser = "adamw-8bit"
_CPU_OPTIMISER: Optimiser = "adamw"
_ROOM = 1 << 30
"""Bytes of the disk besides weights: the store, logs, and what others write meanwhile."""


@dataclass(frozen=True, slots=True)
class Scope:
    """A model of *size*, trained by *ranks* on GPUs or CPUs for *steps* steps of *batch* clips."""

    size: str
    ranks: int
    cuda: bool
    vram_bytes: int

    @property
    def shape(self) -> ModelShape:
        """The model's."""
        return SIZES[self.size]

    @property
    def steps(self) -> int:
        """The first quarter of them brings loss scale and kernels into being and does not count."""
        return 12 if self.cuda else 4

    @property
    def batch(self) -> int:
        """Clips in a step: on GPUs a training's usual number, on CPUs two for each rank."""
        return max(48 if self.cuda else 0, 2 * self.ranks)

    @property
    def seconds(self) -> NDArray[np.float64]:
        """The lengths of the clips."""
        return speech_seconds(self.steps * self.batch)

    @property
    def options(self) -> StepOptions:
        """How the trainer's defaults take a step here."""
        optimiser = _GPU_OPTIMISER if self.cuda else _CPU_OPTIMISER
        return StepOptions(optimiser=optimiser, world_size=self.ranks, autocast=self.cuda)

    @property
    def disk_bytes(self) -> int:
        """What a check writes: the model, a checkpoint with the optimiser's state, an export in 16 bits."""
        weights = 4 * self.shape.parameter_count
        return 2 * weights + optimiser_bytes(self.shape, self.options) + weights // 2 + _ROOM


def scope_of(world: World) -> Scope:
    """How the machine of *world* is tried. Ranks that cannot reach each other are not started together."""
    build, wishes = world.facts(Build), world.wishes
    total = list(build.total) if build is not None else []
    least = min([*total, *([wishes.vram_budget] if wishes.vram_budget else [])], default=0)
    wanted = wishes.ranks or len(total) or 2
    ranks = 1 if world.failed("ranks") else min(wanted, len(total)) if total else wanted
    size = wishes.size or (largest_fitting(least, ranks) if total else _DEMO)
    return Scope(size, ranks, bool(total), least if total else 0)


def largest_fitting(vram_bytes: int, ranks: int) -> str:
    """The size to try on GPUs of *vram_bytes*: turbo, or the largest below it that fits."""
    need = Need(3_000, vram_bytes, ranks)
    fitting = (name for name in _WISHED if any_fits([one for one in choices(SIZES[name], need) if _is_usual(one)]))
    return next(fitting, _WISHED[-1])


def _is_usual(choice: Choice) -> bool:
    return choice.options.optimiser == _GPU_OPTIMISER


def expected_rate(scope: Scope, gpus: Sequence[str]) -> tuple[float, float] | None:
    """Clips a second, from least to most, that *gpus* of these names are expected to train on; None where unknown.

    All wait for the slowest of them.
    """
    peaks = [peak_flops(gpu) for gpu in gpus]
    known = [peak for peak in peaks if peak is not None]
    if not known or len(known) < len(peaks):
        return None
    seconds = scope.seconds
    tokens = np.array([labels_of(each) for each in seconds.tolist()], np.float64)
    flops = epoch_flops(scope.shape, 100 * seconds, tokens, full_context_share=FULL_CONTEXT_SHARE) / len(seconds)
    least, most = (share * min(known) * scope.ranks / flops for share in BUSY_SHARES)
    return least, most


def expected_bytes(scope: Scope, found: Training) -> int:
    """The most that a micro-batch of the budget that was *found* takes of a GPU, by the formulas of the estimate."""
    tokens = round(found.frames / 100 * TOKENS_PER_SECOND)
    recomputes = found.plain_frames < found.frames
    return footprint(
        scope.shape, replace(scope.options, frames=found.frames, tokens=tokens, checkpointing=recomputes)
    ).total

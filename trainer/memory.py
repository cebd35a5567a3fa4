"""How large micro-batches may be: found on the GPU by trying the worst ones, lowered when memory runs out later."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import nn

from shared.errors import ResourceLimitError
from shared.schema import WINDOW_FRAMES
from trainer.distributed import Ranks
from trainer.loader import Tensors
from trainer.sampler import Budget, Clip, MicroBatch
from trainer.settings import Checkpointing, Optim

CPU_FRAMES = 12_000
"""A micro-batch on a CPU: four full windows. Larger ones are no faster there."""
SHARE = 0.92
"""Of the memory allowed, what tried micro-batches may take: the rest is for fragments."""
LOWERED = 0.8
"""What is left of a budget after memory ran out."""
LEAST_FRAMES = 500
STATE_BYTES: dict[Optim, float] = {"adamw": 8.0, "adamw-8bit": 2.1, "adamw-zero1": 8.0, "adafactor": 0.1}
"""Optimiser state per parameter; AdamW's two moments are float32, ZeRO-1's are shared out over the ranks."""


@dataclass(frozen=True, slots=True)
class Worst:
    """The hardest clip there is: the longest one's *frames* with the most *tokens* any has."""

    frames: int
    tokens: int


def token_frames(encoder_layers: int, decoder_layers: int) -> float:
    """Frames whose activations take as much as one token's.

    A decoder layer keeps about 1.5 times what an encoder layer does (it attends twice), and two frames are one encoder
    position.
    """
    return 2 * 1.5 * decoder_layers / encoder_layers


def cpu_budget(frames: int | None, mode: Checkpointing, per_token: float) -> Budget:
    """The budget where memory is not measured: *frames*, or `CPU_FRAMES`."""
    frames = frames or CPU_FRAMES
    return Budget(frames, 0 if mode == "always" else frames, per_token)


def lowered(budget: Budget) -> Budget:
    """A smaller budget. Raises ResourceLimitError where there is none left to try."""
    smaller = replace(budget, frames=int(budget.frames * LOWERED), plain_frames=int(budget.plain_frames * LOWERED))
    if smaller.frames < LEAST_FRAMES:
        remedy = "python -m trainer.estimate tells what fits: another --optim, or a smaller model"
        raise ResourceLimitError("not even a single clip fits into the GPU's memory any more", remedy)
    return smaller


@dataclass(slots=True)
class BudgetSearch:
    """Finds the budget on a GPU with *allowed_bytes*: *attempt* runs one micro-batch forward and backward.

    *pending_bytes* is what the optimiser will take at its first update.
    """

    ranks: Ranks
    worst: Worst
    per_token: float
    allowed_bytes: int
    pending_bytes: int
    attempt: Callable[[MicroBatch], None]

    def run(self, mode: Checkpointing) -> Budget:
        """The budget, the same on all ranks. Raises ResourceLimitError when the worst clip alone does not fit."""
        recomputed = 0 if mode == "never" else self._largest(recompute=True)
        plain = 0 if mode == "always" else self._largest(recompute=False)
        if max(recomputed, plain) == 0:
            remedy = "python -m trainer.estimate tells what fits; --gradient-checkpointing always takes least"
            raise ResourceLimitError("the longest clip does not fit into the GPU's memory", remedy)
        one = Budget(0, 0, self.per_token).cost(self.worst.frames, self.worst.tokens)
        # Recomputing costs a third more time: it is for clips that do not fit otherwise, not for larger batches.
        frames = plain or recomputed
        return Budget(frames * one, plain * one, self.per_token)

    def _largest(self, *, recompute: bool) -> int:
        """The most of the worst clips that fit at once; 0 when not even one does."""
        first = self._peak_bytes(1, recompute=recompute)
        if first is None:
            return 0
        room = SHARE * self.allowed_bytes - self.pending_bytes
        second = self._peak_bytes(2, recompute=recompute)
        if first > room or second is None:
            return int(first <= room)
        count = 1 + max(0, math.floor((room - first) / max(1, second - first)))
        while count > 1:
            peak = self._peak_bytes(count, recompute=recompute)
            if peak is not None and peak <= room:
                return count
            count = int(count * LOWERED)
        return 1

    def _peak_bytes(self, count: int, *, recompute: bool) -> int | None:
        """Most memory of any rank while *count* of the worst clips are computed; None when one has too little."""
        clip = Clip(0, self.worst.frames, self.worst.tokens)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        try:
            self.attempt(MicroBatch((clip,) * count, clip.frames, recompute=recompute))
            peak = torch.cuda.max_memory_allocated()
        except torch.OutOfMemoryError:
            peak = -1
        peaks: list[int] = self.ranks.gather(peak)
        return None if min(peaks) < 0 else max(peaks)


def made_up(batch: MicroBatch, num_mel_bins: int, vocab_size: int, device: torch.device) -> Tensors:
    """Tensors of *batch*'s shape with nothing in them, as a `Loader` would give."""
    count, tokens = len(batch.clips), max(clip.tokens for clip in batch.clips)
    return (
        torch.zeros(count, batch.num_frames, num_mel_bins, dtype=torch.float16, device=device),
        torch.zeros(count, device=device),
        torch.zeros(count, tokens, dtype=torch.int64, device=device),
        torch.arange(count * tokens, device=device),
        torch.randint(vocab_size, (count * tokens,), device=device),
    )


def pending_bytes(optim: Optim, parameters: list[nn.Parameter], world_size: int) -> int:
    """What the optimiser will take at its first update."""
    share = world_size if optim == "adamw-zero1" else 1
    return int(STATE_BYTES[optim] * sum(parameter.numel() for parameter in parameters) / share)


def allow(vram_budget: int | None, device: torch.device) -> int:
    """Bytes of the GPU that this process may take; more are refused by torch from now on."""
    total = torch.cuda.get_device_properties(device).total_memory
    allowed = min(vram_budget or total, total)
    torch.cuda.set_per_process_memory_fraction(allowed / total, device)
    return allowed


def window_worst(frames: int, tokens: int, *, full_contexts: bool) -> Worst:
    """The hardest clip of a data set whose longest has *frames*: the whole window where some are padded to it."""
    return Worst(max(frames, WINDOW_FRAMES) if full_contexts else frames, tokens)

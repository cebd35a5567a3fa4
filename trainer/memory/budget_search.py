"""How large micro-batches may be: found on the GPU by trying the worst ones, lowered when memory runs out later."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from shared.errors import ResourceLimitError
from shared.schema import WINDOW_FRAMES
from trainer.data.clips import Clip, Clips
from trainer.data.loader import Tensors
from trainer.data.micro_batches import Budget, MicroBatch
from trainer.distributed.ranks import Ranks
from trainer.settings import Checkpointing

_CPU_FRAMES = 12_000
"""A micro-batch on a CPU: four full windows. Larger ones are no faster there."""
SHARE = 0.92
"""Of the memory allowed, what tried micro-batches may take: the rest is for fragments."""
MARGIN = 512 << 20
"""Bytes of a GPU left to NCCL and to kernels, which torch loads when they are first used."""
_LOWERED = 0.8
"""What is left of a budget after memory ran out."""
_LEAST_FRAMES = 500
_PARTS = 4
"""The worst clip is tried in so many parts: short clips fill what is left beside a long one."""


@dataclass(frozen=True, slots=True)
class Worst:
    """The hardest clip there is: the longest one's *frames* with the most *tokens* any has."""

    frames: int
    tokens: int


def cpu_budget(frames: int | None, mode: Checkpointing, per_token: float) -> Budget:
    """The budget where memory is not measured: *frames*, or `_CPU_FRAMES`."""
    frames = frames or _CPU_FRAMES
    return Budget(frames, 0 if mode == "always" else frames, per_token)


def lowered(budget: Budget) -> Budget:
    """A smaller budget. Raises ResourceLimitError where there is none left to try."""
    smaller = replace(budget, frames=int(budget.frames * _LOWERED), plain_frames=int(budget.plain_frames * _LOWERED))
    if smaller.frames < _LEAST_FRAMES:
        remedy = "python -m trainer.estimate tells what fits: another --optim, or a smaller model"
        raise ResourceLimitError("not even a single clip fits into the GPU's memory any more", remedy)
    return smaller


@dataclass(frozen=True, slots=True)
class BudgetSearch:
    """Finds the budget under *room_bytes*; *peak_bytes* tries a micro-batch, and says None when memory ran out. Pure.

    The worst clip has to fit by itself, recomputed if need be. What fits beyond it is told by the growth from few to
    more quarters of that clip, and then tried.
    """

    worst: Worst
    per_token: float
    room_bytes: float
    peak_bytes: Callable[[MicroBatch], int | None]

    def run(self, mode: Checkpointing) -> Budget:
        """The budget. Raises ResourceLimitError when the worst clip alone does not fit."""
        recomputed = 0 if mode == "never" else self._largest(recompute=True)
        plain = 0 if mode == "always" else self._largest(recompute=False)
        if recomputed and not plain and mode == "auto":
            plain = self._shorter()
        if max(recomputed, plain) == 0:
            remedy = "python -m trainer.estimate tells what fits; --gradient-checkpointing always takes least"
            raise ResourceLimitError("the longest clip does not fit into the GPU's memory", remedy)
        # Recomputing costs a third more time: it is for clips that do not fit otherwise, not for larger batches.
        return Budget(plain or recomputed, plain, self.per_token)

    def _largest(self, *, recompute: bool) -> int:
        """The most padded frames that fit at once; 0 when the worst clip does not."""
        whole = self.peak_bytes(self._clips(1, 1, recompute=recompute))
        if whole is None or whole > self.room_bytes:
            return 0
        few, more = (self.peak_bytes(self._clips(n, _PARTS, recompute=recompute)) for n in (_PARTS // 2, _PARTS))
        if few is None or more is None:
            return self._frames(_PARTS)
        # Two quarters take 3 GB and four 4 GB: half of one each. Where 8 GB may be taken, 4 + 4 / 0.5 are tried first.
        growth = max(1.0, (more - few) / (_PARTS // 2))
        count = _PARTS + max(0, int((self.room_bytes - max(whole, more)) / growth))
        while count > _PARTS:
            if self._fit(count, recompute=recompute):
                break
            count = max(_PARTS, int(count * _LOWERED))
        return self._frames(count)

    def _shorter(self) -> int:
        """The most padded frames that fit plain where the worst clip does not; 0 when that is less than half of it."""
        for count in range(_PARTS - 1, _PARTS // 2 - 1, -1):
            if self._fit(count, recompute=False):
                part = self._part(_PARTS)
                return count * Budget(0, 0, self.per_token).cost(part.frames, part.tokens)
        return 0

    def _fit(self, count: int, *, recompute: bool) -> bool:
        """Whether *count* parts of the worst clip do."""
        peak = self.peak_bytes(self._clips(count, _PARTS, recompute=recompute))
        return peak is not None and peak <= self.room_bytes

    def _clips(self, count: int, parts: int, *, recompute: bool) -> MicroBatch:
        """*count* clips, each one of *parts* parts of the worst."""
        clip = self._part(parts)
        return MicroBatch(Clips.of([clip] * count), clip.frames, recompute=recompute)

    def _part(self, parts: int) -> Clip:
        return Clip(0, -(-self.worst.frames // parts), max(1, self.worst.tokens // parts))

    def _frames(self, count: int) -> int:
        """What *count* parts cost, at least as much as the whole."""
        budget = Budget(0, 0, self.per_token)
        part = self._part(_PARTS)
        return max(count * budget.cost(part.frames, part.tokens), budget.cost(self.worst.frames, self.worst.tokens))


def peak_on_gpu(batch: MicroBatch, attempt: Callable[[MicroBatch], None], ranks: Ranks) -> int | None:
    """The most memory of any rank while all of them *attempt* the batch; None when one has too little."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    try:
        attempt(batch)
        peak = torch.cuda.max_memory_allocated()
    except torch.OutOfMemoryError:
        peak = -1
    peaks: list[int] = ranks.gather(peak)
    return None if min(peaks) < 0 else max(peaks)


def made_up(batch: MicroBatch, num_mel_bins: int, vocab_size: int, device: torch.device) -> Tensors:
    """Tensors of *batch*'s shape with nothing in them, as a `Loader` would give."""
    count, tokens = len(batch.clips), int(batch.clips.tokens.max())
    return (
        torch.zeros(count, batch.num_frames, num_mel_bins, dtype=torch.float16, device=device),
        torch.zeros(count, device=device),
        torch.zeros(count, tokens, dtype=torch.int64, device=device),
        torch.arange(count * tokens, device=device),
        torch.randint(vocab_size, (count * tokens,), device=device),
    )


def allow(vram_budget: int | None, device: torch.device) -> int:
    """Bytes of the GPU that this process may take; more are refused by torch from now on.

    What others have of it, a desktop for instance, is left to them, and `MARGIN` to what torch does not count.
    """
    free, total = torch.cuda.mem_get_info(device)
    allowed = most_allowed(vram_budget, free + torch.cuda.memory_reserved(device), total)
    torch.cuda.set_per_process_memory_fraction(allowed / total, device)
    return allowed


def most_allowed(vram_budget: int | None, free: int, total: int) -> int:
    """Bytes that tensors may take of a GPU of *total*, of which *free* are free or theirs already. Pure."""
    return max(0, min(vram_budget or total, free - MARGIN))


def window_worst(frames: int, tokens: int, *, full_contexts: bool, window: int = WINDOW_FRAMES) -> Worst:
    """The hardest clip of a data set whose longest has *frames*: the whole window where some are padded to it."""
    return Worst(max(frames, window) if full_contexts else frames, tokens)

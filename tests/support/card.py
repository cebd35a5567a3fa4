"""A GPU's memory on a CPU: what tensors take is counted, and past a limit, or at one allocation, it runs out.

In a `with` block every tensor that torch makes on this thread is counted until nothing holds it any more: forward,
backward and in the optimiser. `installed` lets the trainer take the CPU for such a card.
"""

import weakref
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from trainer.distributed.ranks import Ranks
from trainer.memory.budget_search import MARGIN


class Card(TorchDispatchMode):
    """A card with *room* bytes for tensors, and besides what the trainer leaves of every card.

    *used* and *peak* are bytes; *allocations* counts how often memory was taken. Number *fails_at* of them, where it is
    set, raises torch.OutOfMemoryError, once. *backward* tells whether memory last ran out in a backward pass: of one
    that broke off torch keeps on a CPU, until the next, what on a GPU another thread drops at once.
    """

    def __init__(self, room: int = 1 << 60) -> None:
        super().__init__()
        self.total = self.limit = MARGIN + room
        self.used = self.peak = self.allocations = self.emptied = 0
        self.fails_at: int | None = None
        self.backward = False
        self._live: set[int] = set()

    def hold(self, tensors: Iterable[torch.Tensor]) -> None:
        """Counts *tensors* that are there already."""
        for tensor in tensors:
            self._count(tensor.untyped_storage())

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """As torch calls it."""
        made = func(*args, **(kwargs or {}))
        for value in tree_leaves(made):
            if isinstance(value, torch.Tensor):
                self._count(value.untyped_storage())
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._live or not size:
            return
        number, self.allocations = self.allocations, self.allocations + 1
        if number == self.fails_at or self.used + size > self.limit:
            self.backward = torch._C._current_graph_task_id() >= 0
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {size} bytes.")
        self._live.add(key)
        self.used += size
        self.peak = max(self.peak, self.used)
        weakref.finalize(storage, self._free, key, size)

    def _free(self, key: int, size: int) -> None:
        self._live.discard(key)
        self.used -= size

    def installed(self, patch: pytest.MonkeyPatch) -> "Card":
        """This card, which the trainer finds in the CPU's place; torch's figures of a GPU are the card's."""
        answers = {
            "mem_get_info": lambda _device=None: (self.total - self.used, self.total),
            "memory_reserved": lambda _device=None: self.used,
            "max_memory_allocated": lambda _device=None: self.peak,
            "reset_peak_memory_stats": lambda _device=None: setattr(self, "peak", self.used),
            "set_per_process_memory_fraction": lambda share, _device: setattr(self, "limit", round(share * self.total)),
            "empty_cache": lambda: setattr(self, "emptied", self.emptied + 1),
        }
        for name, answer in answers.items():
            patch.setattr(torch.cuda, name, answer)
        patch.setattr(Ranks, "is_cuda", property(lambda _ranks: True))
        return self

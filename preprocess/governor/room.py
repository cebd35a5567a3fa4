"""Whether a command of one process, which writes little, still has room: looked at before every step.

Actors, whose bytes are reserved before they are written, are `governor`'s.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import psutil

from preprocess.governor.budgets import Budgets, make_budgets
from preprocess.governor.sensors import MemorySensor, read_mount
from preprocess.workspace.disk_usage import allocated_bytes
from shared.errors import ResourceLimitError
from shared.units import format_bytes

STEP_BYTES = 2 << 20
"""What one step writes at the very most."""
_RAM_SHARE = 0.95
"""Of the memory there is: where a run stops, too (DESIGN, section 6)."""


@dataclass(frozen=True, slots=True)
class Room:
    """The *budgets* of whoever writes below *root*."""

    root: Path
    budgets: Budgets
    memory: MemorySensor = field(default_factory=MemorySensor)

    @classmethod
    def of(cls, root: Path, disk_budget: int | None, disk_reserve: int | None, ram_budget: int | None) -> Self:
        """From settings (None: not given) and what *root* and its mount have; `make_budgets` tells the rules."""
        mount = read_mount(root)
        free, total = (mount.free_bytes, mount.total_bytes) if mount else (0, 0)
        used = allocated_bytes(root)
        budgets = make_budgets(
            disk_budget, disk_reserve, ram_budget, used_bytes=used, free_bytes=free, mount_bytes=total
        )
        return cls(root, budgets)

    def check(self) -> None:
        """Raises ResourceLimitError where another step could break a budget, or a reading fails."""
        self._check_disk()
        self._check_memory()

    def _check_disk(self) -> None:
        mount, reserve = read_mount(self.root), self.budgets.reserve_bytes
        if mount is None or mount.free_bytes - STEP_BYTES < reserve or not mount.inodes_free:
            free = "it cannot be told how much is" if mount is None else f"{format_bytes(mount.free_bytes)} are"
            message = f"{self.root}: {free} free, and {format_bytes(reserve)} stay reserved"
            raise ResourceLimitError(message, "free some room, or give --disk-reserve; the same command goes on")
        if allocated_bytes(self.root) + STEP_BYTES > self.budgets.disk_bytes:
            message = f"{self.root}: the disk budget of {format_bytes(self.budgets.disk_bytes)} is used up"
            raise ResourceLimitError(message, "give a larger --disk-budget; the same command goes on")

    def _check_memory(self) -> None:
        own, limit = psutil.Process().memory_info().rss, self.budgets.ram_bytes
        if limit is not None and own > limit:
            message = f"this process has {format_bytes(own)} of memory, --ram-budget is {format_bytes(limit)}"
            raise ResourceLimitError(message, "give more, or a smaller --model; the same command goes on")
        reading = self.memory.read()
        if reading is None or reading.used_bytes > _RAM_SHARE * reading.limit_bytes:
            how = "cannot be read" if reading is None else "is nearly full"
            raise ResourceLimitError(f"memory {how}", "end other programs; the same command goes on")

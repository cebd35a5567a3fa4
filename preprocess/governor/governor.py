"""The governor of one run: ledger, admission and watchdog together, asked by the run loop.

The run loop scans and admits; the watchdog's thread only reads and decides. Neither waits for the other.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Self

from preprocess.governor.admission import Admission, fits_memory
from preprocess.governor.budgets import Budgets
from preprocess.governor.policy import LEAVE_MARGIN, MEMORY, DiskReading, Level, MemoryReading, actors_allowed, tightest
from preprocess.governor.process_memory import ProcessMemory
from preprocess.governor.sensors import MemorySensor, read_mount
from preprocess.governor.watchdog import Watchdog
from preprocess.units import Unit
from shared.units import format_bytes

FOLLOW_SECONDS = 1.0
"""How often new processes of the run are looked for."""


@dataclass(frozen=True, slots=True)
class DiskFigures:
    """Bytes set aside for open shards and scratch, bytes to stay free, and bytes that the job has still to write."""

    reserved_bytes: int = 0
    reserve_bytes: int = 0
    missing_bytes: int = 0


@dataclass(slots=True)
class Governor:
    """Keeps a run under *budgets*. A context manager: the watchdog beats inside.

    *root* is the store's folder; *processes* lists the process ids of the whole run, this one first: they count
    against a memory budget. *held_bytes* says how much memory a unit's source takes to be read, where that is much.
    """

    root: Path
    budgets: Budgets
    admission: Admission
    processes: Callable[[], Sequence[int]]
    held_bytes: Mapping[Unit, int] = field(default_factory=dict)
    now: Callable[[], float] = monotonic
    sensor: MemorySensor = field(default_factory=MemorySensor)
    watchdog: Watchdog = field(init=False)
    used_bytes: int = 0
    missing_bytes: int = 0
    process_memory: ProcessMemory = field(default_factory=ProcessMemory)
    _followed_at: float = -math.inf

    def __post_init__(self) -> None:
        self.watchdog = Watchdog(self._read_disk, self._read_memory, now=self.now)

    def __enter__(self) -> Self:
        self._follow_processes()
        self.watchdog.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.watchdog.__exit__(kind, error, trace)
        self.process_memory.close()

    @property
    def level(self) -> Level:
        """The verdict's level."""
        return self.watchdog.verdict.level

    @property
    def memory_level(self) -> Level:
        """That of memory alone."""
        return self.watchdog.verdict.state.memory.level

    @property
    def memory_is_short(self) -> bool:
        """Whether memory is at EMERGENCY and the last reading, if there is one, is not below what leaves that level."""
        memory = self.watchdog.verdict.memory
        leaves = MEMORY.entries[Level.EMERGENCY] - LEAVE_MARGIN
        return self.memory_level >= Level.EMERGENCY and (memory is None or memory.share >= leaves)

    def scanned(self, used_bytes: int, free_bytes: int, open_bytes: int, unfinished: Sequence[Unit]) -> None:
        """Takes over what the run loop found on disk, and the units that are not committed."""
        self.admission.ledger.scanned(used_bytes, free_bytes, open_bytes)
        self.used_bytes = used_bytes
        self.missing_bytes = max(0, sum(map(self.admission.expected_bytes, unfinished)) - open_bytes)
        if self.now() - self._followed_at >= FOLLOW_SECONDS:
            self._follow_processes()

    def admit(self, unit: Unit) -> int | None:
        """Bytes that *unit* may write, None while it has to wait."""
        if self.level >= Level.PAUSE or not self.watchdog.is_beating():
            return None
        return self.admission.admit(unit) if self._fits_memory(unit) else None

    def _follow_processes(self) -> None:
        """Against a memory budget of this run every process of it counts; they come and go."""
        if self.budgets.ram_bytes is not None:
            self._followed_at = self.now()
            self.process_memory.follow(self.processes())

    def _fits_memory(self, unit: Unit) -> bool:
        needs = [self.held_bytes.get(other, 0) for other in self.admission.open_units]
        return fits_memory(self.held_bytes.get(unit, 0), needs, self.watchdog.verdict.memory)

    def actors_allowed(self, num_actors: int) -> int:
        """Actors that may be at work now."""
        return actors_allowed(self.level, num_actors)

    def shortage(self, waiting: Sequence[Unit]) -> str:
        """What is short, on which mount or of which memory, by how much and who holds it; '' when nothing is."""
        verdict = self.watchdog.verdict
        parts = []
        if not self.watchdog.is_beating():
            parts.append("the watchdog does not answer")
        if verdict.memory is not None and verdict.state.memory.level > Level.NORMAL:
            parts.append(_memory_words(verdict.memory))
        if verdict.disk is not None and verdict.state.disk.level > Level.NORMAL:
            parts.append(_disk_words(verdict.disk))
        need = min((self.admission.need_bytes(unit) for unit in waiting), default=0)
        ledger = self.admission.ledger
        if ledger.quota_left_bytes < need:
            short = format_bytes(need - ledger.quota_left_bytes)
            used = format_bytes(ledger.used_bytes)
            budget = format_bytes(ledger.budget_bytes)
            parts.append(f"the disk budget of {budget} is short by {short} for the next shard; {used} are this store's")
        if ledger.mount_left_bytes < need:
            short = format_bytes(need - ledger.mount_left_bytes)
            free, reserve = format_bytes(max(0, ledger.free_bytes)), format_bytes(ledger.reserve_bytes)
            parts.append(f"the disk of {self.root} is short by {short}: {free} are free, {reserve} stay reserved")
            parts.extend(self._disk_holders())
        return "; ".join(parts)

    @property
    def disk_figures(self) -> DiskFigures:
        """The ledger's figures at this moment, for who shows the run."""
        ledger = self.admission.ledger
        return DiskFigures(ledger.reserved_bytes, ledger.reserve_bytes, self.missing_bytes)

    def _disk_holders(self) -> list[str]:
        mount, used = read_mount(self.root), self.admission.ledger.used_bytes
        if mount is None:
            return []
        others = max(0, mount.total_bytes - mount.free_bytes - used)
        return [
            f"of {format_bytes(mount.total_bytes)} this store has {format_bytes(used)}, others {format_bytes(others)}"
        ]

    def _read_disk(self) -> DiskReading | None:
        mount = read_mount(self.root)
        if mount is None:
            return None
        ledger = self.admission.ledger
        return DiskReading(
            used_bytes=self.used_bytes,
            budget_bytes=ledger.budget_bytes,
            free_bytes=mount.free_bytes,
            reserve_bytes=ledger.reserve_bytes,
            missing_bytes=self.missing_bytes,
            inodes_free=mount.inodes_free,
        )

    def _read_memory(self) -> MemoryReading | None:
        machine = self.sensor.read()
        if machine is None or self.budgets.ram_bytes is None:
            return machine
        used = self.process_memory.read()
        if used is None:
            return None
        own = MemoryReading(used, self.budgets.ram_bytes)
        return tightest((own, machine, *machine.others), machine.psi_percent)


def _disk_words(reading: DiskReading) -> str:
    used, budget = format_bytes(reading.used_bytes), format_bytes(reading.budget_bytes)
    if reading.free_bytes < reading.reserve_bytes or not reading.inodes_free:
        what = format_bytes(reading.free_bytes) if reading.inodes_free else "no inodes"
        return f"the disk has {what} free, {format_bytes(reading.reserve_bytes)} must stay free"
    return f"the store takes {used} of its disk budget of {budget} and needs {format_bytes(reading.missing_bytes)} more"


def _memory_words(reading: MemoryReading) -> str:
    used, limit = format_bytes(reading.used_bytes), format_bytes(reading.limit_bytes)
    words = f"memory is short: {used} of {limit} are in use"
    return words if not reading.psi_percent else f"{words}, tasks wait {reading.psi_percent:.0f} % of the time"

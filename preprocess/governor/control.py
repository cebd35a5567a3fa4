"""The governor of one run: ledger, admission and watchdog together, asked by the run loop.

The run loop scans and admits; the watchdog's thread only reads and decides. Neither waits for the other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Self

from preprocess.governor.admission import Admission
from preprocess.governor.budgets import Budgets
from preprocess.governor.policy import DiskReading, Level, MemoryReading, actors_allowed
from preprocess.governor.sensors import MemorySensor, proportional_set_bytes, read_mount
from preprocess.governor.watchdog import Watchdog
from preprocess.units import Unit
from shared.units import format_bytes


@dataclass(slots=True)
class Governor:
    """Keeps a run under *budgets*. A context manager: the watchdog beats inside.

    *root* is the store's folder; *processes* lists the process ids of the whole run, this one first: they count
    against a memory budget.
    """

    root: Path
    budgets: Budgets
    admission: Admission
    processes: Callable[[], Sequence[int]]
    now: Callable[[], float] = monotonic
    sensor: MemorySensor = field(default_factory=MemorySensor)
    watchdog: Watchdog = field(init=False)
    used_bytes: int = 0
    missing_bytes: int = 0

    def __post_init__(self) -> None:
        self.watchdog = Watchdog(self._read_disk, self._read_memory, now=self.now)

    def __enter__(self) -> Self:
        self.watchdog.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.watchdog.__exit__(kind, error, trace)

    @property
    def level(self) -> Level:
        """The verdict's level."""
        return self.watchdog.verdict.level

    def scanned(self, used_bytes: int, free_bytes: int, open_bytes: int, unfinished: Sequence[Unit]) -> None:
        """Takes over what the run loop found on disk, and the units that are not committed."""
        self.admission.ledger.scanned(used_bytes, free_bytes, open_bytes)
        self.used_bytes = used_bytes
        self.missing_bytes = max(0, sum(map(self.admission.expected_bytes, unfinished)) - open_bytes)

    def admit(self, unit: Unit) -> int | None:
        """Bytes that *unit* may write, None while it has to wait."""
        if self.level >= Level.PAUSE or not self.watchdog.is_beating():
            return None
        return self.admission.admit(unit)

    def actors_allowed(self, num_actors: int) -> int:
        """Actors that may be at work now."""
        return actors_allowed(self.level, num_actors)

    def shortage(self, waiting: Sequence[Unit]) -> str:
        """What is short, on which mount or of which memory, by how much and who holds it; '' when nothing is."""
        verdict = self.watchdog.verdict
        parts = []
        if not self.watchdog.is_beating():
            parts.append("the watchdog does not answer")
        if verdict.memory is not None and verdict.state.memory.level >= Level.PAUSE:
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
        return "; ".join(parts)

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
        own_pid, *others = self.processes()
        driver = proportional_set_bytes(own_pid)
        if driver is None:
            # This process lives, so it is the reading that failed; another's may have ended meanwhile.
            return None
        found = [driver, *map(proportional_set_bytes, others)]
        own = MemoryReading(sum(size or 0 for size in found), self.budgets.ram_bytes, machine.psi_percent)
        return max(own, machine, key=lambda reading: reading.share)


def _disk_words(reading: DiskReading) -> str:
    used, budget = format_bytes(reading.used_bytes), format_bytes(reading.budget_bytes)
    if reading.free_bytes < reading.reserve_bytes or not reading.inodes_free:
        what = format_bytes(reading.free_bytes) if reading.inodes_free else "no inodes"
        return f"the disk has {what} free, {format_bytes(reading.reserve_bytes)} are to stay free"
    return f"the store takes {used} of its disk budget of {budget} and needs {format_bytes(reading.missing_bytes)} more"


def _memory_words(reading: MemoryReading) -> str:
    used, limit = format_bytes(reading.used_bytes), format_bytes(reading.limit_bytes)
    words = f"memory is short: {used} of {limit} are in use"
    return words if not reading.psi_percent else f"{words}, tasks wait {reading.psi_percent:.0f} % of the time"

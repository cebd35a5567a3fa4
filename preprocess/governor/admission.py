"""Whether a unit may start: what it may take on disk, and what it holds in memory. Pure but for what it remembers.

A unit first reserves what its rows are expected to need, with room for chance. Its worker, who counts what is told of
the source's files against it as well, may not pass that: a unit
that outgrows its reservation is given up before it writes more, and reserves twice as much the next time. When nothing
else is open, so that waiting would give nothing back, a unit is content with what it is expected to need.

Memory is reserved, too, where it can be known. Most units hold a few megabytes. But a row group of 1 GB may be one
page, which has to be in memory whole, packed and unpacked; five of them at once would end a small machine before any
sensor saw them coming.
"""

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from preprocess.governor.ledger import Ledger
from preprocess.governor.policy import MEMORY, Level, MemoryReading
from preprocess.units import Unit
from shared.schema import HOP_LENGTH, MAX_LABELS, SAMPLING_RATE, FeatureSpec

FIXED_BYTES = 256 << 10
"""A shard's footer, its quarantine file, rounding to blocks."""
_ROW_EXTRA_BYTES = 4 * MAX_LABELS + 2048
"""More than a row's labels and text ever take, compressed or not."""
SMALL_BYTES = 64_000_000
"""Units that hold less memory are not counted: an actor's own size varies by as much."""
RESERVED_SHARE = MEMORY.entries[Level.THROTTLE]
"""Memory is reserved up to here; what lies above is for everything that nobody foresaw."""


def worst_case_bytes(unit: Unit, spec: FeatureSpec, max_duration: float) -> int:
    """Bytes that *unit*'s shard cannot exceed: every row as long as is allowed."""
    num_frames = math.ceil((max_duration * SAMPLING_RATE + 2 * HOP_LENGTH) / HOP_LENGTH)
    return unit.num_pieces * (spec.payload_bytes(num_frames) + _ROW_EXTRA_BYTES) + FIXED_BYTES


def likely_bytes(unit: Unit, row_bytes: float) -> int:
    """Bytes that suffice for *unit* nearly always, with rows (or pieces) of *row_bytes* on average.

    Clip lengths vary by less than their mean (standard deviation below one mean), so the sum of n rows stays within
    3 / sqrt(n) of its expectation; a tenth more covers a forecast that is off.
    """
    rows = max(1, unit.num_pieces)
    return math.ceil(unit.num_pieces * row_bytes * (1.1 + 3 / math.sqrt(rows))) + FIXED_BYTES


def left_memory_bytes(reading: MemoryReading, open_needs: Iterable[int]) -> int:
    """What of memory is neither used nor reserved. What open units hold already counts twice: an error towards too
    little.
    """
    reserved = sum(need for need in open_needs if need > SMALL_BYTES)
    return max(0, reading.room_bytes(RESERVED_SHARE) - reserved)


def fits_memory(need_bytes: int, open_needs: Iterable[int], reading: MemoryReading | None) -> bool:
    """Whether a unit that holds *need_bytes* may start beside open ones that hold *open_needs*.

    Alone it always may: waiting would give nothing back. Without a reading only small ones may.
    """
    open_needs = tuple(open_needs)
    if need_bytes <= SMALL_BYTES or not open_needs:
        return True
    return reading is not None and need_bytes <= left_memory_bytes(reading, open_needs)


@dataclass(slots=True)
class Admission:
    """Lets units start under *ledger*'s budget. *row_bytes* is the forecast's mean row, or piece, by split."""

    ledger: Ledger
    spec: FeatureSpec
    max_duration: float
    row_bytes: dict[str, float]
    _too_little: dict[str, int] = field(default_factory=dict)
    _open: dict[str, Unit] = field(default_factory=dict)

    @property
    def open_units(self) -> Collection[Unit]:
        """Units that were admitted and are neither committed nor given up."""
        return self._open.values()

    def need_bytes(self, unit: Unit) -> int:
        """What *unit* reserves when it starts next."""
        worst = worst_case_bytes(unit, self.spec, self.max_duration)
        row_bytes = self.row_bytes.get(unit.split)
        need = worst if row_bytes is None else min(worst, likely_bytes(unit, row_bytes))
        too_little = self._too_little.get(_name(unit), 0)
        # Twice what was too little; the worst case is passed only once it was too little itself (endless transcripts).
        return max(need, 2 * too_little if too_little >= worst else min(2 * too_little, worst))

    def expected_bytes(self, unit: Unit) -> int:
        """What *unit* will take on average; its worst case where there is no forecast."""
        row_bytes = self.row_bytes.get(unit.split)
        return self.need_bytes(unit) if row_bytes is None else math.ceil(unit.num_pieces * row_bytes)

    def admit(self, unit: Unit) -> int | None:
        """Bytes reserved for *unit*, which is also the most that it may write; None when it has to wait."""
        need, left = self.need_bytes(unit), self.ledger.left_bytes
        if not self._open and self._least_bytes(unit) <= left < need:
            need = left
        if not self.ledger.reserve(_name(unit), need):
            return None
        self._open[_name(unit)] = unit
        return need

    def committed(self, unit: Unit, allocated_bytes: int) -> None:
        """*unit*'s shard stands and takes *allocated_bytes*."""
        self.ledger.settle(_name(unit), allocated_bytes)
        self._open.pop(_name(unit), None)
        self._too_little.pop(_name(unit), None)

    def given_up(self, unit: Unit, *, outgrown_bytes: int = 0) -> None:
        """*unit* left nothing behind; *outgrown_bytes* is what it had reserved when that was too little."""
        self.ledger.release(_name(unit))
        self._open.pop(_name(unit), None)
        if outgrown_bytes:
            self._too_little[_name(unit)] = outgrown_bytes

    def _least_bytes(self, unit: Unit) -> int:
        """What *unit* is expected to need, more than what was too little; without a forecast the worst case."""
        row_bytes = self.row_bytes.get(unit.split)
        if row_bytes is None:
            return self.need_bytes(unit)
        expected = math.ceil(unit.num_pieces * row_bytes) + FIXED_BYTES
        return max(expected, self._too_little.get(_name(unit), 0) + 1)


def _name(unit: Unit) -> str:
    return f"{unit.split}-{unit.number}"

"""Which rows of a source split belong to a split of the store. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

Part = Literal["all", "train", "test"]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows of a source split belong to a split: all of them, or one side of a stable hash split."""

    part: Part = "all"
    test_fraction: float = 0.0

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """The selection that a split's planned *settings* state; all rows where they state none."""
        return cls(settings.get("part", "all"), settings.get("test_fraction", 0.0))

    def mask(self, start: int, stop: int) -> NDArray[np.bool_]:
        """bool[stop - start]: whether each row id from *start* to *stop* (exclusive) belongs."""
        return self.selects(np.arange(start, stop))

    def selects(self, row_ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """bool[rows]: whether each of *row_ids* belongs."""
        if self.part == "all":
            return np.ones(len(row_ids), np.bool_)
        is_test = _uniform(row_ids.astype(np.uint64)) < self.test_fraction
        return is_test if self.part == "test" else ~is_test

    def row_ids(self, start: int, stop: int) -> NDArray[np.int64]:
        """Those row ids from *start* to *stop* (exclusive) that belong, in order."""
        return start + np.flatnonzero(self.mask(start, stop))


def _uniform(row_ids: NDArray[np.uint64]) -> NDArray[np.float64]:
    """A fixed pseudo-random number in [0, 1) for each row id: SplitMix64 (Steele et al. 2014)."""
    mixed = row_ids * np.uint64(0x9E3779B97F4A7C15) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(11)).astype(np.float64) / 2.0**53

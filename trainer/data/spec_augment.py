"""SpecAugment (Park et al. 2019): times and mel bins of a clip silenced at random: the model is to lean on neither."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.data.collate import Augment


@dataclass(frozen=True, slots=True)
class SpecAugment:
    """Two masks of up to *max_bins* mel bins and two of up to *max_frames* frames (and a tenth of the clip) each.

    Only a clip's own frames are masked, never the padding. The masks depend on seed, step and row alone.
    """

    seed: int
    masks: int = 2
    max_bins: int = 10
    max_frames: int = 50

    def at(self, step: int) -> Augment:
        """What changes clips in optimiser step *step*."""

        def augment(log_mel: NDArray[Any], silence: float, row: int) -> None:
            """As `collate.Augment`."""
            rng = np.random.default_rng((self.seed, step, row, 2))
            frames, bins = log_mel.shape
            for _ in range(self.masks):
                log_mel[_span(rng, frames, min(self.max_frames, frames // 10))] = silence
                log_mel[:, _span(rng, bins, min(self.max_bins, bins // 4))] = silence

        return augment


def _span(rng: np.random.Generator, length: int, longest: int) -> slice:
    width = int(rng.integers(longest + 1))
    start = int(rng.integers(length - width + 1))
    return slice(start, start + width)

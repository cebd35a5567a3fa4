"""How far a WER can be trusted: bootstrap intervals over rows, and a paired bootstrap between two models.

After Bisani and Ney, "Bootstrap estimates for confidence intervals in ASR performance evaluation", ICASSP 2004: a data
set of as many rows is drawn from the rows with replacement, thousands of times, and the rate computed for each. Rows
are taken as independent, so clips of few speakers make the intervals narrower than the truth, and so do very few rows.

Rows with the same counts are one and the same to a rate. So a resample is one multinomial draw over the distinct
counts, of which even long test sets have few hundred, instead of an index for every row: the same distribution, and
memory that does not grow with the rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.units import format_counted

RESAMPLES = 10_000
LEVEL = 0.95
"""The probability with which an interval is to hold the true rate."""
FEW_ROWS = 30
"""With fewer rows than this, intervals come out too narrow to rely on."""
_MAX_CELLS = 1 << 21
"""Most draws held at once: 16 MiB of int64."""

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ConfidenceInterval:
    """A percentile interval at `LEVEL`; the ends are in the unit of what it is about."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """A model's rate minus the baseline's on the same rows: below 0 the model is better.

    *p_value* is two-sided: how often a resample turns the difference round, twice.
    """

    difference: float
    interval: ConfidenceInterval
    p_value: float

    @property
    def significant(self) -> bool:
        """True when chance alone would seldom make such a difference: at most once in twenty times."""
        return self.p_value <= 1 - LEVEL


def rate_interval(errors: Counts, lengths: Counts, *, resamples: int = RESAMPLES, seed: int = 0) -> ConfidenceInterval:
    """The interval of the rate sum(*errors*) / sum(*lengths*), both int64[rows]; the same for the same arguments.

    Raises ValueError where there are no rows, or not as many of the one as of the other.
    """
    return _interval(_resampled_rates(errors, lengths, resamples, seed))


def paired_difference(
    baseline_errors: Counts, errors: Counts, lengths: Counts, *, resamples: int = RESAMPLES, seed: int = 0
) -> PairedDifference:
    """A model's *errors* against *baseline_errors* on the same rows of *lengths*, all int64[rows].

    Every resample takes the same rows for both. Equal errors in every row give a difference of 0 and a p value of 1;
    the smallest p value is 2 / (*resamples* + 1). Raises ValueError as `rate_interval` does.
    """
    if baseline_errors.shape != errors.shape:
        raise ValueError(f"{format_counted(len(baseline_errors), 'row')} of the baseline, {len(errors)} of the model")
    changes = errors - baseline_errors
    drawn = _resampled_rates(changes, lengths, resamples, seed)
    # One more on either side: the data set itself is a resample too, and no finite number of them proves p = 0.
    turned = min(int((drawn <= 0).sum()), int((drawn >= 0).sum())) + 1
    return PairedDifference(
        difference=int(changes.sum()) / max(int(lengths.sum()), 1),
        interval=_interval(drawn),
        p_value=min(1.0, 2 * turned / (resamples + 1)),
    )


def _interval(drawn: NDArray[np.float64]) -> ConfidenceInterval:
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return ConfidenceInterval(float(low), float(high))


def _resampled_rates(errors: Counts, lengths: Counts, resamples: int, seed: int) -> NDArray[np.float64]:
    """float64[resamples]: the rate of each resample; one without any length has its errors for a rate, as jiwer."""
    if errors.shape != lengths.shape or errors.ndim != 1 or not len(errors) or resamples < 1:
        raise ValueError(f"no resample of errors {errors.shape} and lengths {lengths.shape}, {resamples} times")
    kinds, counts = np.unique(np.stack([errors, lengths], axis=1), axis=0, return_counts=True)
    sums = np.concatenate(list(_resampled_sums(kinds, counts, resamples, np.random.default_rng(seed))))
    drawn: NDArray[np.float64] = sums[:, 0] / np.maximum(sums[:, 1], 1)
    return drawn


def _resampled_sums(
    kinds: Counts, counts: NDArray[np.intp], resamples: int, rng: np.random.Generator
) -> Iterator[NDArray[np.float64]]:
    """float64[some, columns] of sums over resamples of rows, of which *counts* are of each kind; exact up to 2**53."""
    rows = int(counts.sum())
    # float64, because numpy multiplies integer matrices without BLAS.
    values = kinds.astype(np.float64)
    at_once = max(1, _MAX_CELLS // len(kinds))
    for start in range(0, resamples, at_once):
        number = min(at_once, resamples - start)
        yield rng.multinomial(rows, counts / rows, size=number).astype(np.float64) @ values

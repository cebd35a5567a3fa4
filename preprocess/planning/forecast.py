"""What a run will cost, from a sample of rows: bytes, hours of audio, seconds. Pure.

Rows are taken from blocks spread evenly over a split. Bytes are scaled up by the better of two textbook estimators
(Cochran, Sampling Techniques, ch. 6): the mean per row, or the ratio to the encoded size, which the metadata knows for
every row; the better one is that with the smaller standard error. Neighbours are alike, so errors are those of whole
stretches of rows, not of single rows (ibid., ch. 9A).
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from statistics import stdev

from preprocess.features.long_clips import LongClips
from preprocess.planning.cost import Cost
from preprocess.planning.sample import Sample, SampledRow
from preprocess.sources.base import Block, SplitLayout

CONFIDENCE = 1.96
"""Standard errors on either side of the forecast that cover 95 %."""
SHARD_BYTES = 5_600
"""What a shard costs whatever it holds: its footer, its small columns' page headers, its row group in the index."""


ENOUGH_ERROR = 0.02
"""A forecast that is sure of the bytes to within this share needs no more rows."""


@dataclass(frozen=True, slots=True)
class Enough:
    """Whether sampled rows tell enough of *population* rows with *mean_encoded* bytes each; picklable.

    What a row that cannot be used is a sign of is worth a look at all rows of a sample.
    """

    population: int
    mean_encoded: float

    @classmethod
    def of(cls, layout: SplitLayout, limit: int | None = None) -> "Enough":
        """For the first *limit* rows of *layout*, or all."""
        return cls(*_first_rows(layout.blocks, limit))

    def __call__(self, rows: Sequence[SampledRow]) -> bool:
        """Whether *rows* are sure of the bytes to within `ENOUGH_ERROR`, and none of them was rejected."""
        if any(row.rejected for row in rows):
            return False
        payloads, encoded = [float(row.payload_bytes) for row in rows], [float(row.encoded_bytes) for row in rows]
        stretches = [row.stretch for row in rows]
        mean, error = estimate_mean(payloads, encoded, self.mean_encoded, self.population, stretches)
        return CONFIDENCE * error <= ENOUGH_ERROR * mean


@dataclass(frozen=True, slots=True)
class SplitForecast:
    """What one split will come to; *error_bytes* is half the 95 % interval of *store_bytes*.

    *payload_bytes* is the features' part of the store, *cost* what all rows cost one core, *reasons* why sampled rows
    were rejected and how many, *long* the clips over the model's window.
    """

    rows: int
    store_bytes: int
    error_bytes: int
    audio_seconds: float
    rejected_share: float
    cost: Cost
    sampled_rows: int
    payload_bytes: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    long: LongClips | None = None

    @property
    def row_bytes(self) -> float:
        """Mean bytes of a row in the store, rejected rows included."""
        return self.store_bytes / self.rows if self.rows else 0.0

    @property
    def error_share(self) -> float:
        """Half the 95 % interval as a share of the bytes; that of the audio is the same, since frames are time."""
        return self.error_bytes / self.store_bytes if self.store_bytes else 0.0


def forecast_split(
    layout: SplitLayout, sample: Sample, num_rows: int, limit: int | None = None, *, num_units: int = 0
) -> SplitForecast:
    """Scales *sample* up to *num_rows* rows among the first *limit* (or all) of the split *layout*. Pure.

    *num_units* is the number of shards that they become, where it is known yet.
    """
    payloads = [float(row.payload_bytes) for row in sample.rows]
    encoded = [float(row.encoded_bytes) for row in sample.rows]
    rows, mean_encoded = _first_rows(layout.blocks, limit)
    mean, error = estimate_mean(payloads, encoded, mean_encoded, rows, [row.stretch for row in sample.rows])
    if len(payloads) > 1 and num_rows < rows:
        # The mean is that of all rows, and the part is a random draw of them.
        error = math.hypot(error, stdev(payloads) * math.sqrt(1 / max(1, num_rows) - 1 / rows))
    count = max(1, len(sample.rows))
    seconds_per_byte = sum(row.audio_seconds for row in sample.rows) / max(1.0, sum(payloads))
    return SplitForecast(
        rows=num_rows,
        store_bytes=round(mean * num_rows * sample.overhead) + num_units * SHARD_BYTES,
        error_bytes=math.ceil(error * num_rows * sample.overhead * CONFIDENCE),
        audio_seconds=mean * num_rows * seconds_per_byte,
        rejected_share=sum(row.rejected for row in sample.rows) / count,
        cost=sample.cost_per_row * num_rows,
        sampled_rows=len(sample.rows),
        payload_bytes=round(mean * num_rows),
        reasons=dict(Counter(row.reason for row in sample.rows if row.rejected)),
        long=_long(sample, num_rows / count),
    )


def _long(sample: Sample, times: float) -> LongClips | None:
    found = [row.long for row in sample.rows if row.long is not None]
    return reduce(add, found).scaled(times) if found else None


def _first_rows(blocks: Sequence[Block], limit: int | None) -> tuple[int, float]:
    """How many the first *limit* rows are, and their mean encoded bytes."""
    rows, num_bytes = 0, 0.0
    for block in blocks:
        taken = block.num_rows if limit is None else min(block.num_rows, limit - rows)
        rows, num_bytes = rows + taken, num_bytes + block.num_bytes * taken / max(1, block.num_rows)
    return rows, num_bytes / max(1, rows)


def estimate_mean(
    values: Sequence[float],
    sizes: Sequence[float],
    mean_size: float,
    population: int,
    stretches: Sequence[int] | None = None,
) -> tuple[float, float]:
    """Mean of *values* over the population, and its standard error.

    *sizes* are an auxiliary figure of the same rows, whose mean over the population is *mean_size*. *stretches* tells
    which rows were drawn together; without it each was drawn for itself.
    """
    count = len(values)
    if count == 0:
        return 0.0, 0.0
    together = range(count) if stretches is None else stretches
    mean = sum(values) / count
    correction = math.sqrt(max(0.0, 1 - count / max(population, count)))
    plain = (mean, correction * _standard_error([value - mean for value in values], together))
    if sum(sizes) <= 0 or mean_size <= 0:
        return plain
    ratio = sum(values) / sum(sizes)
    residuals = [value - ratio * size for value, size in zip(values, sizes, strict=True)]
    found = (ratio * mean_size, correction * _standard_error(residuals, together))
    return min(plain, found, key=lambda estimate: estimate[1])


def _standard_error(residuals: Sequence[float], stretches: Sequence[int]) -> float:
    """That of the mean of *residuals*, from how much the totals of *stretches* differ."""
    totals: defaultdict[int, float] = defaultdict(float)
    for residual, stretch in zip(residuals, stretches, strict=True):
        totals[stretch] += residual
    count = len(totals)
    if count < 2:  # noqa: PLR2004 - a variance needs two values
        return 0.0
    return math.sqrt(sum(total**2 for total in totals.values()) * count / (count - 1)) / len(residuals)

"""What a run will cost, from a sample of rows: bytes, hours of audio, seconds. Nothing is written.

Rows are taken from blocks spread evenly over a split. Bytes are scaled up by the better of two textbook estimators
(Cochran, Sampling Techniques, ch. 6): the mean per row, or the ratio to the encoded size, which the metadata knows for
every row; the better one is that with the smaller standard error. Neighbours are alike, so errors are those of whole
stretches of rows, not of single rows (ibid., ch. 9A).
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import stdev

from preprocess.effort import Effort, EffortMeter
from preprocess.pipeline import PipelineSettings, RowPipeline
from preprocess.sources.base import Block, RowReader, Source, SourceRow, SplitLayout
from preprocess.stages import StageClock
from shared.errors import RowRejectedError
from shared.schema import FeatureSpec, QuarantineReason
from shared.shard import FeatureRow, encoded_bytes

SAMPLE_ROWS = 1_000
SAMPLE_BLOCKS = 40
CONFIDENCE = 1.96
"""Standard errors on either side of the forecast that cover 95 %."""
INDEX_ROW_BYTES = 20
"""Compressed bytes of an index row without its labels, which take about one byte each."""
SHARD_BYTES = 5_300
"""What a shard costs whatever it holds: its footer, its small columns' page headers, its row group in the index."""
_CRASHED = str(QuarantineReason.CRASHED)


@dataclass(frozen=True, slots=True)
class SampledRow:
    """One sampled row: its encoded bytes and what became of it (0 bytes and the *reason* when rejected).

    Rows read in one go have the same *stretch*.
    """

    encoded_bytes: int
    payload_bytes: int
    audio_seconds: float
    rejected: bool
    stretch: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows of one split, with what one row costs a core and the store's bytes per payload byte."""

    rows: tuple[SampledRow, ...]
    effort_per_row: Effort
    overhead: float


@dataclass(frozen=True, slots=True)
class SplitForecast:
    """What one split will come to; *error_bytes* is half the 95 % interval of *store_bytes*.

    *payload_bytes* is the features' part of the store, *effort* what all rows cost one core, *reasons* why sampled rows
    were rejected and how many.
    """

    rows: int
    store_bytes: int
    error_bytes: int
    audio_seconds: float
    rejected_share: float
    effort: Effort
    sampled_rows: int
    payload_bytes: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)

    @property
    def row_bytes(self) -> float:
        """Mean bytes of a row in the store, rejected rows included."""
        return self.store_bytes / self.rows if self.rows else 0.0

    @property
    def error_share(self) -> float:
        """Half the 95 % interval as a share of the bytes; that of the audio is the same, since frames are time."""
        return self.error_bytes / self.store_bytes if self.store_bytes else 0.0


def sample_ranges(blocks: Sequence[Block], limit: int | None = None) -> list[tuple[int, int]]:
    """Row ranges (start, stop) to sample: all rows of a small split, else the heads of blocks spread evenly."""
    edges = [0]
    for block in blocks:
        edges.append(edges[-1] + block.num_rows)
    total = min(edges[-1], limit) if limit is not None else edges[-1]
    if total <= SAMPLE_ROWS:
        return [(0, total)] if total else []
    inside = [edge for edge in edges[:-1] if edge < total]
    if len(inside) < SAMPLE_BLOCKS:
        # Few large blocks: take evenly spaced stretches, wherever they begin.
        inside = [total * part // SAMPLE_BLOCKS for part in range(SAMPLE_BLOCKS)]
    chosen = [inside[len(inside) * part // SAMPLE_BLOCKS] for part in range(SAMPLE_BLOCKS)]
    rows = SAMPLE_ROWS // SAMPLE_BLOCKS
    stops = [*chosen[1:], total]
    return [(start, min(start + rows, stop)) for start, stop in zip(chosen, stops, strict=True)]


@dataclass(frozen=True, slots=True)
class SampleTask:
    """What to sample: stretches of *split* as readers, the first of its rows alone as *warm_up*. Picklable.

    *num_rows* is how many there are; those in *skipped* are left out and count as rejected.
    """

    split: str
    warm_up: RowReader | None
    stretches: tuple[RowReader, ...]
    num_rows: int
    settings: PipelineSettings
    skipped: frozenset[int] = frozenset()

    def without(self, rows: Iterable[int]) -> "SampleTask":
        """The same without *rows*."""
        return replace(self, skipped=frozenset(rows))


def sample_task(source: Source, split: str, settings: PipelineSettings, limit: int | None = None) -> SampleTask:
    """The task of sampling the first *limit* rows of *split*, or all."""
    ranges = sample_ranges(source.splits[split].blocks, limit)
    stretches = tuple(source.reader(split, start, stop) for start, stop in ranges)
    warm_up = source.reader(split, ranges[0][0], ranges[0][0] + 1) if ranges else None
    return SampleTask(split, warm_up, stretches, sum(stop - start for start, stop in ranges), settings)


def sample_rows(task: SampleTask, progress: Callable[[int], None] = lambda _row_id: None) -> Sample:
    """Reads and processes the rows of *task* as an actor would; *progress* is told each row before it is processed."""
    pipeline = RowPipeline(task.settings, StageClock())
    spec = task.settings.spec
    sampled: list[SampledRow] = []
    features: list[FeatureRow] = []
    every = max(1, task.num_rows // SAMPLE_BLOCKS)
    for row in task.warm_up.rows() if task.warm_up else ():
        # What happens once (imports, tables made at first use) is no row's cost.
        progress(row.row_id)
        made = None if row.row_id in task.skipped else _try(pipeline, row)[0]
        encoded_bytes([made] if made is not None else [], spec)
    with EffortMeter() as making:
        for stretch, reader in enumerate(task.stretches):
            for row in reader.rows():
                progress(row.row_id)
                made, reason = (None, _CRASHED) if row.row_id in task.skipped else _try(pipeline, row)
                # A few rows from all over the split show what the store adds to their payloads.
                if made is not None and len(sampled) % every == 0:
                    features.append(made)
                sampled.append(_measure(row, made, reason, stretch))
    with EffortMeter() as writing:
        stored = encoded_bytes(features, spec)
    effort = making.total * (1 / max(1, len(sampled))) + writing.total * (1 / max(1, len(features)))
    return Sample(tuple(sampled), effort, _overhead(features, stored, spec))


def _overhead(features: Sequence[FeatureRow], stored_bytes: int, spec: FeatureSpec) -> float:
    """The store's bytes per payload byte, where *features* take *stored_bytes* in a shard."""
    # The first row's bytes are taken off with what a row group costs by itself: `SHARD_BYTES` counts that.
    counted = features[1:] or features
    stored_bytes -= encoded_bytes(features[:1], spec) if len(features) > 1 else 0
    payload = sum(len(row.payload) for row in counted)
    index = sum(INDEX_ROW_BYTES + len(row.labels) for row in counted)
    return (stored_bytes + index) / payload if payload else 1.0


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
        effort=sample.effort_per_row * num_rows,
        sampled_rows=len(sample.rows),
        payload_bytes=round(mean * num_rows),
        reasons=dict(Counter(row.reason for row in sample.rows if row.rejected)),
    )


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


def _try(pipeline: RowPipeline, row: SourceRow) -> tuple[FeatureRow | None, str]:
    """The feature row, or None and the reason why not."""
    try:
        return pipeline(row), ""
    except RowRejectedError as error:
        return None, str(error.reason)


def _measure(row: SourceRow, made: FeatureRow | None, reason: str, stretch: int) -> SampledRow:
    encoded = len(row.audio or b"")
    if made is None:
        return SampledRow(encoded, 0, 0.0, rejected=True, stretch=stretch, reason=reason)
    return SampledRow(encoded, len(made.payload), made.duration, rejected=False, stretch=stretch)

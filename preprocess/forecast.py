"""What a run will cost, from a sample of rows: bytes, hours of audio, seconds. Nothing is written.

Rows are taken from blocks spread evenly over a split. Bytes are scaled up by the better of two textbook estimators
(Cochran, Sampling Techniques, ch. 6): the mean per row, or the ratio to the encoded size, which the metadata knows for
every row; the better one is that with the smaller standard error.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter

from preprocess.pipeline import PipelineSettings, RowPipeline
from preprocess.sources.base import Block, Source, SourceRow, SplitLayout
from preprocess.stages import StageClock
from shared.errors import RowRejectedError
from shared.shard import FeatureRow, encoded_bytes

SAMPLE_ROWS = 1_000
SAMPLE_BLOCKS = 40
CONFIDENCE = 1.96
"""Standard errors on either side of the forecast that cover 95 %."""
INDEX_ROW_BYTES = 40
"""Compressed bytes of an index row without its labels."""


@dataclass(frozen=True, slots=True)
class SampledRow:
    """One sampled row: its encoded bytes, what became of it (0 bytes when rejected) and the seconds that took."""

    encoded_bytes: int
    payload_bytes: int
    audio_seconds: float
    rejected: bool


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows of one split, with the seconds per row on one core and the store's bytes per payload byte."""

    rows: tuple[SampledRow, ...]
    seconds_per_row: float
    overhead: float


@dataclass(frozen=True, slots=True)
class SplitForecast:
    """What one split will come to; *error_bytes* is half the 95 % interval of *store_bytes*."""

    rows: int
    store_bytes: int
    error_bytes: int
    audio_seconds: float
    rejected_share: float
    core_seconds: float
    sampled_rows: int

    @property
    def row_bytes(self) -> float:
        """Mean bytes of a row in the store, rejected rows included."""
        return self.store_bytes / self.rows if self.rows else 0.0


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


def take_sample(source: Source, split: str, settings: PipelineSettings, limit: int | None = None) -> Sample:
    """Reads and processes a sample of *split* as an actor would."""
    pipeline = RowPipeline(settings, StageClock())
    started = perf_counter()
    sampled: list[SampledRow] = []
    features: list[FeatureRow] = []
    for row in _rows(source, split, sample_ranges(source.splits[split].blocks, limit)):
        made = _try(pipeline, row)
        sampled.append(_measure(row, made))
        if made is not None and len(features) < SAMPLE_BLOCKS:
            features.append(made)
    seconds = (perf_counter() - started) / max(1, len(sampled))
    write_started = perf_counter()
    stored = encoded_bytes(features, settings.spec)
    written = (perf_counter() - write_started) / max(1, len(features))
    payload = sum(len(row.payload) for row in features)
    index = sum(INDEX_ROW_BYTES + 2 * len(row.labels) for row in features)
    return Sample(tuple(sampled), seconds + written, (stored + index) / payload if payload else 1.0)


def forecast_split(layout: SplitLayout, sample: Sample, num_rows: int) -> SplitForecast:
    """Scales *sample* up to *num_rows* rows of the split *layout*. Pure."""
    mean_encoded = layout.num_bytes / max(1, layout.num_rows)
    payloads = [float(row.payload_bytes) for row in sample.rows]
    mean, error = estimate_mean(payloads, [float(row.encoded_bytes) for row in sample.rows], mean_encoded, num_rows)
    count = max(1, len(sample.rows))
    seconds_per_byte = sum(row.audio_seconds for row in sample.rows) / max(1.0, sum(payloads))
    return SplitForecast(
        rows=num_rows,
        store_bytes=round(mean * num_rows * sample.overhead),
        error_bytes=math.ceil(error * num_rows * sample.overhead * CONFIDENCE),
        audio_seconds=mean * num_rows * seconds_per_byte,
        rejected_share=sum(row.rejected for row in sample.rows) / count,
        core_seconds=sample.seconds_per_row * num_rows,
        sampled_rows=len(sample.rows),
    )


def estimate_mean(
    values: Sequence[float], sizes: Sequence[float], mean_size: float, population: int
) -> tuple[float, float]:
    """Mean of *values* over the population, and its standard error.

    *sizes* are an auxiliary figure of the same rows, whose mean over the population is *mean_size*.
    """
    count = len(values)
    if count == 0:
        return 0.0, 0.0
    mean = sum(values) / count
    correction = math.sqrt(max(0.0, 1 - count / max(population, count)))
    plain = (mean, correction * _standard_error([value - mean for value in values]))
    if sum(sizes) <= 0 or mean_size <= 0:
        return plain
    ratio = sum(values) / sum(sizes)
    residuals = [value - ratio * size for value, size in zip(values, sizes, strict=True)]
    return min(plain, (ratio * mean_size, correction * _standard_error(residuals)), key=lambda found: found[1])


def _standard_error(residuals: Sequence[float]) -> float:
    count = len(residuals)
    if count < 2:  # noqa: PLR2004 - a variance needs two values
        return 0.0
    return math.sqrt(sum(residual**2 for residual in residuals) / (count - 1) / count)


def _rows(source: Source, split: str, ranges: Sequence[tuple[int, int]]) -> Iterator[SourceRow]:
    for start, stop in ranges:
        yield from source.reader(split, start, stop).rows()


def _try(pipeline: RowPipeline, row: SourceRow) -> FeatureRow | None:
    try:
        return pipeline(row)
    except RowRejectedError:
        return None


def _measure(row: SourceRow, made: FeatureRow | None) -> SampledRow:
    encoded = len(row.audio or b"")
    if made is None:
        return SampledRow(encoded, 0, 0.0, rejected=True)
    return SampledRow(encoded, len(made.payload), made.duration, rejected=False)

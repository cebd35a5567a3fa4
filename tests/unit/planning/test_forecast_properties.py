"""The forecast's arithmetic: unbiased on populations that we know, and honest about its own error."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess.planning.cost import Cost
from preprocess.planning.forecast import CONFIDENCE, Enough, estimate_mean, forecast_split
from preprocess.planning.sample import SAMPLE_BLOCKS, SAMPLE_ROWS, Sample, SampledRow, sample_ranges
from preprocess.sources.base import Block, SplitLayout

BLOCKS = st.lists(st.builds(Block, st.integers(0, 3_000), st.integers(0, 100_000)), max_size=120)


@given(BLOCKS, st.none() | st.integers(1, 50_000))
def test_sampled_ranges_are_disjoint_ordered_and_inside(blocks, limit):
    total = sum(block.num_rows for block in blocks)
    total = total if limit is None else min(total, limit)
    ranges = sample_ranges(blocks, limit)
    edges = [edge for pair in ranges for edge in pair]
    assert edges == sorted(edges)
    assert all(0 <= start < stop <= total for start, stop in ranges)
    rows = sum(stop - start for start, stop in ranges)
    assert rows <= SAMPLE_ROWS
    assert rows == total or len(ranges) == SAMPLE_BLOCKS


@given(st.integers(0, SAMPLE_ROWS))
def test_a_small_split_is_sampled_whole(rows):
    assert sum(stop - start for start, stop in sample_ranges([Block(1, 1)] * rows)) == rows


def test_samples_come_from_all_over_a_large_split():
    ranges = sample_ranges([Block(100, 1)] * 9_700)
    assert ranges[0][0] == 0
    assert ranges[-1][0] > 0.95 * 970_000
    assert max(np.diff([start for start, _ in ranges])) <= 1.1 * 970_000 / SAMPLE_BLOCKS


def population(seed, size=20_000):
    """Encoded bytes and payload bytes of rows in two encodings, as mixed as real data."""
    rng = np.random.default_rng(seed)
    seconds = np.clip(rng.gamma(3, 1.5, size), 0.3, 30)
    per_second = np.where(rng.random(size) < 0.5, 32_000, 6_000) * rng.normal(1, 0.1, size)
    return (44 + seconds * per_second).round(), np.ceil(seconds * 100) * 256


def draws(count, sample_size=400):
    encoded, payload = population(0)
    rng = np.random.default_rng(1)
    for _ in range(count):
        chosen = rng.choice(len(encoded), sample_size, replace=False)
        yield (
            estimate_mean(payload[chosen].tolist(), encoded[chosen].tolist(), encoded.mean(), len(encoded)),
            payload.mean(),
        )


def test_the_estimate_is_unbiased():
    errors = np.array([mean - truth for (mean, _), truth in draws(400)])
    assert abs(errors.mean()) < 3 * errors.std() / np.sqrt(len(errors))


def test_the_interval_covers_the_truth_at_about_its_rate():
    covered = [abs(mean - truth) <= CONFIDENCE * error for (mean, error), truth in draws(400)]
    assert 0.92 <= np.mean(covered) <= 0.98


def test_the_interval_is_honest_where_neighbours_are_alike():
    # Files of one origin stand together, and clips of one origin have one length.
    rng = np.random.default_rng(2)
    lengths = np.repeat(rng.gamma(3, 1.5, 2_000), 50) * rng.normal(1, 0.05, 100_000)
    covered = []
    for _ in range(300):
        starts = rng.choice(2_000, SAMPLE_BLOCKS, replace=False) * 50
        rows = (starts[:, None] + np.arange(25)).ravel()
        stretches = np.repeat(np.arange(SAMPLE_BLOCKS), 25).tolist()
        mean, error = estimate_mean(lengths[rows].tolist(), [0.0] * len(rows), 0.0, len(lengths), stretches)
        covered.append(abs(mean - lengths.mean()) <= CONFIDENCE * error)
    assert 0.90 <= np.mean(covered) <= 0.98


def test_the_ratio_helps_where_sizes_tell_the_payload():
    encoded, payload = population(0)
    # One encoding: bytes follow seconds.
    encoded = payload * 1.25 + 44
    chosen = np.random.default_rng(3).choice(len(encoded), 100, replace=False).tolist()
    values, sizes = payload[chosen].tolist(), encoded[chosen].tolist()
    with_sizes = estimate_mean(values, sizes, encoded.mean(), len(encoded))
    without = estimate_mean(values, [0.0] * 100, 0.0, len(encoded))
    assert with_sizes[1] < without[1] / 100
    assert with_sizes[0] == pytest.approx(payload.mean(), rel=1e-4)


@given(st.lists(st.floats(1, 1e6), min_size=1, max_size=50))
def test_all_rows_sampled_is_exact(values):
    mean, error = estimate_mean(values, values, sum(values) / len(values), len(values))
    assert mean == pytest.approx(sum(values) / len(values))
    assert error == 0


def test_all_rows_sampled_is_exact_where_sizes_tell_nothing():
    assert estimate_mean([1.0, 5.0, 9.0], [0.0] * 3, 0.0, 3) == (5.0, 0.0)


def test_no_rows_at_all_are_no_bytes():
    assert estimate_mean([], [], 0.0, 0) == (0.0, 0.0)


def rows_of(lengths, stretch=0):
    return tuple(SampledRow(1_000 * n, 256 * n, n / 100, rejected=not n, stretch=stretch) for n in lengths)


def test_a_whole_split_sampled_is_forecast_exactly():
    sample = Sample(rows_of([100, 300, 0, 400]), cost_per_row=Cost(0.01, 0.002), overhead=1.25)
    found = forecast_split(SplitLayout("train", (Block(4, 800_000),), ""), sample, 4)
    assert (found.store_bytes, found.error_bytes) == (800 * 256 * 1.25, 0)
    assert found.audio_seconds == pytest.approx(8.0)
    assert (found.rejected_share, found.cost, found.sampled_rows) == (0.25, Cost(0.04, 0.008), 4)
    assert found.row_bytes == 200 * 256 * 1.25


def test_a_limit_is_forecast_from_the_blocks_that_it_takes():
    # Short clips first, long ones after: the first rows say nothing of the others.
    layout = SplitLayout("train", (Block(2_000, 2_000 * 100_000), Block(2_000, 2_000 * 900_000)), "")
    sample = Sample(rows_of([100] * 500), cost_per_row=Cost(), overhead=1.0)
    sample = replace(sample, rows=tuple(replace(row, stretch=n // 25) for n, row in enumerate(sample.rows)))
    assert forecast_split(layout, sample, 2_000, limit=2_000).store_bytes == 2_000 * 100 * 256


def test_under_a_limit_sizes_are_compared_with_those_of_the_rows_that_it_takes():
    layout = SplitLayout("train", (Block(2_000, 2_000 * 100_000), Block(2_000, 2_000 * 900_000)), "")
    sample = Sample(rows_of([50, 150, 60, 140] * 100), cost_per_row=Cost(), overhead=1.0)
    sample = replace(sample, rows=tuple(replace(row, stretch=n) for n, row in enumerate(sample.rows)))
    encoded = sum(row.encoded_bytes for row in sample.rows) / len(sample.rows)
    expected = 2_000 * 100 * 256 * 100_000 / encoded
    assert forecast_split(layout, sample, 2_000, limit=2_000).store_bytes == pytest.approx(expected)


def test_the_forecast_of_a_part_allows_for_the_draw():
    layout = SplitLayout("train", (Block(4, 800_000),), "")
    sample = Sample(rows_of([100, 300, 0, 400]), cost_per_row=Cost(), overhead=1.0)
    assert forecast_split(layout, sample, 1).error_bytes > 0


@pytest.mark.parametrize(
    ("payloads", "rejected", "enough"),
    [([100, 100] * 50, (), True), ([1, 100] * 50, (), False), ([100, 100] * 50, (7,), False), ([], (), True)],
)
def test_rows_are_enough_where_they_are_sure_to_within_two_percent_and_none_is_rejected(payloads, rejected, enough):
    rows = [
        SampledRow(50, payload, 1.0, rejected=number in rejected, stretch=number)
        for number, payload in enumerate(payloads)
    ]
    assert Enough(10_000, 50.0)(rows) is enough

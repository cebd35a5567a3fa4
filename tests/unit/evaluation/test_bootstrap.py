"""Intervals hold the truth as often as they say, and two models differ only where their errors do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trainer.evaluation.bootstrap
from trainer.evaluation.bootstrap import paired_difference, rate_interval

COUNTS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 12)), min_size=1, max_size=60)


def speech(rng, rows, share):
    """Errors and words of *rows* clips, some speakers harder than others, with a true rate of *share*."""
    words = rng.integers(3, 20, rows)
    hardness = rng.beta(2, 2 / share - 2, rows)
    return rng.binomial(words, hardness), words


def columns(rows):
    return np.array(rows, np.int64).T


def test_the_interval_holds_the_true_rate_about_95_times_of_100():
    rng = np.random.default_rng(1)
    held = 0
    for seed in range(400):
        interval = rate_interval(*speech(rng, 250, 0.15), resamples=1_000, seed=seed)
        held += interval.low <= 0.15 <= interval.high
    # 95 % and three standard errors of 400 trials.
    assert 0.917 <= held / 400 <= 0.983


def test_two_models_of_one_rate_are_told_apart_about_5_times_of_100():
    rng = np.random.default_rng(2)
    found = 0
    for seed in range(400):
        words = rng.integers(3, 20, 250)
        first, second = (rng.binomial(words, 0.1) for _ in range(2))
        found += paired_difference(first, second, words, resamples=1_000, seed=seed).significant
    assert 0.017 <= found / 400 <= 0.083


def test_the_interval_is_that_of_resampling_row_by_row():
    """The draw over distinct counts stands for an index for every row, which is written out here."""
    errors, words = speech(np.random.default_rng(3), 300, 0.2)
    rows = np.random.default_rng(4).integers(0, 300, (20_000, 300))
    drawn = errors[rows].sum(1) / words[rows].sum(1)
    interval = rate_interval(errors, words, resamples=20_000, seed=5)
    assert (interval.low, interval.high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=1.5e-3)


@settings(deadline=None)
@given(COUNTS, st.integers(0, 2**31))
def test_identical_models_do_not_differ(rows, seed):
    errors, words = columns(rows)
    found = paired_difference(errors, errors.copy(), words, resamples=200, seed=seed)
    assert (found.difference, found.interval.low, found.interval.high, found.p_value) == (0, 0, 0, 1)
    assert not found.significant


@settings(deadline=None)
@given(COUNTS, st.lists(st.integers(0, 5), min_size=60, max_size=60))
def test_swapping_the_models_turns_the_sign_alone(rows, others):
    errors, words = columns(rows)
    other = np.array(others[: len(rows)], np.int64)
    there, back = (paired_difference(*pair, words, resamples=5_000) for pair in ((errors, other), (other, errors)))
    assert there.difference == -back.difference
    # Distinct counts are drawn in another order, so resamples are others.
    assert there.p_value == pytest.approx(back.p_value, abs=0.25)


def test_a_model_that_is_better_in_most_rows_is_found_so():
    rng = np.random.default_rng(6)
    words = rng.integers(5, 20, 500)
    worse = rng.binomial(words, 0.2)
    found = paired_difference(worse, rng.binomial(worse, 0.8), words)
    assert found.interval.high < 0
    assert found.p_value == 2 / 10_001
    assert found.significant


def test_pairing_sees_what_two_intervals_do_not():
    """The same words are hard for both models; that one makes an error fewer in every third row is no chance."""
    rng = np.random.default_rng(7)
    words = rng.integers(5, 20, 300)
    errors = rng.binomial(words, rng.beta(1, 4, 300))
    fewer = errors - (errors > 0) * (np.arange(300) % 3 == 0)
    assert rate_interval(fewer, words).high > rate_interval(errors, words).low
    assert paired_difference(errors, fewer, words).significant


@given(COUNTS)
@settings(deadline=None)
def test_an_interval_lies_within_the_rows_own_rates_and_is_the_same_every_time(rows):
    errors, words = columns(rows)
    words = np.maximum(words, 1)
    interval = rate_interval(errors, words, resamples=200, seed=1)
    assert (errors / words).min() - 1e-9 <= interval.low <= interval.high <= (errors / words).max() + 1e-9
    assert interval == rate_interval(errors, words, resamples=200, seed=1)


def test_chunks_hold_the_same_rows_and_as_many_resamples(monkeypatch):
    errors, words = speech(np.random.default_rng(8), 100, 0.2)
    whole = rate_interval(errors, words, resamples=999, seed=3)
    monkeypatch.setattr(trainer.evaluation.bootstrap, "_MAX_CELLS", 1_000)
    assert rate_interval(errors, words, resamples=999, seed=3) == whole


def test_rows_without_words_alone_have_their_errors_for_a_rate():
    interval = rate_interval(np.array([2, 2]), np.array([0, 0]), resamples=10)
    assert (interval.low, interval.high) == (4.0, 4.0)


@pytest.mark.parametrize(("errors", "words"), [([], []), ([1], [1, 2])])
def test_no_rows_or_rows_that_do_not_match_are_refused(errors, words):
    with pytest.raises(ValueError, match="no resample"):
        rate_interval(np.array(errors, np.int64), np.array(words, np.int64))


def test_models_of_different_rows_are_refused():
    with pytest.raises(ValueError, match="1 row of the baseline, 2 of the model"):
        paired_difference(np.array([1]), np.array([1, 2]), np.array([3, 3]))

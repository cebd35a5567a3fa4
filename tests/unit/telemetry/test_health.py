"""Trouble is told once, when it is there, with something to do about it; a sound run is left in peace."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.telemetry.health import Health, Trouble
from trainer.telemetry.records import EvaluationRecord, StepRecord, WordErrors

SOUND = StepRecord(
    step=25,
    loss=0.5,
    learning_rate=1e-5,
    grad_norm=1.0,
    loss_scale=65_536.0,
    seconds_per_step=2.0,
    samples_per_second=24.0,
    audio_seconds_per_second=100.0,
    data_wait_share=0.01,
    padding_waste=0.03,
)


def steps(*changes, every=25):
    """Records every *every* steps, each SOUND but for its *changes*."""
    return [replace(SOUND, step=(number + 1) * every, **change) for number, change in enumerate(changes)]


def evaluation(step, wer, padding="own"):
    return EvaluationRecord(step, 100, padding, {"raw": WordErrors(wer, wer / 3, 1_000)}, {}, 9.0)


def warnings_of(records):
    health = Health()
    return [warning for record in records for warning in health.step(record)]


def kinds_of(records):
    return [warning.kind for warning in warnings_of(records)]


def test_a_sound_run_gives_no_warning():
    assert warnings_of(steps(*[{"loss": 1 / n} for n in range(1, 50)])) == []


def test_waiting_for_data_in_three_records_in_a_row_is_told_with_the_share():
    (warning,) = warnings_of(steps(*[{"data_wait_share": 0.2}] * 3))
    assert warning.kind is Trouble.DATA_WAIT
    assert "20%" in warning.message
    assert "--loader-threads" in warning.remedy


def test_a_record_without_waiting_begins_the_count_again():
    waits = [0.5, 0.5, 0.0, 0.5, 0.5, 0.1, 0.5, 0.5]
    assert kinds_of(steps(*[{"data_wait_share": wait} for wait in waits])) == []


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_is_told_with_its_steps(loss):
    (warning,) = warnings_of(steps({}, {"loss": loss}))
    assert warning.kind is Trouble.LOSS_NOT_FINITE
    assert "in the steps 26 to 50" in warning.message
    assert "--learning-rate" in warning.remedy


def test_a_loss_scale_below_one_is_told():
    (warning,) = warnings_of(steps({"loss_scale": 1.0}, {"loss_scale": 0.5}))
    assert warning.kind is Trouble.SCALE_COLLAPSE
    assert "--warmup-steps" in warning.remedy


def test_six_halvings_in_a_row_are_told_also_when_a_record_holds_several():
    assert kinds_of(steps(*[{"loss_scale": 2.0**power} for power in (16, 14, 13, 11)])) == []
    assert kinds_of(steps(*[{"loss_scale": 2.0**power} for power in (16, 14, 13, 10)])) == [Trouble.SCALE_COLLAPSE]


def test_a_record_in_which_the_scale_holds_ends_the_row_of_halvings():
    assert kinds_of(steps(*[{"loss_scale": 2.0**power} for power in (16, 13, 13, 10, 10, 7)])) == []


def test_a_run_without_loss_scaling_is_sound():
    assert kinds_of(steps(*[{"loss_scale": 1.0}] * 20)) == []


def test_more_than_a_tenth_of_the_steps_skipped_is_told():
    (warning,) = warnings_of(steps({"skipped_steps": 3}, {"skipped_steps": 3}))
    assert warning.kind is Trouble.STEPS_SKIPPED
    assert warning.message.startswith("of 50 steps up to step 50, 6 skipped")
    assert "--learning-rate" in warning.remedy


def test_the_remedy_for_skipped_steps_does_not_presume_float16():
    (warning,) = warnings_of(steps(*[{"skipped_steps": 3, "loss_scale": 1.0}] * 2))
    assert warning.remedy.startswith("lower --learning-rate or raise --warmup-steps; under --precision fp16 ")


def test_the_steps_that_the_scale_skips_to_find_itself_are_no_trouble():
    first = [{"skipped_steps": 1}] * 5
    assert kinds_of(steps(*first, *[{}] * 200, every=1)) == []


def test_skipped_steps_long_ago_do_not_count():
    assert kinds_of(steps(*[{"skipped_steps": 5 if n % 4 == 0 else 0} for n in range(40)])) == []


def test_a_resumed_run_counts_steps_from_where_it_resumed():
    resumed = replace(SOUND, step=1_050, skipped_steps=6)
    assert [warning.kind for warning in Health(resumed_step=1_000).step(resumed)] == [Trouble.STEPS_SKIPPED]
    assert Health(resumed_step=0).step(resumed) == ()


def wer_story(*pairs, padding="own"):
    """Warnings of a run that has records of *loss* and then an evaluation with *wer*, for each pair."""
    health, found = Health(), []
    for number, (loss, wer) in enumerate(pairs, start=1):
        found += health.step(replace(SOUND, step=number * 1_000, loss=loss))
        found += health.evaluated(evaluation(number * 1_000, wer, padding))
    return found


def test_wer_that_rises_twice_while_the_loss_falls_is_told_with_both():
    (warning,) = wer_story((0.9, 0.20), (0.8, 0.10), (0.7, 0.12), (0.6, 0.11), (0.5, 0.13))
    assert warning.kind is Trouble.WER_RISES
    assert "raw WER is 11.00% at step 4000 and was 10.00% at step 2000" in warning.message
    assert "from 0.8000 to 0.6000" in warning.message
    assert "--learning-rate" in warning.remedy


def test_wer_that_rises_in_30_s_windows_asks_for_more_of_them():
    (warning,) = wer_story((0.8, 0.10), (0.7, 0.12), (0.6, 0.11), padding="window")
    assert "--full-context-share" in warning.remedy


@pytest.mark.parametrize(
    "story",
    [
        [(0.8, 0.10), (0.7, 0.12), (0.6, 0.09), (0.5, 0.12)],
        [(0.8, 0.10), (0.7, 0.104), (0.6, 0.104), (0.5, 0.104)],
        [(0.8, 0.10), (0.9, 0.12), (1.0, 0.14)],
        [(0.8, 0.10), (0.7, 0.12), (0.6, 0.104), (0.5, 0.12)],
    ],
    ids=["it recovers", "less than half a point", "the loss rises too", "not twice in a row"],
)
def test_wer_that_moves_otherwise_is_no_trouble(story):
    assert wer_story(*story) == []


def test_evaluations_are_compared_with_their_own_padding_alone():
    health = Health()
    for step in range(1_000, 6_000, 1_000):
        health.step(replace(SOUND, step=step, loss=1 / step))
        assert health.evaluated(evaluation(step, 0.10, "own")) == ()
        assert health.evaluated(evaluation(step, 0.30, "window")) == ()


def test_a_model_that_was_best_before_training_is_told_of():
    health = Health()
    health.evaluated(evaluation(0, 0.05))
    found = []
    for step, loss, wer in ((1_000, 0.9, 0.1), (2_000, 0.8, 0.1)):
        health.step(replace(SOUND, step=step, loss=loss))
        found += health.evaluated(evaluation(step, wer))
    assert [warning.kind for warning in found] == [Trouble.WER_RISES]


@given(
    st.lists(
        st.builds(
            replace,
            st.just(SOUND),
            loss=st.floats(),
            loss_scale=st.floats(0, 2**24),
            data_wait_share=st.floats(0, 1),
            skipped_steps=st.integers(0, 25),
        )
    ),
    st.lists(st.floats(0, 2)),
)
def test_each_kind_is_told_at_most_once_whatever_happens(records, wers):
    health, found = Health(), []
    for number, record in enumerate(records):
        found += health.step(replace(record, step=number * 25))
        found += [warning for wer in wers for warning in health.evaluated(evaluation(number * 25, wer))]
    kinds = [warning.kind for warning in found]
    assert len(kinds) == len(set(kinds))
    assert all(warning.message and "--" in warning.remedy for warning in found)


def test_a_wer_over_100_percent_is_told_in_words_and_once():
    health = Health()
    assert health.evaluated(evaluation(25, 1.0)) == ()
    (warning,) = health.evaluated(evaluation(50, 1.2))
    assert warning.kind is Trouble.WER_OVER_ALL
    assert "more wrong words than were said" in warning.message
    assert health.evaluated(evaluation(75, 1.3)) == ()

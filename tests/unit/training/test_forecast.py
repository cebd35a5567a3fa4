"""How long a training will take, said once some steps were timed."""

from trainer.memory.words import frame_words, hour_words
from trainer.training.forecast import Forecast, epoch_words


def said(seconds, *, steps=1_000, max_steps=1_000, begin=0):
    forecast = Forecast(max_steps, 500)
    words = [(step, forecast.see(step, seconds(step))) for step in range(begin + 1, begin + steps + 1)]
    return [(step, text) for step, text in words if text]


def test_it_is_said_once_after_ten_steps_of_which_the_first_does_not_count():
    words = (
        "about 33 min 26 s to go: 1,003 steps left of 1,014 (2.03 epochs), at 2.0 s a step; evaluations and "
        "checkpoints come on top"
    )
    assert said(lambda step: 600.0 if step == 1 else 2.0, max_steps=1_014) == [(11, words)]


def test_slow_steps_are_not_waited_for():
    ((step, words),) = said(lambda _step: 60.0)
    assert step == 2
    assert words.startswith("about 16.6 h to go: 998 steps")


def test_a_training_that_is_over_before_has_none():
    assert said(lambda _step: 1.0, steps=10, max_steps=10) == []


def test_a_training_that_goes_on_counts_what_is_left():
    ((step, words),) = said(lambda _step: 1.0, steps=100, begin=900)
    assert step == 911
    assert "to go: 89 steps left of 1,000" in words


def test_epochs_are_counted_in_parts_as_well():
    assert epoch_words(60_630, 20_210) == "60,630 (3 epochs)"
    assert epoch_words(20_210, 20_210) == "20,210 (1 epoch)"
    assert epoch_words(100, 400) == "100 (0.25 epochs)"


def test_frames_are_seconds_and_clips():
    assert frame_words(12_000) == "12,000 frames (2 min 00 s, 4 clips of 30 s)"
    assert frame_words(4_488) == "4,488 frames (45 s, 1 clip of 30 s)"
    assert frame_words(1_200) == "1,200 frames (12 s)"


def test_hours_are_those_of_all_gpus_at_what_trainings_reach():
    assert hour_words(3_600 * 44e12, 44e12, 1) == "2.2 h to 4.0 h, at 25 to 45 % of what the GPU can do"
    assert hour_words(3_600 * 44e12, 44e12, 2) == "1.1 h to 2.0 h, at 25 to 45 % of what the GPU can do"

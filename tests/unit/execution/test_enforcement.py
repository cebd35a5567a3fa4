"""What is due at each of the governor's levels, and when."""

import pytest

from preprocess.execution.enforcement import RELIEF_SECONDS, Enforcer, Measure
from preprocess.governor.policy import Level

EMERGENCY = [Measure.CLEAN, Measure.RELIEVE, Measure.END_LARGEST]


@pytest.fixture
def clock():
    return [0.0]


@pytest.fixture
def enforcer(clock):
    return Enforcer(60.0, now=lambda: clock[0])


def due(enforcer, before, level, *, held_up=False):
    return enforcer.due(before, level, held_up=held_up)


@pytest.mark.parametrize(
    ("before", "level", "measures"),
    [
        (Level.NORMAL, Level.NORMAL, []),
        (Level.NORMAL, Level.THROTTLE, []),
        (Level.THROTTLE, Level.PAUSE, [Measure.RELIEVE]),
        (Level.PAUSE, Level.PAUSE, []),
        (Level.EMERGENCY, Level.PAUSE, []),
        (Level.PAUSE, Level.EMERGENCY, EMERGENCY),
        (Level.STOP, Level.STOP, [Measure.END_RUN]),
        (Level.NORMAL, Level.STOP, [Measure.RELIEVE, Measure.END_RUN]),
    ],
)
def test_each_level_asks_for_its_measures_and_a_rise_for_relief(enforcer, before, level, measures):
    assert due(enforcer, before, level) == measures


def test_an_emergency_that_lasts_is_met_again_only_after_a_while(enforcer, clock):
    assert due(enforcer, Level.PAUSE, Level.EMERGENCY) == EMERGENCY
    clock[0] = RELIEF_SECONDS - 1
    assert due(enforcer, Level.EMERGENCY, Level.EMERGENCY) == []
    clock[0] = RELIEF_SECONDS
    assert due(enforcer, Level.EMERGENCY, Level.EMERGENCY) == EMERGENCY


@pytest.mark.parametrize(
    ("level", "held_up", "ends"),
    [
        (Level.NORMAL, False, False),
        (Level.THROTTLE, False, False),
        (Level.NORMAL, True, True),
        (Level.PAUSE, False, True),
    ],
)
def test_without_progress_for_want_of_room_the_run_ends_and_progress_puts_it_off(enforcer, clock, level, held_up, ends):
    clock[0] = 50.0
    enforcer.moved()
    clock[0] = 109.0
    assert due(enforcer, level, level, held_up=held_up) == []
    clock[0] = 110.0
    assert due(enforcer, level, level, held_up=held_up) == ([Measure.END_RUN] if ends else [])
    assert enforcer.stalled_seconds == 60.0

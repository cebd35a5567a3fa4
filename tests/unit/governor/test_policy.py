"""The governor's policy against readings made to fool it: sawtooths, spikes, gaps, clocks that jump."""

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import count, pairwise, takewhile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocess.governor.policy import (
    BLIND_SECONDS,
    DISK,
    LEAVE_MARGIN,
    MEMORY,
    DiskReading,
    Ladder,
    Level,
    MemoryReading,
    PolicyState,
    Signals,
    actors_allowed,
    decide,
)

BEAT = 1.0
"""Four times what the watchdog takes, so that hours of signals pass quickly."""
WINDOW = 300.0
UNTIMED = settings(deadline=None)
"""The machine may be busy."""
LONG = settings(max_examples=30, deadline=None)
"""Each example is five minutes or more."""
MAX_FALLS = 16
"""In any five minutes: four levels down after 5 s each, then again after 10, 20 and 40 s each."""
MAX_FALLS_BETWEEN_TWO = 5
"""After 5, 10, 20, 40 and 80 s of calm; the next would need 160 s more."""
PLENTY = MemoryReading(0, 1_000)
ROOM = DiskReading(0, 1_000, 1_000_000, 0)


def disk_at(share: float, **changes) -> DiskReading:
    """A job too large for its budget, with *share* of it used; a hundred thousand bytes make shares exact enough."""
    return replace(DiskReading(round(share * 100_000), 100_000, 1_000_000, 1_000, missing_bytes=10**9), **changes)


def memory_at(share: float, psi: float | None = None) -> MemoryReading:
    return MemoryReading(round(share * 100_000), 100_000, psi)


RESOURCES = {
    "disk": (DISK, lambda share: Signals(disk_at(share), PLENTY)),
    "memory": (MEMORY, lambda share: Signals(ROOM, memory_at(share))),
}
shares = st.floats(0, 1.2)
disk_readings = st.builds(
    DiskReading,
    used_bytes=st.integers(0, 1_200),
    budget_bytes=st.sampled_from([0, 1_000]),
    free_bytes=st.integers(0, 300),
    reserve_bytes=st.sampled_from([0, 100]),
    missing_bytes=st.sampled_from([0, 10, 10_000]),
    inodes_free=st.sampled_from([True, True, True, False]),
)
memory_readings = st.builds(
    MemoryReading, st.integers(0, 1_200), st.sampled_from([0, 1_000]), st.none() | st.floats(0, 100)
)
signals = st.builds(
    Signals, st.none() | disk_readings, st.none() | memory_readings, st.sampled_from([False] * 9 + [True])
)
steps = st.sampled_from([0.0, BEAT, 1.0, 3.0, 10.0, 400.0, -1.0, -1_000.0])
histories = st.lists(st.tuples(steps, signals), min_size=1, max_size=60)


def states(history: Iterable[tuple[float, Signals]]) -> list[PolicyState]:
    """The state after each of *history*: seconds since the one before, and what was read."""
    now, state, found = 1_000.0, PolicyState(), []
    for elapsed, seen in history:
        now += elapsed
        state = decide(state, seen, now)
        found.append(state)
    return found


def levels(seen: Callable[[float], Signals], seconds: float, beat: float = BEAT) -> list[Level]:
    """The level at every beat while *seen* tells what is read at a time."""
    times = takewhile(lambda time: time <= seconds, (number * beat for number in count()))
    return [state.level for state in states((beat, seen(time)) for time in times)]


def entry_level(ladder: Ladder, share: float) -> Level:
    return max((level for level, entry in ladder.entries.items() if share >= entry), default=Level.NORMAL)


def falls(found: list[Level]) -> list[int]:
    return [number for number, (before, after) in enumerate(pairwise(found)) if after < before]


def changes(found: list[Level]) -> int:
    return sum(before != after for before, after in pairwise([Level.NORMAL, *found]))


def sawtooth(low: float, high: float, period: float) -> Callable[[float], float]:
    return lambda time: low + (high - low) * (time % period) / period


# --- what holds after every reading, whatever came before ---


@UNTIMED
@given(histories)
def test_a_level_is_never_lower_than_the_current_reading_enters(history):
    for (_, seen), state in zip(history, states(history), strict=True):
        if seen.disk is not None:
            assert state.disk.level >= max(entry_level(DISK, seen.disk.share), seen.disk.floor)
        if seen.memory is not None:
            assert state.memory.level >= entry_level(MEMORY, seen.memory.share)
        assert state.level == max(state.disk.level, state.memory.level)


@UNTIMED
@given(histories, steps)
def test_a_failed_reading_never_loosens(history, elapsed):
    now = 1_000.0 + sum(step for step, _ in history) + elapsed
    before = states(history)[-1]
    after = decide(before, Signals(None, None), now)
    assert after.disk.level >= before.disk.level
    assert after.memory.level >= before.memory.level
    assert after.disk.calm_seconds is after.memory.calm_seconds is None


@UNTIMED
@given(histories)
def test_a_fall_takes_a_dwell_of_observed_calm_even_if_the_clock_jumps(history):
    """No reading counts for more than 2 s, so a level lasts for at least three readings of disk, six of memory."""
    found = states(history)
    for track, least in ((lambda state: state.disk, 3), (lambda state: state.memory, 6)):
        held = [track(state).level for state in found]
        for number in falls(held):
            since = max((rise for rise, (a, b) in enumerate(pairwise(held[: number + 1])) if b > a), default=-1)
            assert number - since >= least


@UNTIMED
@given(jumps=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=2))
def test_a_clock_that_jumps_shortens_no_dwell(jumps):
    tight, calm = Signals(disk_at(0.96), memory_at(0.92)), Signals(disk_at(0.1), memory_at(0.1))
    last = states([(BEAT, tight), (BEAT, calm), *[(jump, calm) for jump in jumps]])[-1]
    assert (last.disk.level, last.memory.level) == (Level.EMERGENCY, Level.EMERGENCY)


@UNTIMED
@given(histories)
def test_no_space_stops_at_once_whatever_else_is_read(history):
    for (_, seen), state in zip(history, states(history), strict=True):
        assert not seen.no_space or state.level is Level.STOP


@UNTIMED
@given(histories)
def test_the_same_readings_give_the_same_levels(history):
    assert states(history) == states(history)


# --- readings that fail ---


@pytest.mark.parametrize("lost", [Signals(None, PLENTY), Signals(ROOM, None), Signals(None, None)])
@UNTIMED
@given(beat=st.floats(0.01, 20))
def test_after_five_seconds_without_a_reading_no_new_work_starts(lost, beat):
    beats = math.ceil(BLIND_SECONDS / beat) + 1
    assert states([(beat, Signals(ROOM, PLENTY)), *[(beat, lost)] * beats])[-1].level >= Level.PAUSE


@pytest.mark.parametrize("lost", [Signals(None, PLENTY), Signals(ROOM, None)])
def test_a_resource_that_was_never_read_pauses_at_once(lost):
    assert states([(0.0, lost)])[-1].level is Level.PAUSE


def test_a_single_lost_reading_changes_nothing():
    fine, lost = (BEAT, Signals(ROOM, PLENTY)), (BEAT, Signals(None, None))
    assert {state.level for state in states([fine, lost, fine, fine, lost, fine])} == {Level.NORMAL}


def test_a_clock_that_went_back_while_nothing_was_read_is_a_pause():
    assert states([(0.0, Signals(ROOM, PLENTY)), (-1.0, Signals(None, PLENTY))])[-1].level is Level.PAUSE


# --- swings ---


@pytest.mark.parametrize("resource", RESOURCES)
@LONG
@given(low=shares, swing=st.floats(0, LEAVE_MARGIN - 0.001), period=st.floats(0.5, 600), beat=st.floats(0.1, 5))
def test_a_swing_within_the_margin_never_lets_a_level_fall(resource, low, swing, period, beat):
    _, seen = RESOURCES[resource]
    tooth = sawtooth(low, low + swing, period)
    assert falls(levels(lambda time: seen(tooth(time)), WINDOW, beat)) == []


@pytest.mark.parametrize("resource", RESOURCES)
@pytest.mark.parametrize("level", list(Level)[1:])
def test_a_level_is_held_until_the_reading_lies_ten_points_below_its_entry(resource, level):
    ladder, seen = RESOURCES[resource]
    entry = ladder.entries[level]
    for below, held in ((0.09, True), (0.11, False)):
        found = levels(lambda time, below=below: seen(entry if time < BEAT else entry - below), WINDOW)
        assert (found[-1] is level) == held


@pytest.mark.parametrize("resource", RESOURCES)
@pytest.mark.parametrize(("level", "widest"), [(1, 0.049), (2, 0.049), (3, 0.029), (4, 0.029)])
@LONG
@given(amplitude=st.floats(0.02, 1), period=st.floats(0.5, 600))
def test_a_sawtooth_around_one_threshold_changes_the_level_at_most_twice_in_five_minutes(
    resource, level, widest, amplitude, period
):
    """*widest* keeps it within the margin and off the threshold beside it."""
    ladder, seen = RESOURCES[resource]
    entry = ladder.entries[Level(level)]
    tooth = sawtooth(entry - widest * amplitude, entry + widest * amplitude, period)
    assert changes(levels(lambda time: seen(tooth(time)), WINDOW)) <= 2


@LONG
@given(amplitude=st.integers(1, 50), period=st.floats(0.5, 600))
def test_free_space_that_swings_around_the_reserve_changes_the_level_at_most_twice(amplitude, period):
    tooth = sawtooth(1_000 - amplitude, 1_000 + amplitude, period)

    def seen(time: float) -> Signals:
        return Signals(disk_at(0.0, free_bytes=round(tooth(time))), PLENTY)

    assert changes(levels(seen, WINDOW)) <= 2


@pytest.mark.parametrize("resource", RESOURCES)
@LONG
@given(period=st.floats(0.5, 600), calm_part=st.floats(0.05, 0.95), peak=st.sampled_from([0.85, 0.97, 1.1]))
def test_a_spike_train_of_any_height_falls_at_most_five_times_in_five_minutes_and_then_rarely(
    resource, period, calm_part, peak
):
    _, seen = RESOURCES[resource]
    found = levels(lambda time: seen(0.1 if time % period < calm_part * period else peak), 4 * WINDOW)
    at = [number * BEAT for number in falls(found)]
    assert sum(time < WINDOW for time in at) <= MAX_FALLS_BETWEEN_TWO
    if period < WINDOW:
        assert sum(time >= 3 * WINDOW for time in at) <= 2


@pytest.mark.parametrize("resource", RESOURCES)
@pytest.mark.parametrize("peak", [0.85, 0.92, 0.97, 1.1])
def test_who_answers_every_fall_with_a_spike_gets_five_falls_in_five_minutes_and_then_one(resource, peak):
    """The worst of all swings between two levels: the adversary sees the level and spikes as soon as it fell."""
    found = against_an_adversary(resource, lambda level: peak if level is Level.NORMAL else 0.0, 5 * WINDOW)
    at = [number * BEAT for number in falls(found)]
    assert sum(time < WINDOW for time in at) <= MAX_FALLS_BETWEEN_TWO
    assert sum(time >= 4 * WINDOW for time in at) <= 1


@pytest.mark.parametrize("resource", RESOURCES)
@LONG
@given(data=st.data())
def test_no_signal_makes_more_than_sixteen_falls_in_any_five_minutes(resource, data):
    """Against an adversary who sees the level, and after each fall chooses what to be next."""
    choices = data.draw(st.lists(st.sampled_from([0.0, 0.62, 0.72, 0.82, 0.87, 1.1]), min_size=1, max_size=40))
    turn = iter(choices * 400)
    wanted = {"share": 1.1, "level": None}

    def answer(level: Level) -> float:
        if level is not wanted["level"]:
            wanted.update(share=next(turn), level=level)
        return wanted["share"]

    at = [number * BEAT for number in falls(against_an_adversary(resource, answer, 3 * WINDOW))]
    assert max((sum(start <= time < start + WINDOW for time in at) for start in at), default=0) <= MAX_FALLS


def against_an_adversary(resource: str, answer: Callable[[Level], float], seconds: float) -> list[Level]:
    """Levels at every beat when the reading is chosen by who sees the level."""
    _, seen = RESOURCES[resource]
    state, found = PolicyState(), []
    for number in range(int(seconds / BEAT)):
        state = decide(state, seen(answer(state.level)), number * BEAT)
        found.append(state.level)
    return found


def test_a_staircase_up_counts_as_one_rise():
    stairs = [0.0, 0.85, 0.0, 0.85, 0.92, 0.96, 1.0]
    history = [(BEAT, Signals(disk_at(share), PLENTY)) for share in stairs for _ in range(8)]
    assert states(history)[-1].disk.dwell_factor == 2


def test_a_level_falls_to_the_highest_that_was_asked_for_throughout_the_calm():
    held, low = Signals(ROOM, memory_at(0.65)), Signals(ROOM, memory_at(0.1))
    history = [(BEAT, Signals(ROOM, memory_at(0.85))), *[(BEAT, held)] * 29, *[(BEAT, low)] * 3]
    found = [state.level for state in states(history)]
    assert Level.NORMAL not in found
    assert found[-1] is Level.THROTTLE


# --- disk ---


@UNTIMED
@given(used=st.integers(0, 1_000), missing=st.integers(0, 1_000), steps=st.lists(st.floats(0, 10), max_size=20))
def test_a_job_that_still_fits_its_budget_is_not_slowed_by_the_share_of_disk_in_use(used, missing, steps):
    reading = DiskReading(used, 1_000, 10_000, 1_000, min(missing, 1_000 - used))
    assert {state.level for state in states((step, Signals(reading, PLENTY)) for step in steps)} <= {Level.NORMAL}


@pytest.mark.parametrize(("share", "level"), [(0.79, 0), (0.80, 1), (0.90, 2), (0.95, 3), (0.98, 4), (1.5, 4)])
def test_a_job_that_does_not_fit_is_held_by_its_share(share, level):
    assert states([(0.0, Signals(disk_at(share), PLENTY))])[-1].level == level


@UNTIMED
@given(free=st.integers(0, 999), missing=st.integers(0, 10**6))
def test_less_free_than_the_reserve_is_an_emergency_at_once_and_over_within_ten_seconds_of_space_coming_back(
    free, missing
):
    short = DiskReading(0, 10**7, free, 1_000, missing)
    found = levels(lambda time: Signals(short if time < 3 else replace(short, free_bytes=1_100), PLENTY), 12)
    assert set(found[: int(3 / BEAT)]) == {Level.EMERGENCY}
    assert found[-1] is Level.NORMAL


@UNTIMED
@given(missing=st.integers(0, 10**6))
def test_space_that_is_enough_for_the_rest_of_the_job_is_enough_to_go_on(missing):
    short = DiskReading(0, 10**7, 999, 1_000, missing)
    enough = replace(short, free_bytes=1_000 + missing)
    assert levels(lambda time: Signals(short if time < 1 else enough, PLENTY), 11)[-1] is Level.NORMAL


def test_a_mount_without_inodes_is_an_emergency_however_much_space_is_free():
    assert states([(0.0, Signals(replace(ROOM, inodes_free=False), PLENTY))])[-1].level is Level.EMERGENCY


# --- memory ---


def under_pressure(psi: Callable[[float], float | None], seconds: float) -> list[Level]:
    return levels(lambda time: Signals(ROOM, memory_at(0.1, psi(time))), seconds)


def test_ten_seconds_of_memory_pressure_are_a_pause_and_less_is_nothing():
    assert under_pressure(lambda _: 25.0, 9)[-1] is Level.NORMAL
    assert under_pressure(lambda _: 25.0, 11)[-1] is Level.PAUSE
    assert set(under_pressure(lambda time: 0.0 if time % 10 == 0 else 99.0, 60)) == {Level.NORMAL}


def test_pressure_holds_the_pause_until_it_is_ten_points_lower_for_thirty_seconds():
    assert under_pressure(lambda time: 25.0 if time < 11 else 11.0, 120)[-1] is Level.PAUSE
    eased = under_pressure(lambda time: 25.0 if time < 11 else 9.0, 60)
    assert eased[int(40 / BEAT)] is Level.PAUSE
    assert eased[int(43 / BEAT)] is Level.NORMAL


def test_pressure_that_swings_around_its_threshold_changes_the_level_once():
    assert changes(under_pressure(lambda time: 25.0 if time < 11 else 15.0 if time % 100 < 50 else 25.0, WINDOW)) == 1


def test_pressure_below_its_threshold_holds_nobody_who_was_not_paused_by_it():
    seen = [Signals(ROOM, memory_at(0.85, 15.0)), *[Signals(ROOM, memory_at(0.1, 15.0))] * 35]
    assert states((BEAT, one) for one in seen)[-1].level is Level.NORMAL


# --- what a level means ---


@UNTIMED
@given(st.integers(1, 256))
def test_fewer_actors_work_the_tighter_it_is_and_none_from_pause_on(num_actors):
    allowed = [actors_allowed(level, num_actors) for level in Level]
    assert allowed == sorted(allowed, reverse=True)
    assert allowed[Level.NORMAL] == num_actors
    assert allowed[Level.THROTTLE] >= 1
    assert allowed[Level.PAUSE :] == [0, 0, 0]


@pytest.mark.parametrize(("num_actors", "allowed"), [(1, 1), (2, 1), (5, 2), (8, 4)])
def test_half_of_the_actors_work_when_throttled_and_one_at_least(num_actors, allowed):
    assert actors_allowed(Level.THROTTLE, num_actors) == allowed

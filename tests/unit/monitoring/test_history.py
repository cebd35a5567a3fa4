"""What is kept of a run for its report: bounded, in order, with its end."""

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess.monitoring.broadcast import Broadcast
from preprocess.monitoring.history import MAX_EVENTS, MAX_POINTS, History
from preprocess.monitoring.snapshot import ActorState, ActorView, Snapshot
from shared.command.ending import Ending
from shared.errors import SourceError


def at(seconds, **values):
    return Snapshot(elapsed_seconds=seconds, rows_total=10, **values)


@given(st.lists(st.floats(0.01, 50), min_size=1, max_size=500), st.integers(1, 40))
def test_points_are_in_order_and_bounded_and_end_with_the_last(steps, repeats):
    history, now = History(), 0.0
    for step in steps * repeats:
        now += step
        history.see(at(now))
    history.finish()
    seconds = [point.elapsed_seconds for point in history.points]
    assert seconds == sorted(seconds)
    assert len(seconds) <= MAX_POINTS + 1
    assert seconds[-1] == now


def test_a_long_run_keeps_points_from_all_of_it():
    history = History()
    for second in range(100_000):
        history.see(at(float(second)))
    seconds = [point.elapsed_seconds for point in history.points]
    assert len(seconds) > MAX_POINTS / 3
    gaps = [after - before for before, after in pairwise(seconds)]
    assert max(gaps) <= 4 * min(gaps)


def test_a_point_holds_what_was_seen():
    history = History()
    actors = (ActorView(0, ActorState.WORKING), ActorView(1, ActorState.IDLE))
    history.see(at(1.0, rows_done=5, disk_used_bytes=7, ram_total_bytes=9, level="pause", actors=actors))
    point = history.points[0]
    assert (point.rows_done, point.disk_used_bytes, point.ram_limit_bytes, point.level) == (5, 7, 9, "pause")
    assert point.actors_working == 1


def test_events_bear_the_time_and_the_first_are_kept():
    history = History()
    history.see(at(4.0))
    for number in range(MAX_EVENTS + 3):
        history.say(f"event {number}")
    assert history.events[0].elapsed_seconds == 4.0
    assert (len(history.events), history.events_left_out) == (MAX_EVENTS, 3)


def test_nothing_seen_is_no_point():
    history = History()
    history.finish()
    assert history.points == []


class Screen:
    """A view that notes what it is told."""

    def __init__(self):
        self.told = []

    def __enter__(self):
        self.told.append("enter")
        return self

    def __exit__(self, *_):
        self.told.append("exit")

    def update(self, snapshot):
        self.told.append(snapshot.elapsed_seconds)

    def ended(self, ending):
        self.told.append(ending.exit_code)

    def phase(self, phase):
        self.told.append(phase)

    def event(self, message):
        self.told.append(message)


class Log(list):
    """A log that notes what it is told."""

    def event(self, message, **_values):
        self.append(message)

    def progress(self, snapshot):
        self.append(snapshot.elapsed_seconds)


def test_everyone_hears_everything():
    screen, log = Screen(), Log()
    everyone = Broadcast("title", screen, log)
    with everyone:
        everyone.update(at(1.0))
        everyone.event("made room")
        everyone.update(at(1.1))
    assert screen.told == ["enter", 1.0, "made room", 1.1, "exit"]
    assert log == [1.0, "made room", 1.1]
    assert everyone.metrics.snapshot == at(1.1)
    assert [point.elapsed_seconds for point in everyone.history.points] == [1.0, 1.1]


def test_a_run_is_ready_from_its_first_actor_at_work_on():
    everyone = Broadcast("title", Screen())
    everyone.update(at(1.0, actors=(ActorView(0, ActorState.IDLE),)))
    assert not everyone.vitals.ready
    everyone.update(at(2.0, actors=(ActorView(0, ActorState.WORKING),)))
    everyone.update(at(3.0))
    assert everyone.vitals.ready


def test_the_log_has_how_a_run_ended():
    log = Log()
    with pytest.raises(SourceError), Broadcast("title", Screen(), log).logged():
        raise SourceError("it is gone", "look for it")
    with Broadcast("title", Screen(), log).logged():
        pass
    assert log == ["started", "ended"] * 2


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (None, 4),
        (SourceError("it is gone", "look for it"), 2),
        (KeyboardInterrupt(), 130),
        (OSError(28, "No space left on device"), 3),
        (ZeroDivisionError("a defect"), 1),
    ],
)
def test_whoever_watches_is_told_of_every_end_with_the_exit_status_that_it_has(error, code):
    screen = Screen()
    everyone = Broadcast("title", screen, ending=Ending(4))
    with suppress(type(error) if error else ()), everyone.logged():
        if error:
            raise error
    assert screen.told == [code]

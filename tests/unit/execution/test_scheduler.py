"""The scheduler against random actors: they die at any moment, and rows of a unit may kill whoever works on them."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from preprocess.execution.scheduler import Action, EndActor, ProbeRows, RunUnit, Scheduler, StartActor
from preprocess.units import Unit
from shared.errors import ClusterError

SPURIOUS_BESIDE_KILLERS = 2
SPURIOUS_ALONE = 5
"""Three deaths start a hunt and three convict a row: fewer than six that no row has done convict nothing."""
STEPS = 5_000
"""No schedule of these sizes is nearly as long."""


def make_units(sizes: Sequence[int]) -> list[Unit]:
    """Units of *sizes* rows, one after the other."""
    starts = [sum(sizes[:number]) for number in range(len(sizes))]
    return [
        Unit("train", number, start, start + size, size)
        for number, (start, size) in enumerate(zip(starts, sizes, strict=True))
    ]


def rows_of(work: RunUnit | ProbeRows) -> range:
    """The source rows that *work* is about."""
    return range(work.unit.start, work.unit.stop) if isinstance(work, RunUnit) else range(work.start, work.stop)


class Actors:
    """Actors that do as the scheduler says. What they were given and what came of it is kept."""

    def __init__(self, units: Sequence[Unit], killers: frozenset[int], num_actors: int) -> None:
        self.units, self.killers, self.num_actors = units, killers, num_actors
        self.scheduler = Scheduler(units, num_actors)
        self.starting: set[int] = set()
        self.idle: set[int] = set()
        self.working: dict[int, RunUnit | ProbeRows] = {}
        self.committed: dict[Unit, frozenset[int]] = {}
        self.obey(self.scheduler.start())

    def obey(self, actions: Sequence[Action]) -> None:
        for action in actions:
            if isinstance(action, StartActor):
                assert action.actor not in self.working
                self.starting.add(action.actor)
                self.idle.discard(action.actor)
            elif isinstance(action, EndActor):
                assert action.actor in self.idle, "only an idle actor is ended"
                self.idle.discard(action.actor)
            else:
                assert action.actor not in self.working, "an actor has one thing to do"
                assert action.actor not in self.starting, "an actor works once it is ready"
                self.idle.discard(action.actor)
                self.working[action.actor] = action

    def ready(self, actor: int) -> None:
        self.starting.discard(actor)
        self.idle.add(actor)
        self.obey(self.scheduler.on_ready(actor))

    def work(self, actor: int, *, recycle: bool = False) -> None:
        """*actor* does what it was given, and dies if a killer row is in it; with *recycle* a new one follows it."""
        work = self.working.pop(actor)
        if self.killers.intersection(rows_of(work)) - work.crashed_rows:
            self.obey(self.scheduler.on_died(actor))
            return
        if isinstance(work, RunUnit):
            assert work.unit not in self.committed, "a unit is committed once"
            self.committed[work.unit] = work.crashed_rows
        self.idle.add(actor)
        self.obey(self.scheduler.on_done(actor, recycle=recycle))

    def die(self, actor: int) -> None:
        self.leave(actor)
        self.obey(self.scheduler.on_died(actor))

    def recycle(self, actor: int, num_actors: int | None = None) -> None:
        self.leave(actor)
        self.num_actors = num_actors or self.num_actors
        self.obey(self.scheduler.on_recycled(actor, num_actors=num_actors))

    def give_up(self, actor: int) -> None:
        del self.working[actor]
        self.idle.add(actor)
        self.obey(self.scheduler.on_gave_up(actor))

    def leave(self, actor: int) -> None:
        self.working.pop(actor, None)
        self.starting.discard(actor)
        self.idle.discard(actor)

    def resize(self, num_actors: int) -> None:
        self.num_actors = num_actors
        self.obey(self.scheduler.resize(num_actors))

    def finish(self) -> None:
        """Everyone goes on until nothing is left to do."""
        for _ in range(STEPS):
            if self.starting:
                self.ready(min(self.starting))
            elif self.working:
                self.work(min(self.working))
            else:
                return
        raise AssertionError("the schedule does not end")

    def check_end(self) -> None:
        assert self.scheduler.finished
        assert set(self.committed) == set(self.units)
        quarantined = {row for rows in self.committed.values() for row in rows}
        assert quarantined == self.killers


SIZES = st.lists(st.integers(1, 9), min_size=1, max_size=6)


class Life(RuleBasedStateMachine):
    """Any order of starts, finished work and deaths."""

    spurious_left = 0

    @initialize(sizes=SIZES, num_actors=st.integers(1, 5), data=st.data())
    def begin(self, sizes, num_actors, data):
        killers = data.draw(st.frozensets(st.integers(0, sum(sizes) - 1), max_size=3))
        self.spurious_left = SPURIOUS_BESIDE_KILLERS if killers else SPURIOUS_ALONE
        self.actors = Actors(make_units(sizes), killers, num_actors)

    @precondition(lambda self: self.actors.starting)
    @rule(data=st.data())
    def an_actor_is_ready(self, data):
        self.actors.ready(data.draw(st.sampled_from(sorted(self.actors.starting))))

    @precondition(lambda self: self.actors.working)
    @rule(data=st.data(), recycle=st.booleans())
    def an_actor_does_its_work(self, data, recycle):
        self.actors.work(data.draw(st.sampled_from(sorted(self.actors.working))), recycle=recycle)

    @precondition(lambda self: self.actors.working)
    @rule(data=st.data(), fewer=st.booleans())
    def an_actor_is_ended_for_want_of_memory(self, data, fewer):
        num_actors = max(1, self.actors.num_actors - 1) if fewer else None
        self.actors.recycle(data.draw(st.sampled_from(sorted(self.actors.working))), num_actors)

    @precondition(lambda self: any(isinstance(work, RunUnit) for work in self.actors.working.values()))
    @rule(data=st.data())
    def a_unit_outgrows_its_reservation(self, data):
        makers = [actor for actor, work in self.actors.working.items() if isinstance(work, RunUnit)]
        self.actors.give_up(data.draw(st.sampled_from(sorted(makers))))

    @rule(num_actors=st.integers(1, 6))
    def another_number_of_actors_is_wanted(self, num_actors):
        self.actors.resize(num_actors)

    @precondition(lambda self: self.spurious_left and self.actors.working)
    @rule(data=st.data())
    def an_actor_at_work_dies_of_something_else(self, data):
        self.spurious_left -= 1
        self.actors.die(data.draw(st.sampled_from(sorted(self.actors.working))))

    @precondition(lambda self: not (self.actors.working or self.actors.starting))
    @rule()
    def nothing_is_left_to_do(self):
        self.actors.check_end()

    @invariant()
    def no_unit_is_with_two_actors(self):
        numbers = [work.unit.number for work in self.actors.working.values()]
        assert len(set(numbers)) == len(numbers)

    @invariant()
    def nobody_is_idle_while_the_queue_is_full(self):
        waiting = len(self.actors.units) - len(self.actors.committed) - len(self.actors.working)
        if waiting:
            busy = len(self.actors.working) + len(self.actors.starting)
            assert busy >= min(self.actors.num_actors, waiting + len(self.actors.working))

    @invariant()
    def no_more_actors_are_idle_than_are_wanted(self):
        everyone = self.actors.working.keys() | self.actors.starting | self.actors.idle
        assert len(everyone) <= max(self.actors.num_actors, len(everyone) - len(self.actors.idle))

    def teardown(self):
        if hasattr(self, "actors"):
            self.actors.finish()
            self.actors.check_end()


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=80, stateful_step_count=25, deadline=None)


@given(SIZES, st.data())
def test_every_row_may_kill_and_exactly_those_are_quarantined(sizes, data):
    killers = data.draw(st.frozensets(st.integers(0, sum(sizes) - 1)))
    actors = Actors(make_units(sizes), killers, num_actors=3)
    actors.finish()
    actors.check_end()


@given(st.integers(0, 63))
def test_one_killer_among_64_rows_costs_three_deaths_and_three_more_and_a_halving_each(killer):
    actors = Actors(make_units([64]), frozenset({killer}), num_actors=1)
    actors.finish()
    actors.check_end()
    assert actors.scheduler.restarts <= 3 + 6 + 3


def until_refused(actors, step):
    """Repeats *step* on the one actor of *actors* until the scheduler gives up."""
    for _ in range(STEPS):
        step(actors)


def test_actors_that_die_before_they_are_ready_end_the_run_with_a_reason():
    actors = Actors(make_units([4]), frozenset(), num_actors=1)
    with pytest.raises(ClusterError, match="before they had any work"):
        until_refused(actors, lambda actors: actors.die(0))


def test_a_unit_whose_actors_die_whatever_they_do_ends_the_run_with_a_reason():
    def step(actors):
        if actors.starting:
            actors.ready(0)
        else:
            (actors.die if isinstance(actors.working[0], RunUnit) else actors.work)(0)

    actors = Actors(make_units([4]), frozenset(), num_actors=1)
    with pytest.raises(ClusterError, match="no single row does"):
        until_refused(actors, step)


def test_a_row_that_kills_even_unread_ends_the_run_with_its_number():
    def step(actors):
        if actors.starting:
            actors.ready(0)
        else:
            (actors.die if 2 in rows_of(actors.working[0]) else actors.work)(0)

    actors = Actors(make_units([4]), frozenset(), num_actors=1)
    with pytest.raises(ClusterError, match=r"row 2 .* cannot even be read"):
        until_refused(actors, step)


def test_no_units_is_no_work():
    assert Scheduler([], 5).start() == []
    assert Scheduler([], 5).finished


def test_no_more_actors_work_than_the_limit_allows_and_a_tick_looks_again():
    scheduler = Scheduler(make_units([1, 1, 1]), 3, limit=1)
    scheduler.start()
    given_out = [action for actor in range(3) for action in scheduler.on_ready(actor)]
    assert [action.unit.number for action in given_out] == [0]
    scheduler.limit = 2
    assert [action.unit.number for action in scheduler.on_tick()] == [1]


def test_a_unit_that_is_not_admitted_waits_for_a_tick_and_others_go_first():
    rooms = {0: None, 1: 700}
    scheduler = Scheduler(make_units([1, 1]), 2, admit=lambda unit: rooms[unit.number])
    scheduler.start()
    given_out = [*scheduler.on_ready(0), *scheduler.on_ready(1)]
    assert [(work.unit.number, work.max_bytes) for work in given_out] == [(1, 700)]
    rooms[0] = 900
    assert [(work.unit.number, work.max_bytes) for work in scheduler.on_tick()] == [(0, 900)]


def test_an_actor_that_is_recycled_at_work_leaves_its_unit_to_others():
    actors = Actors(make_units([2, 2]), frozenset(), num_actors=1)
    actors.ready(0)
    actors.recycle(0)
    actors.finish()
    actors.check_end()


def test_too_many_actors_end_only_once_they_are_idle():
    actors = Actors(make_units([1, 1, 1, 1]), frozenset(), num_actors=2)
    actors.ready(0)
    actors.ready(1)
    actors.resize(1)
    actors.finish()
    actors.check_end()


def test_a_row_that_died_alone_less_than_three_times_is_no_killer():
    actors = Actors(make_units([1]), frozenset(), num_actors=1)
    for _ in range(5):
        actors.ready(0)
        actors.die(0)
    actors.finish()
    actors.check_end()

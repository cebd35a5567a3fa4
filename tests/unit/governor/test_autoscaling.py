"""The number of actors against machines made up for it: it finds what the machine rewards and keeps within its room."""

import math
import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocess.governor.autoscaling import (
    ACTOR_BYTES,
    RETRY_SECONDS,
    WINDOW_SECONDS,
    Load,
    Room,
    Tuning,
    first_tuning,
    most_actors,
    tune,
)
from preprocess.governor.policy import Level

BEAT = 1.0
PLENTY = 100 * ACTOR_BYTES


@dataclass
class Machine:
    """*cores*, *left_bytes* of memory for actors beyond those that run, and actors that use *cpu_share* of a core each.

    Throughput grows with actors up to the cores that they can keep busy and up to what the source gives, with *noise*.
    """

    cores: int
    left_bytes: int = PLENTY
    cpu_share: float = 1.0
    source_limit: float = math.inf
    noise: float = 0.0
    seed: int = 0
    now: float = 0.0
    audio: float = 0.0
    cpu: float = 0.0
    most_seen: int = 0
    tuning: Tuning = field(init=False)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.start = self.left_bytes
        self.tuning = first_tuning(self.room())

    def room(self, actors: int = 0) -> Room:
        return Room(self.cores, max(0, self.start - actors * ACTOR_BYTES))

    def rate(self, actors: int) -> float:
        return min(actors, self.cores / self.cpu_share, self.source_limit)

    def live(self, seconds: float, level: Level = Level.NORMAL) -> int:
        """The number wanted after *seconds* more."""
        for _ in range(int(seconds / BEAT)):
            actors = self.tuning.wanted
            self.most_seen = max(self.most_seen, actors)
            self.now += BEAT
            self.audio += self.rate(actors) * BEAT * (1 + self.random.uniform(-self.noise, self.noise))
            self.cpu += self.rate(actors) * self.cpu_share * BEAT
            self.tuning = tune(self.tuning, Load(self.now, self.audio, self.cpu, actors), self.room(actors), level)
        return self.tuning.wanted


@pytest.mark.parametrize("cores", [1, 2, 4, 6, 16])
def test_busy_actors_get_every_core_but_the_systems(cores):
    machine = Machine(cores)
    assert machine.live(60 * 10) == max(1, cores - 1)
    assert machine.most_seen == max(1, cores - 1)


def test_a_slow_source_gets_more_actors_than_cores_as_long_as_they_bring_something():
    # Each waits four fifths of its time.
    machine = Machine(cores=4, cpu_share=0.2, source_limit=9)
    assert machine.live(60 * 10) == 9


def test_a_source_that_gives_no_more_gets_no_more_actors_than_it_can_feed():
    machine = Machine(cores=8, cpu_share=0.1, source_limit=3)
    assert machine.live(60 * 10) == 3


def test_memory_bounds_the_number_at_the_start_and_later():
    machine = Machine(cores=16, left_bytes=4 * ACTOR_BYTES)
    assert machine.tuning.wanted == 4
    machine.live(60 * 10)
    assert machine.most_seen == 4


def test_without_room_for_any_there_is_one():
    assert first_tuning(Room(8, 0)).wanted == 1


@pytest.mark.parametrize("level", [Level.THROTTLE, Level.PAUSE, Level.EMERGENCY])
def test_short_memory_costs_an_actor_a_window_down_to_one(level):
    machine = Machine(cores=8)
    before = machine.live(60 * 5)
    assert machine.live(2 * WINDOW_SECONDS + 2 * BEAT, level) in {before - 1, before - 2, before - 3}
    assert machine.live(60 * 10, level) == 1


def test_what_was_found_is_looked_at_again_after_a_while():
    machine = Machine(cores=4, cpu_share=0.1, source_limit=2)
    assert machine.live(60 * 5) == 2
    machine.source_limit = 8
    assert machine.live(RETRY_SECONDS + 60 * 5) == 8


def test_a_settled_number_stays_for_a_while():
    machine = Machine(cores=6)
    machine.live(60 * 3)
    seen = {machine.live(BEAT) for _ in range(int(RETRY_SECONDS / 2))}
    assert seen == {5}


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 16), st.floats(0.05, 1.0), st.floats(1, 40), st.integers(0, 1000))
def test_under_noise_it_keeps_within_its_room_and_near_the_best(cores, cpu_share, source_limit, seed):
    machine = Machine(cores, PLENTY, cpu_share, source_limit, noise=0.05, seed=seed)
    found = machine.live(60 * 45)
    waited = 0
    # It may just be trying another number.
    while machine.tuning.settled_at is None and (waited := waited + 1) < 200:
        found = machine.live(WINDOW_SECONDS)
    assert machine.tuning.settled_at is not None
    assert 1 <= machine.most_seen <= most_actors(cores)
    allowed = min(max(math.floor((cores - 1) / cpu_share), cores - 1), most_actors(cores))
    best = machine.rate(allowed)
    assert machine.rate(found) >= 0.7 * best


@given(st.lists(st.tuples(st.floats(-100, 100), st.floats(-100, 100), st.integers(0, 9)), max_size=50))
def test_clocks_that_jump_and_lost_work_never_leave_the_range(steps):
    tuning, now, audio = Tuning(3), 0.0, 0.0
    for seconds, more, busy in steps:
        now, audio = now + seconds, audio + more
        tuning = tune(tuning, Load(now, audio, now, busy), Room(4, PLENTY), Level.NORMAL)
        assert 1 <= tuning.wanted <= most_actors(4)


def test_time_in_which_not_all_were_at_work_says_nothing():
    tuning, audio = Tuning(3), 0.0
    for second in range(1_000):
        audio += 1
        tuning = tune(tuning, Load(second, audio, audio, num_busy=2), Room(8, PLENTY), Level.NORMAL)
    assert tuning.wanted == 3
    assert tuning.rates == {}

"""When an actor is started anew."""

from preprocess.governor.recycling import Recycling

MB = 1_000_000


def test_an_actor_goes_after_its_units_and_its_successor_counts_from_nothing():
    recycling = Recycling(after_units=3, after_growth_bytes=0)
    recycling.started(0)
    assert [bool(recycling.finished(0, 100 * MB)) for _ in range(3)] == [False, False, True]
    recycling.started(0)
    assert [bool(recycling.finished(0, 100 * MB)) for _ in range(3)] == [False, False, True]


def test_an_actor_goes_when_it_has_grown_since_its_first_unit():
    recycling = Recycling(after_units=0, after_growth_bytes=100 * MB)
    recycling.started(0)
    assert recycling.finished(0, 300 * MB) == ""
    assert recycling.finished(0, 399 * MB) == ""
    assert recycling.finished(0, 400 * MB) == "its memory has grown by 100 MB"


def test_actors_are_counted_each_by_itself():
    recycling = Recycling(after_units=2, after_growth_bytes=0)
    assert recycling.finished(0, MB) == ""
    assert recycling.finished(1, MB) == ""
    assert recycling.finished(1, MB) == "it has made 2 shards"


def test_zero_is_never():
    recycling = Recycling(0, 0)
    assert not any(recycling.finished(0, size * MB) for size in range(1_000))

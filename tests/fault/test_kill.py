"""kill -9 at a system call, and the same command again: the store is the undisturbed run's, byte for byte."""

import random

import pytest

from tests.fault.faults import killed, points, publications

DOUBLE_KILLS = 40


def test_a_kill_around_any_publication_leaves_a_store_that_the_same_command_finishes_identically(stage):
    assert [wrong for point in publications(stage.undisturbed) for wrong in killed(stage, point)] == []


@pytest.mark.campaign
def test_a_kill_at_any_system_call_leaves_a_store_that_the_same_command_finishes_identically(stage):
    assert [wrong for point in points(stage.undisturbed) for wrong in killed(stage, point)] == []


@pytest.mark.campaign
def test_two_kills_in_a_row_do_no_more_than_one(stage):
    rng = random.Random(0)
    pairs = [rng.choices(points(stage.undisturbed), k=2) for _ in range(DOUBLE_KILLS)]
    assert [wrong for pair in pairs for wrong in killed(stage, *pair)] == []

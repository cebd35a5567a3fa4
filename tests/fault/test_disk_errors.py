"""A disk that refuses one system call: a clean error, nothing torn or left, and the same command goes on."""

import pytest

from tests.fault.faults import DISK_ERRORS, REFUSABLE, points, refused


def refusable(stage):
    return [point for point in points(stage.undisturbed) if point.name in REFUSABLE]


def on_file(stage, text):
    """Refusable calls on partial files whose names begin with *text*."""
    return [point for point in refusable(stage) if f".partial/{text}" in point.call.arguments]


def test_a_full_disk_at_any_call_of_a_shard_ends_the_run_cleanly_and_it_goes_on_later(stage):
    assert [wrong for point in on_file(stage, "train-00000") for wrong in refused(stage, point, "ENOSPC")] == []


def test_a_failing_disk_under_the_index_ends_the_run_cleanly_and_it_goes_on_later(stage):
    assert [wrong for point in on_file(stage, "index") for wrong in refused(stage, point, "EIO")] == []


@pytest.mark.campaign
@pytest.mark.parametrize("error", DISK_ERRORS)
def test_any_refused_call_ends_the_run_cleanly_and_the_same_command_finishes_identically(stage, error):
    assert [wrong for point in refusable(stage) for wrong in refused(stage, point, error)] == []

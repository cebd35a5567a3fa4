"""What a run may use, and whether its forecast fits."""

from dataclasses import replace
from pathlib import Path

import pytest

from preprocess.governor.budgets import Budgets, make_budgets
from preprocess.planning.estimate import SCRATCH_BYTES, Estimate, check_room
from shared.errors import ResourceLimitError

GB = 10**9
MOUNT = {"used_bytes": 7 * GB, "free_bytes": 50 * GB, "mount_bytes": 100 * GB}
FOUND = Estimate(
    store_bytes=0,
    error_bytes=0,
    missing_bytes=10 * GB,
    scratch_bytes=0,
    audio_seconds=None,
    seconds=None,
    free_bytes=0,
    actors=5,
    cores=2,
)
NEEDED = 10 * GB + SCRATCH_BYTES
HERE = Path("/store")


def test_without_a_budget_all_that_is_free_above_the_reserve_may_be_used():
    assert make_budgets(None, 20 * GB, None, **MOUNT) == Budgets(37 * GB, 20 * GB)
    assert make_budgets(None, 60 * GB, None, **MOUNT) == Budgets(7 * GB, 60 * GB)


@pytest.mark.parametrize(("mount_bytes", "reserve"), [(100 * GB, 5 * GB), (1_000 * GB, 10 * GB)])
def test_ten_gigabytes_stay_free_or_a_twentieth_of_a_small_disk(mount_bytes, reserve):
    assert make_budgets(1, None, None, **MOUNT | {"mount_bytes": mount_bytes}).reserve_bytes == reserve


def test_budgets_that_are_given_are_taken():
    assert make_budgets(3, 2, 1, **MOUNT) == Budgets(3, 2, 1)


def test_a_job_must_fit_the_mount_above_its_reserve():
    budgets = Budgets(100 * GB, 5 * GB)
    check_room(replace(FOUND, free_bytes=NEEDED + 5 * GB), budgets, HERE)
    with pytest.raises(ResourceLimitError, match="stay reserved"):
        check_room(replace(FOUND, free_bytes=NEEDED + 5 * GB - 1), budgets, HERE)


def test_a_job_must_fit_its_budget_with_its_scratch():
    found = replace(FOUND, store_bytes=10 * GB, free_bytes=100 * GB)
    total = found.store_bytes + found.needed_bytes - found.missing_bytes
    check_room(found, Budgets(total, 0), HERE)
    with pytest.raises(ResourceLimitError, match=f"--disk-budget {total}"):
        check_room(found, Budgets(total - 1, 0), HERE)


def test_a_finished_store_needs_no_room():
    check_room(replace(FOUND, missing_bytes=0), Budgets(0, GB), HERE)


@pytest.mark.parametrize(
    ("free", "dtype", "offered"),
    [(NEEDED - 1, "float16", True), (NEEDED - 1, "uint8", False), (NEEDED // 3, "float16", False)],
)
def test_smaller_features_are_offered_only_where_they_fit(free, dtype, offered):
    with pytest.raises(ResourceLimitError) as caught:
        check_room(replace(FOUND, free_bytes=free, dtype=dtype), Budgets(100 * GB, 0), HERE)
    assert ("uint8" in str(caught.value.remedy)) == offered

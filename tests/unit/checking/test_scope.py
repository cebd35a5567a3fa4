"""What a machine is tried with, and what that is expected to take."""

from dataclasses import replace

import pytest

from tests.support.made_up_machines import CARD, GIB, MACHINE, NO_CARD, NONE, TWO, examined, one_gpu
from trainer.check import Size
from trainer.checking.scope import SIZES, expected_bytes, expected_rate, largest_fitting, scope_of
from trainer.checking.world import Outcome


def scope(observed, machine=MACHINE, **wishes):
    return scope_of(examined(observed, machine, **wishes)[0])


def test_gpus_are_tried_with_the_real_model_and_cpus_with_a_tiny_one():
    assert (scope(TWO).size, scope(TWO).ranks, scope(TWO).cuda) == ("large-v3-turbo", 2, True)
    assert (scope(NONE, NO_CARD).size, scope(NONE, NO_CARD).ranks, scope(NONE, NO_CARD).cuda) == ("demo", 2, False)
    assert scope(one_gpu()).ranks == 1


def test_what_the_user_wishes_counts_but_no_more_ranks_than_gpus():
    assert scope(TWO, size="small", ranks=1).size == "small"
    assert scope(TWO, ranks=1).ranks == 1
    assert scope(TWO, ranks=4).ranks == 2
    assert scope(NONE, NO_CARD, ranks=3).ranks == 3


def test_every_rank_has_clips_however_many_there_are():
    assert scope(NONE, NO_CARD, ranks=40).batch >= 40
    assert scope(TWO).batch == 48


def test_ranks_that_cannot_reach_each_other_are_not_started_together():
    assert scope(TWO | {"links": Outcome(trouble="did not end")}).ranks == 1


@pytest.mark.parametrize(("gib", "size"), [(16, "large-v3-turbo"), (12, "large-v3-turbo"), (8, "small"), (1, "tiny")])
def test_a_small_gpu_is_tried_with_what_fits_it(gib, size):
    assert largest_fitting(gib * GIB, 1) == size
    assert scope(TWO, vram_budget=gib * GIB).size == size


def test_every_size_can_be_named():
    assert set(Size.__args__) == set(SIZES)


def test_the_tiny_model_has_room_for_whispers_special_tokens():
    assert all(shape.vocab_size > 100 + 8 + 1501 + 256 for shape in SIZES.values())


def test_two_gpus_are_expected_to_do_twice_what_one_does():
    both, alone = scope(TWO), scope(TWO, ranks=1)
    assert expected_rate(both, [CARD, CARD])[0] == pytest.approx(2 * expected_rate(alone, [CARD])[0])
    assert expected_rate(both, ["a GPU of tomorrow", CARD]) is None


def test_unlike_gpus_are_expected_to_wait_for_the_slower():
    both, fast = scope(TWO), "NVIDIA GeForce RTX 4090"
    assert expected_rate(both, [fast, CARD]) == expected_rate(both, [CARD, fast]) == expected_rate(both, [CARD, CARD])
    assert expected_rate(both, [fast, fast])[0] > expected_rate(both, [fast, CARD])[0]


def test_memory_is_estimated_as_it_is_used_kept_or_recomputed():
    kept = TWO["training"]
    recomputed = replace(kept, plain_frames=0)
    assert expected_bytes(scope(TWO), recomputed) < expected_bytes(scope(TWO), kept)


def test_the_disk_has_to_hold_model_checkpoint_and_export():
    parameters = SIZES["large-v3-turbo"].parameter_count
    assert scope(TWO).disk_bytes == pytest.approx(parameters * (4 + 4 + 2 + 2) + GIB, rel=0.01)

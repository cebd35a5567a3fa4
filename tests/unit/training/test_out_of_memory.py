"""Memory that runs out at any allocation of a step: it is begun again and is the same step, or nothing is updated."""

import pytest
import torch

from tests.support.card import Card
from tests.support.steps import noise, take, tiny_stepper, weights
from trainer.model.whisper import trained_parameters
from trainer.training.step import OutOfMemory

pytestmark = pytest.mark.usefixtures("one_thread")
BATCHES = [noise(1), noise(2, recompute=True)]
SAMPLED = 8
KEPT = 100
"""Bytes: the loss scale."""


def settled():
    """A `Stepper` of one layer a side in float16, whose optimiser has its state; and a card that holds it."""
    made, card = tiny_stepper(torch.float16, encoder_layers=1, decoder_layers=1), Card()
    take(made, 0)
    gradients = (parameter.grad for parameter in trained_parameters(made.model))
    given = (tensor for _, tensors in BATCHES for tensor in tensors)
    card.hold([*made.model.parameters(), *gradients, *states(made), *given])
    return made, card


def states(made):
    return [value for entry in made.optimiser.state.values() for value in entry.values()]


def broken_off(number):
    """The weights after the repetition of a step whose allocation *number* failed, and bytes held in between.

    Those are 0 after a backward pass. None where its gradients had met by then: that ends the run.
    """
    made, card = settled()
    stays, card.fails_at = card.used, card.allocations + number
    with card:
        try:
            take(made, 1, BATCHES)
        except OutOfMemory:
            held = 0 if card.backward else card.used - stays
            take(made, 1, BATCHES)
        except torch.OutOfMemoryError:
            return None
        else:
            pytest.fail(f"the step has no allocation {number}")
    return weights(made), held


@pytest.fixture(scope="module")
def straight():
    """The weights after that step where memory sufficed, and how often it takes memory."""
    made, card = settled()
    there = card.allocations
    with card:
        take(made, 1, BATCHES)
    return weights(made), card.allocations - there


def check(numbers, straight):
    """How many of the allocations *numbers* end the run: the last ones, of the update; all others cost a repetition."""
    found = [broken_off(number) for number in numbers]
    repeated = [each for each in found if each is not None]
    assert found[: len(repeated)] == repeated
    for now, held in repeated:
        assert all(torch.equal(one, other) for one, other in zip(straight[0], now, strict=True))
        # Nothing of what was computed is kept while the step is planned anew.
        assert held < KEPT
    return len(found) - len(repeated)


def test_a_step_that_ran_out_of_memory_anywhere_is_repeated_to_the_bit(straight):
    numbers = range(0, straight[1], straight[1] // SAMPLED)
    assert check(numbers, straight) < SAMPLED // 2


@pytest.mark.campaign
def test_at_every_single_allocation(straight):
    assert check(range(straight[1]), straight) < straight[1] // 2


def test_memory_that_runs_out_while_micro_batches_are_tried_is_told_and_given_back():
    made, card = settled()
    stays, card.fails_at = card.used, card.allocations + 50
    batch, tensors = BATCHES[1]
    with card:
        with pytest.raises(torch.OutOfMemoryError):
            made.try_out(batch, tensors)
        assert not card.backward
        assert card.used - stays < KEPT
        made.try_out(batch, tensors)
    assert all(not parameter.grad.any() for parameter in made.model.parameters() if parameter.requires_grad)

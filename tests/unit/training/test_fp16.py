"""float16 with a loss scale, on a CPU as on a GPU: float32's losses, and an overflow costs a step and no more."""

import json
import os

import pytest
import torch

from tests.support.steps import ALONE, moments, noise, take, tiny_stepper, weights
from tests.support.training import ROOT
from tests.support.warm import WarmProcess
from trainer.checkpoints.optimizer_state import whole_state
from trainer.training.resume import go_on

pytestmark = pytest.mark.usefixtures("one_thread")
HALF = torch.float16
TOO_LARGE = 2.0**40
"""A loss scale at which every gradient of these steps overflows float16."""


def losses(made, steps, batches=lambda step: [noise(step)]):
    """The mean loss per token of each of *steps*."""
    return [
        float(take(made, step, batches(step)).loss_sum) / sum(len(t[-1]) for _, t in batches(step)) for step in steps
    ]


def unchanged(before, now):
    return all(torch.equal(old, new) for old, new in zip(before, now, strict=True))


@pytest.mark.parametrize("optim", ["adamw", "adamw-8bit", "adafactor"])
def test_the_losses_are_those_of_float32(optim):
    """Micro-batches of several shapes; 8-bit AdamW has tensors that are large enough for 8 bits (d_model 64)."""

    def batches(step):
        return [noise(step % 3), noise(3 + step % 3, clips=3, frames=24, tokens=3)]

    sizes = {"d_model": 64, "encoder_ffn_dim": 128, "decoder_ffn_dim": 128}
    single, half = (losses(tiny_stepper(dtype, optim=optim, **sizes), range(9), batches) for dtype in (None, HALF))
    assert half == pytest.approx(single, abs=1e-3 if optim == "adamw-8bit" else 1e-4)
    assert half[-3] < half[0] - 0.01


@pytest.mark.parametrize("scale", [2.0**6, 2.0**13])
def test_the_scale_shows_in_no_norm_and_in_no_update(scale):
    one, other = tiny_stepper(HALF), tiny_stepper(HALF)
    other.scaler.load_state_dict(other.scaler.state_dict() | {"scale": scale})
    assert take(one, 9).norm == pytest.approx(take(other, 9).norm, rel=1e-3)
    assert losses(one, range(5)) == pytest.approx(losses(other, range(5)), abs=2e-4)


@pytest.mark.parametrize("optim", ["adamw", "adamw-8bit", "adafactor"])
def test_an_overflow_skips_the_step_and_halves_the_scale(optim):
    made = tiny_stepper(HALF, optim=optim, d_model=64)
    take(made, 0)
    before = (weights(made), moments(made))
    made.scaler.load_state_dict(made.scaler.state_dict() | {"scale": TOO_LARGE})
    result = take(made, 1)
    assert result.skipped
    assert result.bad == ()
    assert made.scaler.get_scale() == TOO_LARGE / 2
    assert unchanged(before[0], weights(made))
    assert unchanged(before[1], moments(made))


def test_after_overflows_it_comes_down_to_a_scale_that_trains_and_rises_again():
    made, plain = tiny_stepper(HALF), tiny_stepper(HALF)
    made.scaler.set_growth_interval(4)
    made.scaler.load_state_dict(made.scaler.state_dict() | {"scale": TOO_LARGE})
    skipped = 0
    while take(made, 0).skipped:
        skipped += 1
        assert skipped < 40
    take(plain, 0)
    # As if nothing had been skipped: no moment and no weight has seen an overflow.
    for mine, theirs in zip(weights(made), weights(plain), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-6)
    low = made.scaler.get_scale()
    assert low == TOO_LARGE / 2**skipped
    scales = [(take(made, step).skipped, made.scaler.get_scale()) for step in range(1, 5)]
    assert (False, 2 * low) in scales


@pytest.mark.parametrize("dtype", [None, torch.bfloat16, HALF])
def test_gradients_whose_norm_alone_is_no_number_update_nothing(dtype):
    """Each is finite, so the scaler sees nothing wrong; their squares do not add up to a number."""
    made = tiny_stepper(dtype)
    take(made, 0)
    before = (weights(made), moments(made))
    made.model.whisper.model.decoder.layers[0].fc1.weight.register_hook(lambda gradient: gradient * 0 + 1e30)
    assert take(made, 1).skipped
    assert unchanged(before[0], weights(made))
    assert unchanged(before[1], moments(made))


def test_a_loss_that_is_no_number_names_its_micro_batch_and_its_values_do_not_stay():
    made = tiny_stepper(HALF)
    good, bad = noise(1), noise(2)
    bad[1][0].fill_(float("inf"))
    result = take(made, 0, [good, bad])
    assert (result.skipped, result.bad) == (True, (bad[0],))
    assert not take(made, 1).skipped


@pytest.mark.parametrize("freeze_encoder", [False, True])
def test_recomputed_activations_give_the_same_step(freeze_encoder):
    found = []
    for recompute in (False, True):
        made = tiny_stepper(HALF, freeze_encoder=freeze_encoder)
        result = take(made, 0, [noise(1, recompute=recompute), noise(2, recompute=recompute)])
        found.append((float(result.loss_sum), result.norm, weights(made)))
    (loss, norm, one), (other_loss, other_norm, other) = found
    assert (loss, norm) == (pytest.approx(other_loss, rel=1e-6), pytest.approx(other_norm, rel=1e-4))
    for mine, theirs in zip(one, other, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("optim", ["adamw", "adamw-8bit", "adafactor"])
def test_what_a_checkpoint_holds_goes_on_to_the_bit(optim):
    """Weights, moments, the scale, and how many steps it has held: it grows when it would have grown."""
    straight, first = (tiny_stepper(HALF, optim=optim, d_model=64) for _ in range(2))
    for made in (straight, first):
        made.scaler.set_growth_interval(5)
        for step in range(3):
            take(made, step)
    saved = {"optimiser": whole_state(first.optimiser, ALONE), "scaler": first.scaler.state_dict()}
    second = tiny_stepper(HALF, optim=optim, d_model=64)
    second.model.load_state_dict(first.model.state_dict())
    assert go_on(second, saved)
    for step in range(3, 7):
        take(straight, step)
        take(second, step)
        assert straight.scaler.state_dict() == second.scaler.state_dict()
    assert second.scaler.get_scale() == 2.0**17
    assert unchanged(weights(straight), weights(second))


def test_a_run_without_a_scale_is_gone_on_with_in_float16_and_the_other_way_round():
    for before, now in ((None, HALF), (HALF, None)):
        first, second = tiny_stepper(before), tiny_stepper(now)
        take(first, 0)
        second.model.load_state_dict(first.model.state_dict())
        go_on(second, {"optimiser": whole_state(first.optimiser, ALONE), "scaler": first.scaler.state_dict()})
        assert not take(second, 1).skipped
        assert second.scaler.is_enabled() is (now is HALF)


def test_what_breaks_on_one_rank_only_is_skipped_by_both_alike(tmp_path):
    """To the bit, however the optimiser is shared out; only the rank whose loss was no number names its clips."""
    optims = ("adamw", "adamw-zero1", "adamw-8bit")
    script = str(ROOT / "tests" / "support" / "rank_fp16.py")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    process = WarmProcess(script, [str(tmp_path / "told"), *optims], environment, 2)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    one, other = (json.loads((tmp_path / f"told-{rank}").read_text()) for rank in range(2))
    for optim in optims:
        (mine, weights_here), (theirs, weights_there) = one[optim], other[optim]
        assert weights_here == weights_there
        # Of the five steps, the second and the third halve the scale.
        for steps, names in ((mine, 0), (theirs, 1)):
            assert [skipped for skipped, *_ in steps] == [False, True, True, False, False]
            assert [count for _, count, *_ in steps] == [0, names, 0, 0, 0]
            assert [scale for *_, scale, _ in steps] == [2.0**16, 2.0**15, 2.0**14, 2.0**14, 2.0**14]
        assert mine[-1][-1] == theirs[-1][-1]

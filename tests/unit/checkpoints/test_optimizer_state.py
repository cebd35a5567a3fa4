"""What a checkpoint holds of an optimiser goes on under other settings, and not in an optimiser of another kind."""

import pytest
import torch
from torch import nn

from trainer.checkpoints.optimizer_state import is_fresh, restore, whole_state
from trainer.distributed.ranks import Ranks
from trainer.training.optimizers import make_optimiser

ALONE = Ranks(0, 1, torch.device("cpu"))
NAMES = ["adamw", "adamw-8bit", "adafactor"]


def made(name, *, steps=0, **options):
    """An optimiser over a small model that has taken *steps*, and the model."""
    torch.manual_seed(7)
    model = nn.Sequential(nn.Linear(64, 80), nn.Linear(80, 1))
    optimiser = make_optimiser(name, list(model.parameters()), ALONE, **{"rate": 0.01, "weight_decay": 0.0} | options)
    for _ in range(steps):
        step(model, optimiser)
    return model, optimiser


def step(model, optimiser):
    optimiser.zero_grad()
    model(torch.linspace(-1, 1, 64 * 3).reshape(3, 64)).square().sum().backward()
    optimiser.step()


@pytest.mark.parametrize("name", NAMES)
def test_an_optimiser_goes_on_as_if_it_had_never_stopped(name):
    model, optimiser = made(name, steps=3)
    again, restored = made(name)
    again.load_state_dict(model.state_dict())
    assert is_fresh(restored)
    assert restore(restored, whole_state(optimiser, ALONE))
    assert not is_fresh(restored)
    for each in ((model, optimiser), (again, restored)):
        step(*each)
    for mine, other in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(mine, other)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("other", NAMES)
def test_the_state_of_another_optimiser_is_left_alone(name, other):
    if name != other:
        _, optimiser = made(name)
        assert not restore(optimiser, whole_state(made(other, steps=2)[1], ALONE))
        assert is_fresh(optimiser)


def test_what_a_user_sets_now_holds_and_not_what_was_set_before():
    saved = whole_state(made("adamw", steps=2)[1], ALONE)
    _, optimiser = made("adamw", weight_decay=0.5)
    assert restore(optimiser, saved)
    assert [group["weight_decay"] for group in optimiser.param_groups] == [0.5]


def test_a_state_from_a_cpu_goes_on_in_the_fused_optimiser_of_a_gpu():
    """Fused AdamW counts its steps in float32 on the parameters' device; it must stay fused, too."""
    saved = whole_state(made("adamw", steps=2)[1], ALONE)
    model, _ = made("adamw")
    fused = torch.optim.AdamW(model.parameters(), fused=True)
    assert restore(fused, saved)
    assert [group["fused"] for group in fused.param_groups] == [True]
    step(model, fused)
    assert {float(entry["step"]) for entry in fused.state.values()} == {3.0}


def test_a_saved_state_does_not_change_with_the_optimiser():
    model, optimiser = made("adamw", steps=1)
    saved = whole_state(optimiser, ALONE)
    before = saved["state"][0]["exp_avg"].clone()
    step(model, optimiser)
    assert torch.equal(saved["state"][0]["exp_avg"], before)

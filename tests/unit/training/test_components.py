"""What a run's settings leave open is decided once, by its ranks."""

import pytest
import torch

from shared.errors import UsageError
from trainer.distributed.ranks import Ranks
from trainer.settings import TrainSettings
from trainer.training.components import Setup


def setup(device, world_size=1, **settings):
    made = TrainSettings(store="store", _env_file=None, **settings)
    return Setup.of(made, Ranks(0, world_size, torch.device(device)))


@pytest.mark.parametrize(
    ("device", "optimiser", "dtype"), [("cpu", "adamw", None), ("cuda", "adamw-8bit", torch.float16)]
)
def test_auto_is_what_suits_the_device(device, optimiser, dtype):
    made = setup(device)
    assert (made.options.optimiser, made.dtype, made.options.autocast) == (optimiser, dtype, dtype is not None)


def test_what_is_named_is_taken_on_every_device():
    made = setup("cpu", 2, optim="adafactor", precision="bf16", freeze_encoder=True)
    options = made.options
    assert made.dtype == torch.bfloat16
    assert (options.optimiser, options.world_size, options.freeze_encoder) == ("adafactor", 2, True)


def test_float16_is_computed_on_a_cpu_too():
    made = setup("cpu", precision="fp16")
    assert (made.dtype, made.options.autocast) == (torch.float16, True)


def test_fewer_clips_in_a_step_than_ranks_are_refused():
    with pytest.raises(UsageError, match="3 is less than the 4 ranks"):
        setup("cpu", 4, global_batch_size=3)

"""Two ranks with micro-batches have the gradients of one process with one batch."""

import os

import pytest
import torch

from shared.errors import ResourceLimitError
from shared.schema import FeatureSpec
from tests.support.training import ROOT, tiny_model, training_store
from tests.support.warm import WarmProcess
from trainer.distributed.gradients import GradientExchange
from trainer.distributed.ranks import Ranks


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, and a store whose clips are all of one length: what is padded how much must not show."""
    folder = tmp_path_factory.mktemp("ranks")
    tiny_model(folder / "model")
    training_store(folder / "store", folder / "model", clips=24, longest=21, spec=FeatureSpec(80, "float16"))
    return folder


def gradients(folder, ranks, frames, failing="never"):
    path = folder / f"gradients-{ranks}-{frames}-{failing}.pt"
    script = str(ROOT / "tests" / "support" / "rank_gradients.py")
    arguments = [str(folder / "store"), str(folder / "model"), str(frames), failing, str(path)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    process = WarmProcess(script, arguments, environment, ranks)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return torch.load(path)


@pytest.fixture(scope="module")
def one(folder):
    """Of one process with one batch."""
    return gradients(folder, 1, 100_000)


def test_two_ranks_and_their_micro_batches_add_up_to_one_batch(folder, one):
    two = gradients(folder, 2, 60)
    assert len(one) == len(two) > 50
    for mine, other in zip(one, two, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-6, atol=1e-13)


@pytest.mark.parametrize("failing", ["forward", "backward"])
def test_a_rank_that_runs_out_of_memory_keeps_no_other_waiting_and_the_step_can_be_repeated(folder, one, failing):
    """All learn of it, and what was half exchanged leaves no trace in the gradients of the step's repetition."""
    two = gradients(folder, 2, 60, failing)
    for mine, other in zip(one, two, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-6, atol=1e-13)


def test_where_not_even_zeros_have_room_the_run_ends_with_what_to_do(monkeypatch):
    exchange = GradientExchange(torch.nn.Linear(2, 2), Ranks(0, 1, torch.device("cpu")))

    def no_room(*_arguments):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(exchange, "_parallel", object())
    monkeypatch.setattr(exchange, "_bucket_sizes", lambda: [6])
    monkeypatch.setattr(torch.nn.Parameter, "new_zeros", no_room)
    with pytest.raises(ResourceLimitError, match=r"gradients were exchanged[\s\S]*smaller --frame-budget"):
        exchange.make_up()

"""Work for whichever thread comes first: done once, waited for only while somebody is at it, left where unwanted."""

import threading

import pytest
import torch

from shared.store import open_split
from tests.support.training import tiny_model, training_store
from trainer.data.buffers import Buffers
from trainer.data.loader import Loader
from trainer.data.micro_batches import Budget
from trainer.data.step_planner import Lengths, StepPlanner


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    folder = tmp_path_factory.mktemp("loader")
    return open_split(training_store(folder / "store", tiny_model(folder / "model")), "train")


def loader(split, augment):
    lengths = Lengths(split.num_frames, split.num_labels, split.duration)
    planner = StepPlanner(lengths, 16, 3, 0.0, 1, Budget(500, 500, 1.0))
    return Loader(split, planner, 0, torch.device("cpu"), 40, threads=1, augment=augment)


class Gate:
    """Holds the pool's only thread up until it *may_go_on*, and notes which steps each thread forms."""

    def __init__(self):
        self.begun, self.may_go_on = threading.Event(), threading.Event()
        self.formed = {True: set(), False: set()}

    def at(self, step):
        here = threading.current_thread() is threading.main_thread()
        self.formed[here].add(step)
        if not here:
            self.begun.set()
            assert self.may_go_on.wait(30)
        return lambda *_: None


def test_who_asks_for_what_nobody_has_begun_forms_it_and_once(split):
    gate = Gate()
    with loader(split, gate) as made:
        made.step(0)
        assert gate.begun.wait(30)
        # The thread is held up at the first ones; those of another step wait for it in vain.
        other = max(made._plans)
        made._queue = type(made._queue)(ahead for ahead in made._queue if ahead.step == other)
        assert len(list(made.step(other)[1])) == len(made.planner.plan(other).ranks[0])
        gate.may_go_on.set()
    assert other in gate.formed[True]
    assert other not in gate.formed[False]


def test_what_a_reset_forgets_is_not_formed(split):
    gate = Gate()
    with loader(split, gate) as made:
        made.step(0)
        assert gate.begun.wait(30)
        made.reset()
        gate.may_go_on.set()
    assert len(gate.formed[False]) < len(made._plans)
    assert not gate.formed[True]


def test_what_fails_in_a_thread_is_told_to_who_asks_for_it(split):
    class Broken(Gate):
        def at(self, step):
            super().at(step)
            raise OSError("the disk of the store is gone")

    gate = Broken()
    gate.may_go_on.set()
    with loader(split, gate) as made:
        _, batches = made.step(0)
        assert gate.begun.wait(30)
        with pytest.raises(OSError, match="is gone"):
            next(batches)


def test_for_a_gpu_batches_lie_in_pinned_memory_and_the_features_own_is_used_again(split, monkeypatch):
    """What is pinned is a copy, so that the memory it was formed in is free at once; values are those of a CPU."""
    plain = loader(split, None)
    other, pinned, given = loader(split, None), [], []
    other.device = torch.device("cuda")

    def pin(tensor):
        pinned.append(tensor.shape)
        return tensor.clone()

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    monkeypatch.setattr(Loader, "_sent", lambda _loader, tensors: tensors)
    monkeypatch.setattr(Buffers, "give", lambda buffers, memory: buffers is other._buffers and given.append(memory))
    with plain, other:
        for step in range(3):
            for (_, mine), (_, theirs) in zip(plain.step(step)[1], other.step(step)[1], strict=True):
                torch.testing.assert_close(mine, theirs, rtol=0, atol=0)
        assert not other._given
    assert len(pinned) == 5 * len(given) > 0

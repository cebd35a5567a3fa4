"""One optimiser step: its gradient is that of one big batch, however it is cut into micro-batches and ranks."""

import os
import threading

import numpy as np
import pytest
import torch

from shared.store import open_split
from tests.support.samples import feature_row, make_store
from tests.support.training import tiny_model, training_store
from trainer.data.clips import Clip, Clips
from trainer.data.collate import collate
from trainer.data.loader import TOGETHER, Loader, as_tensors
from trainer.data.micro_batches import Budget
from trainer.data.sampler import share_out
from trainer.data.step_planner import Lengths, StepPlan, StepPlanner
from trainer.distributed.ranks import Ranks
from trainer.model.whisper import TrainingModel, load_model, trained_parameters
from trainer.training.optimizers import make_optimiser
from trainer.training.step import Stepper

ALONE = Ranks(0, 1, torch.device("cpu"))


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("step") / "model")


@pytest.fixture(scope="module")
def split(model_folder, tmp_path_factory):
    return open_split(training_store(tmp_path_factory.mktemp("step") / "store", model_folder), "train")


def stepper(model_folder, *, double=False, **options):
    model = TrainingModel(load_model(str(model_folder))).train()
    model = model.double() if double else model
    optimiser = torch.optim.SGD(trained_parameters(model), lr=0.1)
    return Stepper(model, optimiser, ALONE, None, options.pop("max_grad_norm", 1e9), seed=0)


def planner(split, *, frames=100_000, share=0.0, batch=16, world_size=1):
    lengths = Lengths(split.num_frames, split.num_labels, split.duration)
    return StepPlanner(lengths, batch, 3, share, world_size, Budget(frames, frames, 1.0))


def one_step(split, made, plans, step=0, rate=0.1):
    with Loader(split, plans, 0, ALONE.device, 1_000) as loader:
        return made.run(*loader.step(step), rate)


def gradients(made):
    return [parameter.grad.clone() for parameter in trained_parameters(made.model)]


@pytest.mark.parametrize("frames", [120, 400, 700])
@pytest.mark.parametrize("share", [0.0, 0.1])
def test_micro_batches_give_the_gradient_of_the_one_big_batch(split, model_folder, frames, share):
    """To 1e-6 and better in float64; a mean of the micro-batches' means would miss it by per cents.

    Padding shows in an encoder without a mask: so all clips here are of one length, or the window.
    """
    lengths = split.num_frames
    rows = [row for row in range(len(split)) if lengths[row] >= 60][:8]
    clips = Clips.of(
        [
            Clip(row, 3_000 if number < 8 * share else 128, int(split.num_labels[row]) - 1)
            for number, row in enumerate(rows)
        ]
    )
    tokens = int(clips.tokens.sum())
    found = []
    for budget in (Budget(100_000, 100_000), Budget(frames, frames)):
        made = stepper(model_folder, double=True)
        ranks = share_out(clips, world_size=1, budget=budget)
        plan = StepPlan(0, 0, ranks, tokens, 1.0)
        batches = [(batch, as_tensors(collate(split, batch.clips))) for batch in ranks[0]]
        result = made.run(plan, batches, 0.0)
        found.append((len(batches), float(result.loss_sum), result.norm, gradients(made)))
    (few, loss, norm, one), (many, other_loss, other_norm, other) = found
    assert many > few
    assert loss == pytest.approx(other_loss, rel=1e-9)
    assert norm == pytest.approx(other_norm, rel=1e-9)
    for mine, theirs in zip(one, other, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-12)


def test_the_loss_of_a_step_is_the_mean_over_its_tokens(split, model_folder):
    made, plans = stepper(model_folder, double=True), planner(split, frames=500)
    plan = plans.plan(0)
    result = one_step(split, made, plans)
    with torch.no_grad():
        single = sum(float(made.model.double()(*as_tensors(collate(split, batch.clips)))) for batch in plan.ranks[0])
    # The update has moved the weights by little at this rate; the sum before it is what counts.
    assert plan.num_targets == sum(int(split.num_labels[clip.row]) - 1 for b in plan.ranks[0] for clip in b.clips)
    assert float(result.loss_sum) / plan.num_targets == pytest.approx(np.log(3_401), rel=0.1)
    assert single < float(result.loss_sum)


def test_a_step_begins_without_the_gradients_of_the_one_before(split, model_folder):
    made, plans = stepper(model_folder), planner(split)
    norms = [one_step(split, made, plans, rate=0.0).norm for _ in range(2)]
    assert norms[1] == pytest.approx(norms[0], rel=1e-3)


def test_gradients_are_clipped_to_the_norm(split, model_folder):
    made = stepper(model_folder, max_grad_norm=0.01)
    result = one_step(split, made, planner(split))
    assert result.norm > 0.01
    clipped = torch.linalg.vector_norm(torch.stack([grad.norm() for grad in gradients(made)]))
    assert float(clipped) == pytest.approx(0.01, rel=1e-3)


def test_a_gradient_that_is_no_number_changes_no_weight_and_names_its_batch(split, model_folder):
    made, plans = stepper(model_folder), planner(split, frames=300)
    before = [parameter.detach().clone() for parameter in made.model.parameters()]
    plan = plans.plan(0)
    batches = [(batch, as_tensors(collate(split, batch.clips))) for batch in plan.ranks[0]]
    batches[1][1][0].fill_(float("nan"))
    result = made.run(plan, batches, 0.1)
    assert result.skipped
    assert result.bad == (plan.ranks[0][1],)
    for parameter, old in zip(made.model.parameters(), before, strict=True):
        torch.testing.assert_close(parameter.detach(), old, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["adamw", "adamw-8bit", "adafactor"])
def test_every_optimiser_lowers_the_loss(split, model_folder, name):
    model = TrainingModel(load_model(str(model_folder))).train()
    optimiser = make_optimiser(name, trained_parameters(model), ALONE, rate=1e-3, weight_decay=0.0)
    made = Stepper(model, optimiser, ALONE, None, 1.0, seed=0)
    plans = planner(split)
    with Loader(split, plans, 0, ALONE.device, 8) as loader:
        losses = []
        for step in range(8):
            plan, batches = loader.step(step)
            losses.append(float(made.run(plan, batches, 3e-3).loss_sum) / plan.num_targets)
    assert losses[-1] < losses[0] - 0.05


@pytest.mark.parametrize("name", ["adamw", "adamw-8bit", "adafactor"])
def test_a_learning_rate_means_the_same_to_every_optimiser(name):
    """The first step moves a matrix by about the rate, however small its weights are."""
    matrix = torch.nn.Parameter(1e-3 * torch.randn(128, 96, generator=torch.manual_seed(3)))
    before = matrix.detach().clone()
    optimiser = make_optimiser(name, [matrix], ALONE, rate=1e-4, weight_decay=0.0)
    matrix.grad = torch.randn(matrix.shape)
    optimiser.step()
    moved = float((matrix.detach() - before).square().mean().sqrt())
    assert 0.5e-4 < moved < 2e-4


def test_the_loader_forms_the_same_batches_in_any_order_and_again_after_a_reset(split):
    plans = planner(split, frames=500)

    def batches(loader, step):
        return [[tensor.tolist() for tensor in tensors] for _, tensors in loader.step(step)[1]]

    with Loader(split, plans, 0, ALONE.device, 9) as loader:
        forward = [batches(loader, step) for step in range(3)]
        backward = [batches(loader, step) for step in (2, 1, 0)]
        assert backward == forward[::-1]
        next(loader.step(1)[1])
        loader.reset()
        assert batches(loader, 1) == forward[1]


def test_a_steps_tensors_hold_until_the_next_is_asked_for_and_then_their_memory_is_used_again(split):
    plans = planner(split, frames=500)
    memory = set()
    with Loader(split, plans, 0, ALONE.device, 120) as loader:
        for step in range(120):
            given = list(loader.step(step)[1])
            for batch, tensors in given:
                torch.testing.assert_close(tensors, as_tensors(collate(split, batch.clips)), rtol=0, atol=0)
            memory |= {tensors[0].untyped_storage().data_ptr() for _, tensors in given}
    counts = [len(plans.plan(step).ranks[0]) for step in range(120)]
    assert max(counts) > TOGETHER
    formed = sum(counts)
    assert len(memory) <= formed / 4


def test_while_a_thread_is_at_what_comes_next_the_asking_one_forms_what_comes_after(split):
    helped, in_time = threading.Event(), []

    class Gate:
        def at(self, _step):
            if threading.current_thread() is threading.main_thread():
                helped.set()
            else:
                in_time.append(helped.wait(10))
                helped.set()
            return lambda *_: None

    with Loader(split, planner(split, frames=500), 0, ALONE.device, 40, threads=1, augment=Gate()) as loader:
        found = [batch for step in range(40) for batch, _ in loader.step(step)[1]]
    assert in_time
    assert all(in_time)
    assert len({clip.row for batch in found for clip in batch.clips}) == len(split)


def test_no_more_threads_are_started_than_the_training_loop_leaves_cores_for(split):
    with Loader(split, planner(split, frames=500), 0, ALONE.device, 40, threads=100) as loader:
        for step in range(40):
            list(loader.step(step)[1])
        running = [thread for thread in threading.enumerate() if thread.name.startswith("loader")]
    assert 1 <= len(running) <= max(1, len(os.sched_getaffinity(0)) - 1)


def test_a_smaller_budget_means_more_micro_batches_of_the_same_clips(split):
    plans = planner(split)
    with Loader(split, plans, 0, ALONE.device, 9) as loader:
        plan, _ = loader.step(0)
        plans.budget = Budget(200, 200)
        loader.reset()
        again, found = loader.step(0)
        assert len(list(found)) > len(plan.ranks[0])
    rows = [sorted(clip.row for batch in one.ranks[0] for clip in batch.clips) for one in (plan, again)]
    assert rows[0] == rows[1]


def test_a_clip_of_43_s_with_all_labels_is_trained_on_beside_short_ones(model_folder, tmp_path):
    """Its context is as long as it is, and every weight gets a gradient that is a number."""
    spec, shape = open_split(training_store(tmp_path / "short", model_folder), "train").spec, (4_300, 43.0)
    rows = [feature_row(0, shape[0], spec, labels=[1, 2, 3] + [5] * 445), feature_row(1, 300, spec, labels=[1, 2])]
    split = open_split(make_store(tmp_path / "store", {"train": [rows]}, spec).root, "train")
    clips = Clips.of([Clip(row, int(split.num_frames[row]), int(split.num_labels[row]) - 1) for row in (0, 1)])
    made = stepper(model_folder)
    ranks = share_out(clips, world_size=1, budget=Budget(10_000, 10_000))
    batches = [(batch, as_tensors(collate(split, batch.clips))) for batch in ranks[0]]
    assert max(tensors[0].shape[1] for _, tensors in batches) == 4_304
    result = made.run(StepPlan(0, 0, ranks, int(clips.tokens.sum()), 1.0), batches, 0.1)
    assert not result.skipped
    assert np.isfinite(result.norm)
    assert all(bool(gradient.isfinite().all()) for gradient in gradients(made))

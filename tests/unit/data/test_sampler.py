"""Steps, ranks and micro-batches: every row at most once an epoch, the same order for ever, little padding."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.schema import WINDOW_FRAMES
from trainer.data.clips import Clip, Clips, Padding
from trainer.data.micro_batches import LAUNCH_FRAMES, Budget, MicroBatch, padding_waste
from trainer.data.sampler import epoch_steps, num_steps, share_out, with_full_contexts
from trainer.data.step_planner import Lengths, StepPlanner

LENGTHS = st.lists(st.integers(1, 3_000), min_size=1, max_size=300).map(lambda found: np.array(found, np.int32))
BATCHES = st.integers(1, 48)
FULL_CONTEXTS = [0, 1, 0, 2, 1, 0, 0, 0, 0, 0]
FIRST_STEPS = [[8, 18, 28, 38], [5, 15, 25, 35], [9, 19, 29, 39]]


def full_contexts(clips, share, **where):
    """`with_full_contexts` for the clips of one step."""
    return with_full_contexts(clips[np.newaxis], share, **where)[0]


@given(LENGTHS, BATCHES, st.integers(0, 2**31), st.integers(0, 100))
def test_an_epoch_takes_every_row_at_most_once_and_as_many_as_fit(lengths, batch, seed, epoch):
    batch = min(batch, len(lengths))
    steps = epoch_steps(lengths, batch, seed=seed, epoch=epoch)
    assert steps.shape == (num_steps(len(lengths), batch), batch)
    assert len(set(steps.ravel().tolist())) == steps.size
    assert set(steps.ravel().tolist()) <= set(range(len(lengths)))


def test_the_order_is_the_same_for_ever():
    """A plan that changed with a version of ours or numpy's would change what a resumed run is trained on."""
    lengths = np.arange(1, 41, dtype=np.int32) * 37 % 41
    assert epoch_steps(lengths, 4, seed=7, epoch=2)[:3].tolist() == FIRST_STEPS


def test_epochs_and_seeds_differ():
    lengths = np.random.default_rng(0).integers(50, 3_000, 1_000).astype(np.int32)
    plans = [epoch_steps(lengths, 10, seed=seed, epoch=epoch) for seed in range(2) for epoch in range(2)]
    assert len({plan.tobytes() for plan in plans}) == 4


def test_rows_left_out_of_one_epoch_are_in_others():
    lengths = np.full(19, 100, np.int32)
    seen = {row for epoch in range(20) for row in epoch_steps(lengths, 10, seed=0, epoch=epoch).ravel().tolist()}
    assert seen == set(range(19))


def test_fewer_rows_than_a_step_are_refused():
    with pytest.raises(ValueError, match="3 rows make no step of 4"):
        epoch_steps(np.ones(3, np.int32), 4, seed=0, epoch=0)


def clips_of(lengths, tokens=0):
    return Clips.of([Clip(row, int(frames), tokens) for row, frames in enumerate(lengths)])


def rows_of(ranks):
    return sorted(clip.row for batches in ranks for batch in batches for clip in batch.clips)


def cost_of(batch, budget):
    tokens = max(clip.tokens for clip in batch.clips)
    return len(batch.clips) * budget.cost(batch.num_frames, tokens)


@settings(deadline=None)
@given(LENGTHS, st.integers(1, 8), st.integers(100, 100_000), st.integers(0, 448), st.floats(0, 4))
def test_a_step_is_shared_out_whole_and_no_micro_batch_passes_the_budget(lengths, world_size, frames, tokens, factor):
    clips, budget = clips_of(lengths, tokens), Budget(frames, frames, factor)
    if len(clips) < world_size:
        with pytest.raises(ValueError, match="cannot be shared out"):
            share_out(clips, world_size=world_size, budget=budget)
        return
    ranks = share_out(clips, world_size=world_size, budget=budget)
    assert len(ranks) == world_size
    assert rows_of(ranks) == list(range(len(lengths)))
    for batch in (batch for batches in ranks for batch in batches):
        assert len(batch.clips) == 1 or cost_of(batch, budget) <= frames
        assert batch.num_frames == max(int(lengths[clip.row]) for clip in batch.clips)
    work = [sum(clip.frames for batch in batches for clip in batch.clips) for batches in ranks]
    assert max(work) - min(work) <= max(lengths)


@given(LENGTHS, st.integers(1, 4))
def test_the_rows_of_a_step_do_not_depend_on_who_computes_them(lengths, batch):
    batch = min(batch * 4, len(lengths))
    step = epoch_steps(lengths, batch, seed=1, epoch=0)[0].tolist()
    clips = Clips.of([Clip(row, int(lengths[row])) for row in step])
    for world_size in range(1, min(5, batch + 1)):
        ranks = share_out(clips, world_size=world_size, budget=Budget(10_000, 10_000))
        assert rows_of(ranks) == sorted(step)


def test_a_step_has_the_same_clips_whatever_the_number_of_ranks_and_the_budget():
    """So that a run goes on with other GPUs as if nothing had been: paddings belong to the clips."""
    lengths = Lengths(german_lengths(200), np.full(200, 9, np.int32), np.ones(200, np.float32))
    found = set()
    for world_size, frames in [(1, 100_000), (2, 100_000), (2, 3_000), (4, 5_000)]:
        plan = StepPlanner(lengths, 16, 3, 0.2, world_size, Budget(frames, frames)).plan(17)
        found.add(frozenset(clip for batches in plan.ranks for batch in batches for clip in batch.clips))
    assert len(found) == 1


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 900), st.integers(0, 40)), min_size=1, max_size=7),
    st.integers(100, 4_000),
    st.floats(0, 4),
)
def test_no_other_cut_of_a_step_costs_less(lengths, frames, factor):
    """Against every way to cut the clips, longest first, at one or more places."""
    budget = Budget(frames, frames, factor)
    clips = Clips.of([Clip(row, *length) for row, length in enumerate(sorted(lengths, reverse=True))])

    def cost(batches):
        return sum(cost_of(batch, budget) + LAUNCH_FRAMES for batch in batches)

    def cuts(start):
        if start == len(clips):
            yield []
        for stop in range(start + 1, len(clips) + 1):
            batch = MicroBatch(clips[start:stop], int(clips.frames[start]))
            if stop == start + 1 or cost_of(batch, budget) <= frames:
                yield from ([batch, *others] for others in cuts(stop))

    found = share_out(clips, world_size=1, budget=budget)[0]
    assert cost(found) == min(map(cost, cuts(0)))


def test_a_step_is_planned_the_same_in_any_order_and_company():
    """Plans are made many at a time; which ones together must not show, nor which budget the one before had."""
    lengths = Lengths(german_lengths(3_000), np.full(3_000, 9, np.int32), np.ones(3_000, np.float32))

    def planner():
        return StepPlanner(lengths, 512, 3, 0.2, 2, Budget(9_000, 4_000))

    def facts(plan):
        return plan.step, plan.num_targets, [[(list(b.clips), b.recompute) for b in rank] for rank in plan.ranks]

    def own_full_contexts(step):
        epoch, place = divmod(step, 5)
        rows = epoch_steps(lengths.frames, 512, seed=3, epoch=epoch)[place].tolist()
        clips = Clips.of([Clip(row, int(lengths.frames[row]), 8) for row in rows])
        return set(full_contexts(clips, 0.2, seed=3, epoch=epoch, step=place))

    forward, alone, other = planner(), {step: facts(planner().plan(step)) for step in range(12)}, planner()
    assert forward.steps_per_epoch == 5
    assert [facts(forward.plan(step)) for step in range(12)] == list(alone.values())
    for step in range(12):
        planned = forward.plan(step).ranks
        assert {clip for rank in planned for batch in rank for clip in batch.clips} == own_full_contexts(step)
    for step in (11, 3, 4, 0, 9):
        other.budget = Budget(5_000, 5_000)
        assert facts(other.plan(step)) != alone[step]
        other.budget = Budget(9_000, 4_000)
        assert facts(other.plan(step)) == alone[step]


def test_the_cheapest_micro_batch_comes_last_even_where_its_clip_is_the_longest():
    batches = share_out(clips_of([700, 400, 400]), world_size=1, budget=Budget(1_000, 1_000))[0]
    assert [[clip.frames for clip in batch.clips] for batch in batches] == [[400, 400], [700]]


def test_what_passes_the_plain_budget_is_recomputed_and_a_clip_too_long_for_any_stands_alone():
    clips = clips_of([3_000, 900, 400, 400])
    batches = share_out(clips, world_size=1, budget=Budget(frames=2_000, plain_frames=800))[0]
    assert [(len(batch.clips), batch.recompute) for batch in batches] == [(1, True), (1, True), (2, False)]


def test_one_long_clip_does_not_pad_the_short_ones():
    clips = clips_of([3_000] + [400] * 7)
    batches = share_out(clips, world_size=1, budget=Budget(30_000, 30_000))[0]
    assert [len(batch.clips) for batch in batches] == [1, 7]


@given(LENGTHS, st.floats(0, 1), st.integers(0, 2**31), st.integers(0, 10_000))
def test_full_contexts_are_the_same_clips_for_ever_and_as_many_as_asked_for(lengths, share, seed, step):
    clips = clips_of(lengths)
    found = list(full_contexts(clips, share, seed=seed, epoch=1, step=step))
    assert found == list(full_contexts(clips, share, seed=seed, epoch=1, step=step))
    full = [clip for clip in found if clip.padding is not Padding.OWN]
    assert abs(len(full) - share * len(clips)) < 1
    assert {clip.frames for clip in full} <= {WINDOW_FRAMES}
    assert [clip for clip in found if clip not in full] == [
        clip for clip in clips if clip.row not in {other.row for other in full}
    ]


def test_the_clips_with_full_contexts_are_the_same_for_ever():
    found = full_contexts(clips_of([400] * 10), 0.25, seed=7, epoch=2, step=5)
    assert found.padding.tolist() == FULL_CONTEXTS


def test_full_contexts_come_in_both_paddings_and_to_the_share_on_average():
    clips = clips_of([400] * 10)
    steps = [full_contexts(clips, 0.15, seed=0, epoch=0, step=step) for step in range(1_000)]
    paddings = [clip.padding for step in steps for clip in step]
    assert paddings.count(Padding.SILENCE) + paddings.count(Padding.ZEROS) == pytest.approx(1_500, rel=0.05)
    assert paddings.count(Padding.SILENCE) == pytest.approx(paddings.count(Padding.ZEROS), rel=0.1)


def test_clips_longer_than_the_window_are_never_padded_to_it():
    clip = Clip(0, WINDOW_FRAMES + 1)
    assert list(full_contexts(Clips.of([clip]), 1.0, seed=0, epoch=0, step=0)) == [clip]


def german_lengths(rows):
    """Frames like those of the German data set: about 4 s on average, some 30 s."""
    seconds = np.random.default_rng(0).gamma(2.5, 1.7, rows).clip(0.5, 30)
    return (seconds * 100).astype(np.int32)


@pytest.mark.parametrize("share", [0.0, 0.15])
def test_little_of_what_is_computed_is_padding_and_ranks_have_much_the_same_work(share):
    lengths = german_lengths(50_000)
    steps = epoch_steps(lengths, 48, seed=0, epoch=0)
    work, batches = [], []
    for number, step in enumerate(steps[:300].tolist()):
        clips = Clips.of([Clip(row, int(lengths[row])) for row in step])
        clips = full_contexts(clips, share, seed=0, epoch=0, step=number)
        ranks = share_out(clips, world_size=2, budget=Budget(24 * 450, 24 * 450))
        work.append([sum(batch.padded_frames for batch in mine) for mine in ranks])
        batches += [batch for mine in ranks for batch in mine]
    assert padding_waste(batches) <= 0.05
    slowest = np.array(work).max(1).sum() / np.array(work).mean(1).sum()
    assert slowest <= 1.03


def test_steps_of_an_epoch_are_not_in_order_of_length():
    lengths = german_lengths(20_000)
    means = lengths[epoch_steps(lengths, 48, seed=0, epoch=0)].mean(1)
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.1

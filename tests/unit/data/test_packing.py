"""Windows of several clips: every clip whole once an epoch, 30 s nearly filled, the same whoever plans them."""

from collections import Counter

import numpy as np
import pytest

from shared.errors import UsageError
from trainer.data.clips import Padding
from trainer.data.micro_batches import Budget
from trainer.data.packing import MOST_PREVIOUS, Packing
from trainer.data.step_planner import Lengths, StepPlanner
from trainer.data.timed_labels import TimeTokens

TIMES = TimeTokens(50_364, 50_361)
ROWS = 800


def lengths_of(rows=ROWS, seed=0):
    rng = np.random.default_rng(seed)
    frames = rng.gamma(4.0, 112.0, rows).clip(40, 2_990).astype(np.int32)
    return Lengths(frames, (6 + frames // 20).astype(np.int32), (frames / 100).astype(np.float32))


def planner(lengths=None, *, share=0.5, world_size=1, frames=20_000, batch=16, **options):
    lengths = lengths or lengths_of()
    rng, rows = np.random.default_rng(1), len(lengths.frames)
    floors, sources = rng.uniform(-1.5, -0.3, rows).astype(np.float32), rng.integers(0, 3, rows).astype(np.int32)
    packing = Packing(share, TIMES, floors, sources, **options)
    return StepPlanner(lengths, batch, 3, 0.1, world_size, Budget(frames, frames), packing=packing)


def clips_of(plan):
    return [clip for batches in plan.ranks for batch in batches for clip in batch.clips]


def epoch_of(plans, epoch=0):
    steps = range(epoch * plans.steps_per_epoch, (epoch + 1) * plans.steps_per_epoch)
    return [clip for step in steps for clip in clips_of(plans.plan(step))]


def windows_of(clips):
    return [(clip, clip.window) for clip in clips if clip.padding == Padding.PACKED]


@pytest.mark.parametrize("share", [0.2, 0.5, 1.0])
def test_every_clip_is_learned_once_an_epoch_and_a_share_of_them_packed(share):
    for epoch in (0, 1):
        clips = epoch_of(planner(share=share, batch=40), epoch)
        assert Counter(row for clip in clips for row in clip.heard) == Counter(range(ROWS))
        packed = sum(len(window.whole) for _, window in windows_of(clips))
        assert packed == round(share * ROWS)


def test_windows_are_nearly_full_and_begin_clips_on_even_frames_that_do_not_touch():
    plans = planner(lengths_of(6_000), share=1.0, batch=60)
    frames, sources = plans.lengths.frames, plans.packing.sources
    windows = windows_of(epoch_of(plans))
    full = [(clip, window) for clip, window in windows if clip.frames == 3_000]
    assert len(windows) - len(full) <= 3
    filled = 0
    for _, window in full:
        starts = np.array(window.starts)
        gaps = starts[1:] - (starts[:-1] + frames[list(window.rows[:-1])])
        assert not (starts % 2).any()
        assert starts[0] == 0
        assert gaps.min(initial=0) >= 0
        assert gaps.max(initial=0) <= 51
        ends = starts + frames[list(window.rows)]
        assert (ends[-1] > 3_000) == window.cut
        assert len(set(sources[list(window.rows)].tolist())) == 1
        filled += int(np.minimum(ends, 3_000).sum() - starts.sum())
    assert filled / (3_000 * len(full)) >= 0.97


def test_a_clip_is_cut_only_where_none_of_its_quiet_is_lost_and_begins_another_window():
    plans = planner(share=1.0)
    windows = [window for _, window in windows_of(epoch_of(plans))]
    cut = [window for window in windows if window.cut]
    firsts = {window.rows[0] for window in windows}
    floors = plans.packing.floors
    assert len(cut) > len(windows) / 2
    for window in cut:
        assert window.rows[-1] in firsts
        assert floors[window.rows[-1]] <= max(floors[row] for row in window.whole)


def test_no_window_has_more_labels_than_the_decoder_has_places():
    lengths = lengths_of()
    wordy = Lengths(lengths.frames, (5 + lengths.frames // 4).clip(6, 440).astype(np.int32), lengths.seconds)
    labels = wordy.labels
    prompted = 0
    for clip, window in windows_of(epoch_of(planner(wordy, share=1.0, previous_share=1.0))):
        text = sum(int(labels[row]) - 5 + 2 for row in window.whole)
        assert clip.tokens == window.prompt_labels + 4 + text + window.cut - 1 < 448
        before = sum(int(labels[row]) - 5 for row in window.previous)
        assert window.prompt_labels == (before + 1 if before else 0) <= MOST_PREVIOUS + 1
        prompted += bool(before)
    assert prompted > 10


def test_a_plan_is_the_same_in_any_order_for_any_ranks_and_memory():
    one, many = planner(previous_share=0.5, timestamp_share=0.3), {}
    for world_size, frames in [(1, 20_000), (2, 3_000), (4, 9_000)]:
        plans = planner(world_size=world_size, frames=frames, previous_share=0.5, timestamp_share=0.3)
        for step in (61, 3, 17):
            plan = plans.plan(step)
            assert len(plan.ranks) == world_size
            assert all(plan.ranks)
            many.setdefault(step, set()).add((frozenset(clips_of(plan)), plan.num_targets, plan.num_clips))
    for step in (3, 17, 61):
        plan = one.plan(step)
        assert many[step] == {(frozenset(clips_of(plan)), plan.num_targets, plan.num_clips)}


@pytest.mark.parametrize("longest", [700, 2_990])
def test_the_seconds_of_an_epoch_are_those_of_its_clips_also_where_a_window_has_only_one(longest):
    frames = np.where(np.arange(ROWS) % 2, longest, 2_500).astype(np.int32)
    lengths = Lengths(frames, np.full(ROWS, 9, np.int32), (frames / 100).astype(np.float32))
    plans = planner(lengths, share=0.6, timestamp_share=0.3)
    told = sum(plans.plan(step).audio_seconds for step in range(plans.steps_per_epoch))
    assert told == pytest.approx(float(lengths.seconds.sum()))


def test_a_share_of_the_other_clips_tells_times_in_one_label_more():
    plans = planner(share=0.0, timestamp_share=0.25)
    clips = epoch_of(plans)
    timed = [clip for clip in clips if clip.window is not None]
    assert 0.15 < len(timed) / len(clips) < 0.35
    assert all(clip.tokens == plans.lengths.labels[clip.row] for clip in timed)
    assert all(clip.tokens == plans.lengths.labels[clip.row] - 1 for clip in clips if clip.window is None)


def test_nothing_changes_for_who_packs_nothing():
    lengths = lengths_of()
    plain = StepPlanner(lengths, 16, 3, 0.1, 1, Budget(20_000, 20_000))
    assert [clips_of(plain.plan(step)) for step in (0, 30)] == [
        clips_of(planner(lengths, share=0.0).plan(step)) for step in (0, 30)
    ]


def test_a_step_that_leaves_a_rank_without_work_is_refused_in_words():
    with pytest.raises(UsageError, match=r"--pack-share leaves a step with .* for 8 ranks"):
        planner(share=1.0, world_size=8, batch=8).plan(0)

"""The frame budget: found by trying the worst clips, never past what fits, and lowered when memory runs out."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ResourceLimitError
from trainer.data.micro_batches import Budget
from trainer.memory.activations import StepOptions
from trainer.memory.budget_search import MARGIN, BudgetSearch, Worst, cpu_budget, lowered, most_allowed, window_worst
from trainer.model.shape import PUBLISHED
from trainer.training.frame_budget import token_frames

GB = 10**9
WORST = Worst(3_000, 447)


class Card:
    """A GPU on which a micro-batch takes *base* bytes and *per_frame* for each frame, a quarter when recomputed."""

    def __init__(self, vram, base=8 * GB, per_frame=1_000_000, per_token=0.35):
        self.vram, self.base, self.per_frame, self.per_token = vram, base, per_frame, per_token
        self.tried = []

    def peak_bytes(self, batch):
        self.tried.append(batch)
        cost = sum(Budget(0, 0, self.per_token).cost(batch.num_frames, clip.tokens) for clip in batch.clips)
        peak = round(self.base + cost * self.per_frame * (0.25 if batch.recompute else 1))
        return peak if peak <= self.vram else None

    def find(self, mode="auto", worst=WORST):
        return BudgetSearch(worst, self.per_token, 0.92 * self.vram, self.peak_bytes).run(mode)


@given(st.integers(9, 80), st.sampled_from(["auto", "always", "never"]))
def test_what_is_found_fits_and_a_fifth_more_would_not(gigabytes, mode):
    card = Card(gigabytes * GB)
    try:
        budget = card.find(mode)
    except ResourceLimitError:
        least = 0.25 if mode != "never" else 1
        assert card.base + least * card.per_frame * 3_157 > 0.92 * card.vram
        return
    recomputed = budget.plain_frames == 0
    share = 0.25 if recomputed else 1
    one = Budget(0, 0, 0.35).cost(*(WORST.frames, WORST.tokens))
    assert budget.frames >= (one if recomputed or mode == "never" else one // 2)
    assert card.base + budget.frames * card.per_frame * share <= 0.93 * card.vram or budget.frames == one
    # Less than the longest clip is found by quarters of it.
    more = 1.4 if budget.frames >= one else 1.6
    assert card.base + more * budget.frames * card.per_frame * share > 0.92 * card.vram


def test_where_the_longest_clip_fits_only_recomputed_it_alone_is():
    """Micro-batches of shorter clips are as large as fits without; a longer clip is one by itself, and recomputed."""
    card = Card(12 * GB, base=8 * GB)
    budget = card.find()
    one = Budget(0, 0, 0.35).cost(*(WORST.frames, WORST.tokens))
    assert one // 2 <= budget.plain_frames == budget.frames < one
    assert card.base + budget.frames * card.per_frame <= 0.92 * card.vram
    roomy = Card(16 * GB, base=8 * GB).find()
    assert roomy.plain_frames == roomy.frames > 3_157


def test_where_less_than_half_of_it_would_fit_plain_all_is_recomputed():
    budget = Card(10 * GB, base=8 * GB).find()
    assert budget.plain_frames == 0
    assert budget.frames > 3_157


def test_never_refuses_where_the_longest_clip_would_have_to_be_recomputed():
    with pytest.raises(ResourceLimitError, match="does not fit"):
        Card(12 * GB, base=8 * GB).find("never")


@given(st.none() | st.integers(1, 90 * GB), st.integers(0, 80 * GB), st.integers(1, 80 * GB))
def test_what_is_allowed_is_what_was_asked_for_and_what_others_leave(budget, free, total):
    allowed = most_allowed(budget, min(free, total), total)
    assert 0 <= allowed <= max(0, min(free, total) - MARGIN)
    assert allowed <= (budget or total)
    assert allowed in {0, budget, total, min(free, total) - MARGIN}


def test_always_keeps_nothing_and_never_recomputes_nothing():
    assert Card(16 * GB).find("always").plain_frames == 0
    card = Card(16 * GB)
    card.find("never")
    assert not any(batch.recompute for batch in card.tried)


def test_the_worst_clip_itself_is_tried():
    card = Card(16 * GB)
    card.find()
    tried = {(len(batch.clips), batch.num_frames, batch.clips[0].tokens, batch.recompute) for batch in card.tried}
    assert {(1, 3_000, 447, True), (1, 3_000, 447, False)} <= tried


class SteepCard(Card):
    """A GPU on which more than six clips at once take half as much again, which trying few does not tell."""

    def peak_bytes(self, batch):
        peak = super().peak_bytes(batch)
        peak = None if peak is None else round(peak * (1.5 if len(batch.clips) > 6 else 1))
        return peak if peak is not None and peak <= self.vram else None


def test_what_the_growth_promises_is_tried_before_it_is_taken():
    steep, plain = SteepCard(24 * GB), Card(24 * GB)
    assert steep.find("never").frames < 0.9 * plain.find("never").frames
    assert steep.peak_bytes(steep.tried[-1]) <= 0.92 * steep.vram


def test_a_model_too_large_is_refused_with_what_to_do():
    with pytest.raises(ResourceLimitError, match=r"does not fit[\s\S]*trainer\.estimate"):
        Card(8 * GB).find()


def test_a_lowered_budget_is_a_fifth_less_until_there_is_none():
    budget = lowered(Budget(10_000, 5_000, 0.5))
    assert budget == Budget(8_000, 4_000, 0.5)
    with pytest.raises(ResourceLimitError, match="not even a single clip"):
        lowered(Budget(600, 0, 0.5))


def test_on_a_cpu_the_budget_is_what_the_user_says_or_four_windows():
    assert cpu_budget(None, "auto", 1.0) == Budget(12_000, 12_000, 1.0)
    assert cpu_budget(500, "always", 1.0) == Budget(500, 0, 1.0)


def test_clips_padded_to_the_window_make_it_the_longest():
    assert window_worst(800, 20, full_contexts=True) == Worst(3_000, 20)
    assert window_worst(800, 20, full_contexts=False) == Worst(800, 20)
    assert window_worst(4_300, 20, full_contexts=True) == Worst(4_300, 20)


def test_a_label_weighs_as_much_as_its_activations():
    """Equal layers on both sides: a token passes every decoder layer, a frame half an encoder's positions."""
    base, turbo = (PUBLISHED[f"openai/whisper-{name}"] for name in ("base", "large-v3-turbo"))
    options = StepOptions()
    assert 2 <= token_frames(base, options) <= 2.5
    assert 0.3 <= token_frames(turbo, options) <= 0.4
    assert token_frames(base, options) == token_frames(base, replace(options, checkpointing=False))

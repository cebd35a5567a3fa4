"""An evaluation beside a training: where memory runs out, fewer clips at once, and the same result."""

import pytest
import torch
from tokenizers import Tokenizer

import trainer.training.evaluator
from shared.errors import ResourceLimitError
from shared.store import open_split
from tests.support.samples import feature_row, make_store
from tests.support.training import SPEC, tiny_model, training_store
from trainer.distributed.ranks import Ranks
from trainer.model.whisper import load_model
from trainer.training.evaluator import FORWARD_FACTOR, Evaluator

ALONE = Ranks(0, 1, torch.device("cpu"))


@pytest.fixture(scope="module")
def evaluate(tmp_path_factory):
    """Evaluates eight clips, all of them at once if there is room."""
    folder = tmp_path_factory.mktemp("evaluation")
    split = open_split(training_store(folder / "store", tiny_model(folder / "model")), "test")
    tokenizer = Tokenizer.from_file(str(folder / "model" / "tokenizer.json"))
    model = load_model(str(folder / "model"))
    return lambda: Evaluator(split, range(8), tokenizer, ALONE, None, 100_000)(model, 1)


def contexts(split, ranks, frames, *, window):
    """The frames of the encoder's context of every row, each computed by one of *ranks*."""
    found = {}
    for rank in range(ranks):
        scorer = Evaluator(split, range(len(split)), None, Ranks(rank, ranks, ALONE.device), None, frames, window)
        for clips in scorer._own_batches():
            (context,) = {clip.frames for clip in clips}
            assert not found.keys() & {clip.row for clip in clips}
            assert len(clips) == 1 or context * len(clips) <= FORWARD_FACTOR * frames
            found |= {clip.row: context for clip in clips}
    return found


def test_a_clips_context_does_not_show_how_many_ranks_or_how_much_memory_there_are(tmp_path):
    rows = [feature_row(number, frames, SPEC) for number, frames in enumerate((3_100, 3_000, 2_999, 500, 449, 448, 20))]
    make_store(tmp_path / "store", {"test": [rows]}, SPEC)
    split = open_split(tmp_path / "store", "test")
    for ranks, frames in [(1, 100_000), (2, 100_000), (3, 1_000), (9, 1_000)]:
        own = contexts(split, ranks, frames, window=False)
        assert own == {0: 3_100, 1: 3_000, 2: 3_000, 3: 512, 4: 512, 5: 448, 6: 64}
        assert set(contexts(split, ranks, frames, window=True).values()) == {3_000, 3_100}


def room_for(clips, monkeypatch):
    """A GPU's memory runs out for more than so many *clips*; what was tried."""
    search, tried = trainer.training.evaluator.search, []

    def limited(model, encoded, prompt, **options):
        tried.append(len(prompt))
        if len(prompt) > clips:
            raise torch.OutOfMemoryError
        return search(model, encoded, prompt, **options)

    monkeypatch.setattr(trainer.training.evaluator, "search", limited)
    return tried


def test_clips_that_find_no_room_at_once_are_evaluated_by_halves(evaluate, monkeypatch):
    roomy = evaluate()
    tried = room_for(2, monkeypatch)
    tight = evaluate()
    assert sum(count for count in tried if count <= 2) == 8
    assert max(tried) == 8
    assert tight.overall == roomy.overall
    assert tight.by_source == roomy.by_source


def test_where_a_single_clip_finds_none_the_run_ends_with_what_to_do(evaluate, monkeypatch):
    room_for(0, monkeypatch)
    with pytest.raises(ResourceLimitError, match=r"single clip[\s\S]*--eval-padding own"):
        evaluate()

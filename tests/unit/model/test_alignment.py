"""Alignment heads are the model's own where it has them, else its family's, else the usual default."""

from dataclasses import replace

import pytest
from ctranslate2.converters.transformers import _WHISPER_ALIGNMENT_HEADS

from trainer.model.alignment import choose
from trainer.model.shape import PUBLISHED

TURBO = PUBLISHED["openai/whisper-large-v3-turbo"]
SHAPES = {**PUBLISHED, "openai/whisper-large-v2": replace(PUBLISHED["openai/whisper-large-v3"], num_mel_bins=80)}


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_a_familys_heads_are_those_that_ctranslate2_knows_it_by(name):
    """But turbo's, which it has not: those were read from openai/whisper's `_ALIGNMENT_HEADS`."""
    known = _WHISPER_ALIGNMENT_HEADS.get(name, [(2, 4), (2, 11), (3, 3), (3, 6), (3, 11), (3, 14)])
    found = choose(None, SHAPES[name])
    assert [tuple(pair) for pair in found.heads] == known
    assert name in found.whose
    assert not found.own


def test_heads_that_a_model_has_are_its_own():
    found = choose([[0, 0], [3, 19]], TURBO)
    assert (found.heads, found.own) == ([[0, 0], [3, 19]], True)


@pytest.mark.parametrize(
    "named",
    [
        [[2, 4], [25, 6]],
        [[4, 0]],
        [[3, 20]],
        [[-1, 0]],
        [[0, -1]],
        [[2.0, 4]],
        [[True, 0]],
        [["2", "4"]],
        [[2, 4, 1]],
        [2, 4],
        "2,4",
        {"2": 4},
        7,
        [None],
        [],
        None,
    ],
)
def test_one_head_that_is_not_there_makes_the_whole_list_another_models(named):
    assert choose(named, TURBO) == choose(None, TURBO)


def test_a_shape_of_no_family_aligns_with_the_last_half_of_its_decoder():
    found = choose(None, replace(TURBO, decoder_layers=2))
    assert found.heads == [[1, head] for head in range(20)]
    assert "less exact" in found.whose

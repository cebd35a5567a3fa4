"""Generation settings that point at tokens and heads which a model has not are mended, and told in words."""

import pytest

from trainer.model.pointers import sound
from trainer.model.shape import PUBLISHED

TURBO = PUBLISHED["openai/whisper-large-v3-turbo"]
IDS = {"<|endoftext|>": 50_257, "<|startoftranscript|>": 50_258, "<|de|>": 50_261, "<|notimestamps|>": 50_364}
RIGHT = {
    "alignment_heads": [[2, 4]],
    "suppress_tokens": [1, 50_257],
    "begin_suppress_tokens": [220],
    "decoder_start_token_id": 50_258,
    "no_timestamps_token_id": 50_364,
    "lang_to_id": {"<|de|>": 50_261},
    "eos_token_id": [50_257, 50_256],
    "pad_token_id": 50_256,
    "prev_sot_token_id": 50_362,
    "max_length": 448,
}


def test_what_is_right_is_left_as_it_is():
    assert sound(RIGHT, TURBO, IDS) == (RIGHT, ())
    assert sound({"alignment_heads": None, "lang_to_id": None}, TURBO, IDS)[1] == ()
    assert sound({}, TURBO, IDS) == ({}, ())


@pytest.mark.parametrize(
    ("name", "wrong", "right"),
    [
        ("alignment_heads", [[25, 6]], None),
        ("alignment_heads", "none", None),
        ("suppress_tokens", [1, 51_866, -1], [1]),
        ("suppress_tokens", 7, None),
        ("begin_suppress_tokens", [220, -5], [220]),
        ("begin_suppress_tokens", [220, 1.5], [220]),
        ("decoder_start_token_id", 99_999, 50_258),
        ("no_timestamps_token_id", -1, 50_364),
        ("no_timestamps_token_id", "50364", 50_364),
        ("no_timestamps_token_id", 50_363, 50_364),
        ("decoder_start_token_id", 50_257, 50_258),
        ("eos_token_id", 51_866, 50_257),
        ("eos_token_id", [50_257, 51_866], 50_257),
        ("pad_token_id", -1, 50_257),
        ("lang_to_id", {"<|de|>": 99_999}, {"<|de|>": 50_261}),
        ("lang_to_id", {"<|xx|>": 3}, {"<|de|>": 50_261}),
        ("lang_to_id", [1], {"<|de|>": 50_261}),
    ],
)
def test_what_points_at_nothing_is_mended_and_told(name, wrong, right):
    mended, (words,) = sound({**RIGHT, name: wrong}, TURBO, IDS)
    assert mended.get(name) == right
    assert (name in mended) is (right is not None)
    assert name in words
    assert {key: value for key, value in mended.items() if key != name} == {
        key: value for key, value in RIGHT.items() if key != name
    }


def test_whose_heads_are_taken_instead_is_told():
    _, (words,) = sound({"alignment_heads": [[25, 6]]}, TURBO, IDS)
    assert "[[25, 6]] are not all in a decoder of 4 layers of 20 heads" in words
    assert "taken are those of openai/whisper-large-v3-turbo" in words

"""Commands are no words, points in time are a known range, and what else was added is a word."""

import json

import pytest
from tokenizers import AddedToken, Tokenizer

from shared.models.tokens import added_words, is_word, moments
from shared.text import Labeller
from trainer.evaluation.transcribers import words


@pytest.fixture(scope="module")
def plain(demo_model):
    return (demo_model / "tokenizer.json").read_text()


def with_tokens(text, *tokens):
    tokenizer = Tokenizer.from_str(text)
    tokenizer.add_tokens(list(tokens))
    return tokenizer.to_str()


@pytest.mark.parametrize("special", [False, True])
def test_an_added_word_is_one_label_and_comes_back_as_it_was_said(plain, special):
    text = with_tokens(plain, AddedToken("Ibuprofen", special=special, normalized=False))
    tokenizer, said = Tokenizer.from_str(text), "Bitte Ibuprofen nehmen"
    labels = Labeller(text)(said)
    number = tokenizer.token_to_id("Ibuprofen")
    assert number > tokenizer.token_to_id("<|30.00|>")
    assert number in labels
    assert words(tokenizer, labels) == said


@pytest.mark.parametrize("said", ["Bitte Müsliöl nehmen", "Müsliöl Œuvre", "das Œuvre: ÄÖÜß, Müsliöl Müsliöl"])
def test_an_added_word_keeps_its_umlauts(plain, said):
    text = with_tokens(plain, "Müsliöl", "Œuvre", "ÄÖÜß")
    assert words(Tokenizer.from_str(text), Labeller(text)(said)) == said


def test_labels_of_other_texts_are_those_of_before(plain):
    text = with_tokens(plain, "Ibuprofen")
    assert Labeller(text)("Guten Tag <|de|> <|6.06|>") == Labeller(plain)("Guten Tag <|de|> <|6.06|>")


def test_commands_and_points_in_time_are_left_out_wherever_they_are(plain):
    text = with_tokens(plain, "Ibuprofen", AddedToken("<|noise|>", special=False), AddedToken("<pad>", special=True))
    tokenizer = Tokenizer.from_str(text)
    ids = [tokenizer.token_to_id(token) for token in ("<|0.00|>", "<|noise|>", "<pad>", "<|30.00|>", "<|de|>")]
    assert words(tokenizer, [*ids, tokenizer.token_to_id("Ibuprofen")]) == "Ibuprofen"
    assert added_words(json.loads(text)) == {"Ibuprofen": tokenizer.token_to_id("Ibuprofen")}


def test_moments_that_a_tokenizer_does_not_name_are_the_numbers_that_follow():
    """Tokenizers of 2022 had none (transformers#20225); the model speaks them all the same."""
    vocabulary = {"a": 0, "<|notimestamps|>": 10, "Ibuprofen": 1_512}
    assert moments(vocabulary) == frozenset(range(11, 1_512))
    assert moments(vocabulary | {"<|0.00|>": 11, "<|0.02|>": 12}) == {11, 12}
    assert moments({"a": 0}) == frozenset()


@pytest.mark.parametrize(
    ("token", "special", "expected"),
    [
        ("Ibuprofen", True, True),
        ("Ibuprofen", False, True),
        (" Straße", False, True),
        ("<|de|>", False, False),
        ("<|0.00|>", False, False),
        ("<pad>", True, False),
        ("[PAD]", True, False),
        ("[lacht]", False, True),
        ("<br>", False, True),
        ("", True, False),
    ],
)
def test_what_an_added_token_is_its_form_tells(token, special, expected):
    assert is_word(token, special=special) is expected


def test_more_labels_than_the_models_own_places_are_refused(plain):
    labeller = Labeller(plain, max_labels=12)
    assert len(labeller("eins")) <= 12
    with pytest.raises(Exception, match="decoder takes 12"):
        labeller("eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf")

"""The demo's sentences: German, endless, different, and each in one split only."""

import random
from itertools import islice

import pytest

from preprocess.demo.phrases import TEMPLATES
from preprocess.demo.sentences import number_words, sentences, split_of


def first(count, split="train", seed=0):
    return list(islice(sentences(random.Random(seed), split), count))


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "null"),
        (1, "eins"),
        (16, "sechzehn"),
        (21, "einundzwanzig"),
        (30, "dreißig"),
        (100, "einhundert"),
        (101, "einhunderteins"),
        (1234, "eintausendzweihundertvierunddreißig"),
        (21_021, "einundzwanzigtausendeinundzwanzig"),
        (999_999, "neunhundertneunundneunzigtausendneunhundertneunundneunzig"),
    ],
)
def test_numbers_are_written_out_as_german_does(number, words):
    assert number_words(number) == words


def test_no_sentence_is_in_both_splits():
    assert not set(first(3000)) & set(first(500, "test", seed=1))
    assert all(split_of(sentence) == "test" for sentence in first(100, "test"))


def test_sentences_are_all_different():
    assert len(set(first(3000))) == 3000


def test_the_same_seed_gives_the_same_sentences():
    assert first(50) == first(50)
    assert first(50) != first(50, seed=1)


def test_sentences_have_umlauts_sharp_s_digits_and_full_stops():
    text = " ".join(first(300))
    assert set("äöüßÄ0123456789,.!?") <= set(text)


def test_every_slot_of_every_template_is_filled():
    text = "\n".join(first(4000))
    assert "{" not in text
    assert "}" not in text
    assert len(TEMPLATES) == len(set(TEMPLATES))

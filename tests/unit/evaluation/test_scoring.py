"""The scorer agrees with jiwer and with a distance written out here, and a normaliser only forgives what it names."""

import subprocess
import sys

import jiwer
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.evaluation.scoring import Normaliser, count_errors, normalise, rates, rows_by, score_all, score_by_source
from trainer.telemetry.records import WordErrors

# Few words and letters, so that texts share some; with what normalisers change.
WORDS = st.sampled_from(["die", "Straße", "Strasse", "grün,", "ja", "Ja!", "a", "b", "[Lachen]", "—"])
TEXTS = st.lists(WORDS, max_size=7).map(" ".join) | st.text("aäßB .,", max_size=12)
PAIRS = st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=8)
SPOKEN = st.lists(st.tuples(st.lists(WORDS, min_size=1, max_size=7).map(" ".join), TEXTS), min_size=1, max_size=8)


def brute_force(reference, hypothesis):
    """The fewest substitutions, insertions and deletions, by the recursion that defines them, row by row."""
    costs = list(range(len(hypothesis) + 1))
    for number, wanted in enumerate(reference, 1):
        above = costs
        costs = [number]
        for place, heard in enumerate(hypothesis, 1):
            costs.append(min(above[place] + 1, costs[-1] + 1, above[place - 1] + (wanted != heard)))
    return costs[-1]


@settings(deadline=None)
@given(PAIRS, st.sampled_from(Normaliser))
def test_every_rows_errors_are_the_edit_distance_of_its_words_and_of_its_characters(pairs, normaliser):
    counts = count_errors(*zip(*pairs, strict=True), normaliser)
    plain = [tuple(normalise(text, normaliser) for text in pair) for pair in pairs]
    assert counts.word_errors.tolist() == [brute_force(left.split(), right.split()) for left, right in plain]
    assert counts.char_errors.tolist() == [brute_force(left, right) for left, right in plain]
    assert counts.words.tolist() == [len(left.split()) for left, _ in plain]
    assert counts.chars.tolist() == [len(left) for left, _ in plain]


@settings(deadline=None)
@given(PAIRS, st.sampled_from(Normaliser))
def test_rates_are_jiwers_own_on_the_normalised_texts(pairs, normaliser):
    references, hypotheses = ([normalise(text, normaliser) for text in side] for side in zip(*pairs, strict=True))
    found = rates(count_errors(*zip(*pairs, strict=True), normaliser))
    assert found.wer == pytest.approx(jiwer.wer(references, hypotheses))
    assert found.cer == pytest.approx(jiwer.cer(references, hypotheses))


@settings(deadline=None)
@given(SPOKEN)
def test_raw_rates_of_ordinary_text_are_those_of_jiwer_called_by_hand(pairs):
    references, hypotheses = zip(*pairs, strict=True)
    assert score_all(references, hypotheses)["raw"].wer == pytest.approx(jiwer.wer(list(references), list(hypotheses)))


def test_each_normaliser_forgives_what_it_names_and_nothing_else():
    reference, hypothesis = "Die Straße, grün", "die strasse grun"
    found = {name: score.wer for name, score in score_all([reference], [hypothesis]).items()}
    assert found == {"raw": 1.0, "basic": pytest.approx(2 / 3), "basic+ss": pytest.approx(1 / 3)}


def test_raw_forgives_what_a_store_does_not_keep():
    assert normalise("  zwei\tWo\N{COMBINING DIAERESIS}rter\n", Normaliser.RAW) == "zwei Wörter"


def test_basic_is_whispers_own_normaliser_with_umlauts():
    assert normalise("Ä-ö, [Lachen] (hm) ẞ 3,5 %", Normaliser.BASIC) == "ä ö ß 3 5"


def test_the_rate_weighs_rows_by_their_words():
    found = rates(count_errors(["a b c d e f g h i", "x"], ["a b c d e f g h i", "y"], Normaliser.RAW))
    assert found == WordErrors(wer=0.1, cer=pytest.approx(1 / 18), words=10)


@pytest.mark.parametrize("reference", ["", " ", "…", "[Musik]"])
def test_words_heard_where_nothing_was_said_are_insertions(reference):
    counts = count_errors([reference, "ja"], ["ein Wort", "ja"], Normaliser.BASIC)
    assert (counts.word_errors.tolist(), counts.words.tolist()) == ([2, 0], [0, 1])
    assert rates(counts).wer == 2.0


def test_silence_that_was_left_silent_is_no_error():
    assert score_all(["", "…"], ["", "…"])["basic"] == WordErrors(wer=0.0, cer=0.0, words=0)
    assert score_all([], [])["raw"] == WordErrors(wer=0.0, cer=0.0, words=0)


def test_an_empty_hypothesis_deletes_every_word():
    assert score_all(["zwei Wörter"], [""])["raw"] == WordErrors(wer=1.0, cer=1.0, words=2)


@settings(deadline=None)
@given(st.lists(st.tuples(TEXTS, TEXTS, st.sampled_from("abc")), min_size=1, max_size=12))
def test_a_sources_rates_are_those_of_its_rows_alone(rows):
    references, hypotheses, sources = zip(*rows, strict=True)
    found = score_by_source(references, hypotheses, sources)
    assert list(found) == sorted(set(sources))
    for source, scores in found.items():
        mine = [row for row in rows if row[2] == source]
        assert scores == score_all([row[0] for row in mine], [row[1] for row in mine])


def test_rows_are_grouped_in_their_order():
    groups = rows_by(["b", "a", "b", ""])
    assert {name: rows.tolist() for name, rows in groups.items()} == {"": [3], "a": [1], "b": [0, 2]}
    assert rows_by([]) == {}


def test_sequences_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        count_errors(["a", "b"], ["a"], Normaliser.RAW)
    with pytest.raises(ValueError, match="2 references, 2 hypotheses, 1 source"):
        score_by_source(["a", "b"], ["a", "b"], ["x"])


def test_counts_are_int64():
    counts = count_errors(["a b"], ["a"], Normaliser.RAW)
    assert {array.dtype for array in (counts.word_errors, counts.words, counts.char_errors, counts.chars)} == {
        np.dtype(np.int64)
    }


def test_scoring_needs_no_torch_and_transformers_only_when_it_normalises():
    code = (
        "import sys; from trainer.evaluation.scoring import *; assert 'transformers' not in sys.modules; "
        "score_all(['a'], ['b']); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

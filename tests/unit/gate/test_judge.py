"""The gate's decision, on made-up comparisons: what is a difference, what is rounding, and who is named."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.gate.judge import judge, limits, tolerance
from trainer.gate.verdict import TOSS_UP, Comparison, Decoding, Pair

SENTENCE = "eins zwei drei vier fünf"
OTHER = "eins zwei drei vier sechs"


def row(number, export=SENTENCE, *, margin=1.0, original=SENTENCE, **figures):
    """A clip that the original hears rightly; *export* is what the export hears without timestamps."""
    pairs = {Decoding.BATCHED: Pair(original, export, margin), Decoding.SEQUENTIAL: Pair(original, original, 0.0)}
    figures = {"encoder_error": 0.0, "divergence": 0.0, "tokens": 10, "same_tokens": 10} | figures
    return Comparison(number, SENTENCE, pairs, **figures)


def rows(count, **others):
    """*count* rows; *others* are rows that differ, by number: `r3=row(3, ...)`."""
    changed = {int(name[1:]): value for name, value in others.items()}
    return [changed.get(number, row(number)) for number in range(count)]


def problems(found, stored="float16", computed="float16"):
    return judge(stored, computed, [], found).problems


def test_equal_transcripts_pass():
    verdict = judge("float16", "float16", [], rows(200))
    assert not verdict.problems
    assert not verdict.worst
    assert [(found.equal, found.difference) for found in verdict.agreements] == [(200, 0), (200, 0)]


def test_97_percent_of_equal_transcripts_are_enough_and_less_are_not():
    """Case counts in a raw transcript, but here both have it wrong, so that the WER stays as it is."""
    differ = [row(number, "EINS", original="eins ZWEI", margin=1.0) for number in range(4)]
    same_wer = [replace(each, reference="zwei eins") for each in differ]
    assert not [text for text in problems([*same_wer[:3], *rows(97)]) if "transcripts" in text]
    (problem,) = [text for text in problems([*same_wer, *rows(96)]) if "transcripts" in text]
    assert "4 of 100 transcripts (no timestamps) differ, at most 3 % may" in problem


@pytest.mark.parametrize(("count", "fails"), [(200, False), (199, True)])
def test_the_wer_may_move_by_a_tenth_of_a_point(count, fails):
    """One word of 200 x 5 is exactly 0.1 points, which is allowed."""
    found = problems(rows(count, r7=row(7, OTHER)))
    assert bool(found) is fails
    if fails:
        assert "the WER (raw, no timestamps) is +0.10 points off the original's" in found[0]
        assert "row 7" in found[0]


def test_a_lower_wer_is_a_difference_too():
    worse = [row(number, SENTENCE, original=OTHER) for number in range(2)]
    assert "-5.00 points" in problems([*worse, *rows(8)[2:]])[-1]


def test_a_transcript_that_the_original_finds_as_good_is_no_difference_but_is_counted():
    verdict = judge("float16", "float32", [], rows(4, r2=row(2, OTHER, margin=TOSS_UP)))
    (batched, _) = verdict.agreements
    assert not verdict.problems
    assert (batched.equal, batched.toss_ups) == (3, 1)
    assert batched.difference == pytest.approx(0.05)
    assert batched.settled == 0
    assert [found.row_id for found in verdict.worst] == [2]
    assert problems(rows(4, r2=row(2, OTHER, margin=2 * TOSS_UP)))


def test_the_rows_that_differ_most_are_named_first_and_toss_ups_last():
    found = rows(9, r1=row(1, OTHER), r4=row(4, ""), r6=row(6, "", margin=0.0), r8=row(8, "zwei drei"))
    verdict = judge("float16", "float16", [], found)
    assert [worst.row_id for worst in verdict.worst] == [4, 8, 1, 6]
    assert "rows 4, 8, 1, 6" in verdict.problems[0]


def test_white_space_and_unicode_composition_are_no_difference():
    assert Pair("fu\u0308nf  Meter", "fünf Meter ", 1.0).equal


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ({"encoder_error": 0.5}, "the encoder's output is off by 0.05 of its size"),
        ({"encoder_error": math.nan}, "the encoder's output is off by inf"),
        ({"divergence": 0.5}, "the next token's probabilities diverge by 0.05 nats"),
        ({"divergence": math.nan}, "the next token's probabilities diverge by nan"),
        ({"same_tokens": 0}, "the likeliest next token is the same in 90.0 % of places"),
    ],
)
def test_a_changed_weight_is_told_by_figures_where_all_transcripts_are_equal(figures, words):
    (problem,) = problems(rows(10, r3=row(3, **figures)))
    assert words in problem
    assert "rows 3" in problem


def test_int8_may_say_a_fifth_of_the_clips_otherwise_and_be_a_point_off():
    few = rows(20, r2=row(2, OTHER))
    assert not problems(few, "int8", "int8_float32")
    assert judge("int8", "int8_float32", [], few).worst
    assert problems(few, "int8_float16", "int8_float16")
    assert "at most 1.0 are allowed" in problems(rows(19, r2=row(2, OTHER)), "int8", "int8_float32")[0]
    often = [row(number, "EINS", original="eins ZWEI") for number in range(5)]
    same_wer = [replace(each, reference="zwei eins") for each in often]
    assert not problems([*same_wer[:4], *rows(16)], "int8", "int8_float32")
    assert "at most 20 % may" in problems([*same_wer, *rows(19)[5:]], "int8", "int8_float32")[0]
    assert problems(rows(4, r2=row(2, encoder_error=5.0)), "int8", "int8_float32")


def test_the_encoder_is_judged_by_the_typical_clip_since_rounding_hits_some_ten_times_harder():
    few = rows(9, r3=row(3, encoder_error=0.09), r4=row(4, encoder_error=0.05))
    assert not problems(few, "float16", "float32")
    most = rows(9, **{f"r{number}": row(number, encoder_error=0.02) for number in range(5)})
    assert "off by 0.02 of its size" in problems(most, "float16", "float32")[0]


@pytest.mark.parametrize(
    ("stored", "computed", "judged"),
    [
        ("float16", "float16", True),
        ("float16", "float32", True),
        ("float32", "float32", True),
        ("int8_float16", "int8_float16", True),
        ("int8_float16", "int8_float32", False),
        ("int8", "int8_float16", False),
        ("int16", "int16", False),
    ],
)
def test_transcripts_are_judged_as_the_originals_where_the_hardware_runs_the_type(stored, computed, judged):
    assert tolerance(stored, computed).equal == (0.97 if judged else 0.8)


def test_fewer_digits_are_allowed_more_error():
    order = [("float32", "float32"), ("float16", "float32"), ("float16", "float16"), ("int8", "int8_float32")]
    found = [limits(*types) for types in order]
    assert found == sorted(found, key=lambda each: (each.encoder_error, each.divergence, -each.same_tokens))
    assert len(set(found)) == len(order)


def test_wrong_files_fail_without_a_single_row():
    verdict = judge("float16", "", ["config.json: damaged"], [])
    assert verdict.problems == ["config.json: damaged"]
    assert verdict.figures is None
    assert not judge("float16", "", [], []).problems


texts = st.lists(st.sampled_from(["eins", "zwei", "drei"]), max_size=4).map(" ".join)


@given(st.lists(st.tuples(texts, texts, st.floats(-1, 1)), min_size=1, max_size=12))
def test_a_gate_that_passes_leaves_at_most_a_tenth_of_a_point_and_3_percent(drawn):
    found = [row(number, export, original=said, margin=margin) for number, (said, export, margin) in enumerate(drawn)]
    verdict = judge("float16", "float16", [], found)
    batched = verdict.agreements[0]
    assert (not verdict.problems) == (batched.share >= 0.97 and abs(batched.settled) <= 0.001 + 1e-9)
    assert batched.equal + batched.toss_ups <= batched.rows == len(drawn)

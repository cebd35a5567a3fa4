"""Several test sets in one evaluation: each with rates of its own, and all of their rows together."""

import io
from html import unescape

import pytest
from rich.console import Console

from trainer.evaluation.inputs import EvaluationFacts, EvaluationRow, ModelTranscripts
from trainer.evaluation.metrics_file import metrics
from trainer.evaluation.reporting.hints import hints
from trainer.evaluation.reporting.html_report import render_page
from trainer.evaluation.reporting.screen import render_evaluation
from trainer.evaluation.results import evaluate_transcripts

ROWS = [("cv", "eins zwei drei vier", "eins zwei drei vier"), ("cv", "fünf sechs", "fünf sechs sieben")]
ROWS += [("aa", "acht neun zehn elf", "acht"), ("aa", "Zwölf", "zwölf")]


def evaluated(rows=ROWS):
    facts = [EvaluationRow(number, "korpus", said, 1.0, name) for number, (name, said, _) in enumerate(rows)]
    heard = [text for *_, text in rows]
    models = [ModelTranscripts("ours", heard), ModelTranscripts("turbo", [text for _, text, _ in rows])]
    return evaluate_transcripts(EvaluationFacts("test", facts, models, baseline="turbo"), resamples=100)


@pytest.fixture(scope="module")
def result():
    return evaluated()


def test_each_set_has_its_own_rates_in_the_order_of_the_options_and_all_their_rows_are_one(result):
    ours = result.models[0]
    rates = {
        name: {str(key): score.errors.wer for key, score in scores.items()} for name, scores in ours.by_set.items()
    }
    assert list(rates) == ["cv", "aa"]
    # By hand: one word too many of 6; three left out of 5, and with capitals one more is another.
    assert rates["cv"]["raw"] == rates["cv"]["basic"] == pytest.approx(1 / 6)
    assert (rates["aa"]["raw"], rates["aa"]["basic"]) == (pytest.approx(4 / 5), pytest.approx(3 / 5))
    assert {str(key): score.errors.wer for key, score in ours.overall.items()}["basic"] == pytest.approx(4 / 11)
    assert [score.rows for scores in ours.by_set.values() for score in scores.values()] == [2] * 6


def test_one_set_is_not_told_twice():
    alone = evaluated([("", said, heard) for _, said, heard in ROWS])
    assert alone.models[0].by_set == {}
    assert "By test set" not in render_page(alone)
    assert metrics(alone)["models"][0]["by_set"] == {}


def test_screen_page_and_metrics_have_every_set_and_model_with_each_normaliser(result):
    stream = io.StringIO()
    Console(file=stream, width=140).print(render_evaluation(result))
    said, page, values = stream.getvalue(), unescape(render_page(result)), metrics(result)["models"][0]["by_set"]
    table = said.partition("by test set")[2].partition("real-time")[0]
    assert all(table.count(word) >= 2 for word in ("ours", "turbo", "raw", "basic+ss"))
    for share in ("16.67 %", "80.00 %", "60.00 %"):
        assert share in table
        assert share in page.partition("By test set")[2].partition("By source")[0]
    assert list(values) == ["cv", "aa"]
    assert values["aa"]["raw"]["rows"] == 2


def test_the_worst_rows_say_which_set_they_are_of_where_numbers_may_come_twice(result):
    page = unescape(render_page(result)).partition("Rows with most errors")[2]
    assert "row 2 of <bdi>aa</bdi>, <bdi>korpus</bdi>" in page
    assert "row 1 of <bdi>cv</bdi>" in page
    alone = evaluated([("", said, heard) for _, said, heard in ROWS])
    assert "row 2, <bdi>korpus</bdi>" in unescape(render_page(alone))


def test_a_set_of_more_wrong_words_than_were_said_is_told_though_all_rows_together_are_not():
    looped = ("bad", "ja", "ja ja ja ja")
    (hint,) = hints(evaluated([*ROWS, looped]))
    assert hint.startswith("ours, on bad: a WER over 100 %")
    (hint,) = hints(evaluated([("cv", "ja", "nein nein nein"), looped]))
    assert hint.startswith("ours: a WER over 100 %")
    assert hints(evaluated()) == []

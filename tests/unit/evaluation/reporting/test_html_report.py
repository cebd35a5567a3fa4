"""No rate without its normaliser, on the screen, the page and in the metrics; a page that is whole and harmless."""

import base64
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from shared.errors import UsageError
from tests.support.browser import cut_tables
from trainer.evaluation.inputs import EvaluationFacts, EvaluationRow, ModelTranscripts, SilenceCheck
from trainer.evaluation.metrics_file import metrics
from trainer.evaluation.reporting.formatting import format_p
from trainer.evaluation.reporting.html_report import (
    MAX_CHARACTERS,
    MAX_PIECES,
    render_page,
    require_writable,
    write_evaluation,
)
from trainer.evaluation.reporting.labels import labels, legend
from trainer.evaluation.reporting.screen import notes, render_evaluation
from trainer.evaluation.results import WORST_ROWS, evaluate_transcripts
from trainer.evaluation.scoring import AlignedWords, Normaliser, align, score_all, score_by_source

HOSTILE = (
    "<script>alert(1)</script></td><img src=http://x.example onerror=1>\"'&{{ 7*7 }}$x$\x1b[31m\x00\u202eevil\u2028"
)
VOID = {"meta", "img", "br", "hr"}
NAMES = {str(name) for name in Normaliser}
REFERENCES = ["Die Straße ist lang.", "Ja!", "Wir gehen heute nach Hause", ""] * 20
GOOD = ["die Strasse ist lang", "ja", "wir gehen heute nach Hause", ""] * 20
BAD = ["die Strafe ist", "ja ja", "wir sehen heute nach Hause", "Untertitel"] * 20


def facts(**changes):
    rows = [
        EvaluationRow(row_id=100 + number, source=("cv", "mls")[number % 2], reference=text, duration=1.0 + number / 10)
        for number, text in enumerate(REFERENCES)
    ]
    models = [
        ModelTranscripts("old", BAD, 0.05, SilenceCheck(20, 2, 9, ["Vielen Dank."])),
        ModelTranscripts("new", GOOD, 0.04, SilenceCheck(20, 0, 0)),
        ModelTranscripts("copy", BAD),
    ]
    return replace(EvaluationFacts("STORE, split test", rows, models, "greedy", baseline="old"), **changes)


@pytest.fixture(scope="module")
def result():
    return evaluate_transcripts(facts(), resamples=500)


@pytest.fixture(scope="module")
def hostile():
    rows = [EvaluationRow(1, HOSTILE, HOSTILE, 1.0), EvaluationRow(2, "_", "ja", None)]
    models = [ModelTranscripts(HOSTILE, [HOSTILE + " mehr", HOSTILE], 0.1, SilenceCheck(1, 1, 1, [HOSTILE]))]
    models.append(ModelTranscripts("_", ["", "[red]nein[/red]"]))
    return evaluate_transcripts(EvaluationFacts(HOSTILE, rows, models, HOSTILE, HOSTILE), resamples=50)


def screen(result, width=80):
    console = Console(width=width, file=io.StringIO())
    console.print(render_evaluation(result))
    return console.file.getvalue()


class Page(HTMLParser):
    """A page's tags, attributes and table rows; an end tag that closes nothing is an error."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.words, self.open, self.errors, self.rows = [], [], "", [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag == "tr":
            self.rows.append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.errors.append(tag)

    def handle_data(self, data):
        if "style" not in self.open:
            self.words += data + " "
        if "tr" in self.open:
            self.rows[-1] += f" {data} "


def names_one_normaliser(line):
    return len(NAMES & set(line.split())) == 1


# Results


def test_scores_are_the_scorers_own(result):
    for model, hypotheses in zip(result.models, (BAD, GOOD, BAD), strict=True):
        assert {str(name): score.errors for name, score in model.overall.items()} == score_all(REFERENCES, hypotheses)
        by_source = score_by_source(REFERENCES, hypotheses, [row.source for row in result.facts.rows])
        found = {
            source: {str(name): score.errors for name, score in scores.items()}
            for source, scores in model.by_source.items()
        }
        assert found == by_source


def test_a_better_model_is_found_better_and_a_copy_of_the_baseline_no_different(result):
    baseline, better, copy = (model.against_baseline for model in result.models)
    assert baseline is None
    assert all(found.significant and found.interval.high < 0 for found in better.values())
    assert {(found.difference, found.p_value) for found in copy.values()} == {(0.0, 1.0)}


def test_the_rows_with_most_errors_come_first_and_rows_without_any_are_left_out(result):
    worst = result.models[0].worst
    assert len(worst) == WORST_ROWS
    errors = [found.errors for found in worst]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] == 2
    assert worst[0].row.reference == "Die Straße ist lang."
    assert {found.errors for found in result.models[1].worst} == {1}


def test_clips_of_known_length_are_scored_by_length():
    rows = [replace(row, duration=None if row.row_id < 110 else row.duration) for row in facts().rows]
    bins = evaluate_transcripts(facts(rows=rows), resamples=50).models[0].by_duration
    assert sum(found.score.rows for found in bins) == 70
    assert [found.shortest for found in bins] == sorted(found.shortest for found in bins)
    assert all(found.shortest <= found.mean <= found.longest for found in bins)


@settings(deadline=None)
@given(*[st.lists(st.sampled_from("abcd"), max_size=8).map(" ".join)] * 2)
def test_an_alignment_has_all_words_of_both_texts_and_as_many_errors_as_are_counted(reference, hypothesis):
    pieces = align(reference, hypothesis)
    assert " ".join(piece.reference for piece in pieces if piece.reference) == reference
    assert " ".join(piece.hypothesis for piece in pieces if piece.hypothesis) == hypothesis
    wrong = [piece for piece in pieces if piece.kind != "equal"]
    errors = sum(max(len(piece.reference.split()), len(piece.hypothesis.split())) for piece in wrong)
    assert errors == score_all([reference], [hypothesis])["raw"].wer * max(1, len(reference.split()))


def test_an_alignment_names_what_happened():
    assert align("wir gehen jetzt nach Hause", "ja wir sehen nach Hause") == (
        AlignedWords("insert", "", "ja"),
        AlignedWords("equal", "wir", "wir"),
        AlignedWords("substitute", "gehen", "sehen"),
        AlignedWords("delete", "jetzt", ""),
        AlignedWords("equal", "nach Hause", "nach Hause"),
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"baseline": "x"}, "the baseline x is not among old, new, copy"),
        ({"models": []}, "named, and once each: none"),
        ({"models": [ModelTranscripts("a", BAD), ModelTranscripts("a", BAD)]}, "once each: a, a"),
        ({"rows": [], "models": [ModelTranscripts("a", [])], "baseline": None}, "has no rows"),
    ],
)
def test_facts_that_make_no_evaluation_are_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        facts(**changes)


def test_a_model_with_a_hypothesis_too_few_is_refused():
    with pytest.raises(ValueError, match="old has 79 hypotheses for 80 rows"):
        facts(models=[ModelTranscripts("old", BAD[1:])])


# The screen


@pytest.mark.parametrize("width", [80, 160])
def test_every_line_with_a_rate_or_a_difference_names_its_normaliser(result, width):
    lines = [line for line in screen(result, width).splitlines() if re.search(r"\d\.\d\d (%|points)", line)]
    assert all(names_one_normaliser(line) for line in lines)
    # Three models under three normalisers, over all and in two sources, and two of them against the baseline.
    assert len(lines) == 3 * 3 * 3 + 2 * 3


@pytest.mark.parametrize("width", [30, 45, 60])
def test_a_terminal_too_narrow_for_the_table_cuts_figures_and_never_their_normaliser(width):
    models = [ModelTranscripts("old", BAD), ModelTranscripts("new", GOOD)]
    shown = screen(evaluate_transcripts(facts(models=models), resamples=50), width)
    lines = [line for line in shown.splitlines() if re.search(r"\d\.\d", line)]
    assert len(lines) == 2 * 3 * 3 + 3
    assert all(names_one_normaliser(line) for line in lines)


def test_the_screen_has_every_models_figures(result):
    shown = screen(result)
    assert "STORE, split test: 80 rows" in shown
    assert re.search(r"old +raw +80\.00 % .* 48\.98 %", shown)
    assert re.search(r"new +raw +-30\.00 points .* 0\.004  better", shown)
    assert re.search(r"copy +raw +\+0\.00 points .* 1\.000  not significant", shown)
    assert "in 2 of 20 clips, 9 words" in shown
    assert "0.05 (20 x real time)" in shown


def test_intervals_over_few_rows_come_with_a_warning(result, hostile):
    assert "too narrow to rely on" not in screen(result)
    assert "too narrow to rely on" not in render_page(result)
    assert "too narrow to rely on" in screen(hostile)
    assert "too narrow to rely on" in render_page(hostile)


def test_what_comes_from_outside_does_nothing_to_the_terminal(hostile):
    shown = screen(hostile, 200)
    assert not set(shown) & {"\x1b", "\x00", "\u202e", "\u2028"}
    assert "<script>alert(1)</script>" in shown


# metrics.json


def rates_of(value, path=()):
    """The path of every rate or difference in *value*."""
    if isinstance(value, dict):
        for name, below in value.items():
            if name in {"wer", "cer", "wer_interval", "wer_difference", "wer_difference_interval", "p_value"}:
                yield path
            yield from rates_of(below, (*path, name))
    elif isinstance(value, list):
        for number, below in enumerate(value):
            yield from rates_of(below, (*path, str(number)))


def test_every_rate_of_the_metrics_stands_below_its_normaliser(result):
    found = metrics(result)
    paths = list(rates_of(found))
    assert len(paths) > 50
    assert all(path[-1] in NAMES for path in paths)
    assert set(found["normalisers"]) == NAMES


def test_the_metrics_are_json_and_have_the_scorers_figures(result):
    found = json.loads(json.dumps(metrics(result), allow_nan=False))
    assert (found["rows"], found["baseline"], found["decoding"]) == (80, "old", "greedy")
    assert found["bootstrap"] == {"level": 0.95, "resamples": 500, "seed": 0}
    model = found["models"][0]
    assert model["overall"]["basic+ss"]["wer"] == score_all(REFERENCES, BAD)["basic+ss"].wer
    low, high = model["by_source"]["mls"]["raw"]["wer_interval"]
    assert low <= model["by_source"]["mls"]["raw"]["wer"] <= high
    assert model["silence"] == {"clips": 20, "clips_with_text": 2, "words": 9, "examples": ["Vielen Dank."]}
    assert found["models"][2]["against_baseline"]["raw"]["p_value"] == 1.0


# Long names

LONG = ["openai/whisper-large-v3-turbo", "/home/anna/turbo/checkpoints/best", "/home/anna/turbo/checkpoints/step-9000"]


@pytest.fixture(scope="module")
def long_named():
    models = [replace(model, name=name) for model, name in zip(facts().models, LONG, strict=True)]
    rows = [replace(row, source=f"{row.source}-of/a/folder/with/a/long/name") for row in facts().rows]
    return evaluate_transcripts(facts(models=models, rows=rows, baseline=LONG[0]), resamples=50)


def test_a_long_name_stands_once_and_whole_with_a_letter_that_the_tables_use(long_named):
    console = Console(width=80, file=io.StringIO())
    console.print(render_evaluation(long_named), crop=False)
    lines = console.file.getvalue().splitlines()
    assert [line for line in lines if "/checkpoints" in line or "openai" in line] == [
        f"{letter}  {name}" for letter, name in zip("ABC", LONG, strict=True)
    ]
    assert "WER against A" in lines
    assert sum(bool(re.match(r"B +raw", line)) for line in lines) == 2
    assert sum(bool(re.match("…a/long/name +40  A", line)) for line in lines) == 2
    assert max(map(len, lines)) <= 80


def test_short_names_stand_for_themselves(result):
    assert labels(result.names) == {"old": "old", "new": "new", "copy": "copy"}
    assert legend(result.names) == []


def test_there_is_a_letter_for_each_of_many_models():
    found = labels([f"/a/folder/of/models/{number}" for number in range(60)])
    assert list(found.values())[24:28] == ["Y", "Z", "A2", "B2"]
    assert len(set(found.values())) == 60


def test_the_page_has_letters_and_a_legend_and_a_phone_shows_every_column(long_named, tmp_path):
    text = render_page(long_named)
    assert text.count(LONG[1]) == 1
    assert "<dt>B</dt>" in text
    assert cut_tables(text, tmp_path, 390) == ""


# The page


def test_every_table_row_with_a_rate_or_a_difference_names_its_normaliser(result):
    rows = [
        row
        for row in Page(render_page(result)).rows
        if "95 % interval" in row or re.search(r"\d\.\d\d (%|points)", row)
    ]
    headings = [row for row in rows if "95 % interval" in row]
    figures = [row for row in rows if row not in headings]
    assert len(figures) == 3 * 3 * 3 + 2 * 3
    assert all(names_one_normaliser(row) for row in figures)
    assert all("normaliser" in row for row in headings)


def test_plots_and_worst_rows_say_their_normaliser(result):
    page = Page(render_page(result))
    captions = [value for tag, name, value in page.attributes if (tag, name) == ("img", "alt")]
    assert len(captions) == 2
    assert all("WER (basic)" in caption for caption in captions)
    assert len(re.findall(r"\d+ errors? in \d+ words? \(basic\)", page.words)) == sum(
        len(model.worst) for model in result.models
    )


@pytest.mark.parametrize("name", ["result", "hostile"])
def test_the_page_is_well_formed_and_needs_nothing_but_itself(name, request):
    text = render_page(request.getfixturevalue(name))
    page = Page(text)
    assert (page.errors, page.open) == ([], [])
    addresses = [value for _, name, value in page.attributes if name in {"src", "href", "srcset", "action", "data"}]
    assert addresses
    assert all(value.startswith("data:image/svg+xml;base64,") for value in addresses)
    assert not {"script", "link", "iframe", "object", "form", "base"} & set(page.tags)
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert "url(" not in text
    assert "@import" not in text
    assert ("meta", "content", "default-src 'none'; img-src data:; style-src 'unsafe-inline'") in page.attributes


@pytest.mark.parametrize("name", ["result", "hostile"])
def test_every_plot_is_a_picture_that_loads_nothing(name, request):
    page = Page(render_page(request.getfixturevalue(name)))
    for value in (value for _, name, value in page.attributes if name == "src"):
        picture = ET.fromstring(base64.b64decode(value.split(",")[1]))
        assert picture.tag.endswith("svg")
        links = [link for part in picture.iter() for name, link in part.items() if name.endswith("href")]
        assert all(link.startswith("#") for link in links)


def test_transcripts_and_names_are_escaped_and_harmless(hostile):
    text = render_page(hostile)
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "{{ 7*7 }}" in text
    assert not set(text) & {"\x1b", "\x00", "\u202e", "\u2028"}


def test_errors_are_marked_by_kind_and_not_by_colour_alone():
    rows = [EvaluationRow(0, "", "wir gehen jetzt nach Hause", 2.345)]
    models = [ModelTranscripts("m", ["ja wir sehen nach Hause"])]
    text = render_page(evaluate_transcripts(EvaluationFacts("t", rows, models), resamples=10))
    assert '<span class="substitute"><del>gehen</del> <ins>sehen</ins></span>' in text
    assert '<span class="delete"><del>jetzt</del></span>' in text
    assert '<span class="insert"><ins>ja</ins></span>' in text
    assert "2.35 s of audio" in text or "2.34 s of audio" in text


def test_a_row_that_a_model_looped_on_is_cut():
    reference, hypothesis = " ".join(f"a b{number}" for number in range(900)), " ".join(["a c"] * 900)
    result = evaluate_transcripts(
        EvaluationFacts("t", [EvaluationRow(0, "", reference)], [ModelTranscripts("m", [hypothesis])]), resamples=10
    )
    text = render_page(result)
    assert text.count('<span class="substitute">') <= MAX_PIECES + 1
    assert "and so on" in text
    assert all(len(cell) <= MAX_CHARACTERS for cell in re.findall(r"<bdi>(.*?)</bdi>", text))


def test_without_lengths_there_is_no_plot_over_length():
    rows = [replace(row, duration=None) for row in facts().rows]
    text = render_page(evaluate_transcripts(facts(rows=rows), resamples=10))
    assert text.count("<img ") == 1
    assert "of audio" not in text


def test_the_same_facts_give_the_same_page(result):
    again = evaluate_transcripts(facts(), resamples=500)
    assert render_page(again) == render_page(result)


def test_both_files_are_written_and_replaced(result, tmp_path):
    output = tmp_path / "new" / "folder"
    for _ in range(2):
        write_evaluation(result, output)
    assert sorted(path.name for path in output.iterdir()) == ["evaluation.html", "metrics.json"]
    assert json.loads((output / "metrics.json").read_text(encoding="utf-8")) == metrics(result)
    assert (output / "evaluation.html").read_text(encoding="utf-8") == render_page(result)


def test_a_folder_that_can_be_written_to_is_made_and_left_empty(tmp_path):
    require_writable(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_a_folder_that_cannot_be_written_to_is_a_wrong_usage(tmp_path):
    (tmp_path / "file").write_text("here")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UsageError, match=f"cannot write to {folder}"):
            require_writable(folder)


def test_a_p_value_is_never_shown_as_zero():
    assert [format_p(value) for value in (0.0002, 0.001, 0.0496, 1.0)] == ["< 0.001", "0.001", "0.050", "1.000"]


def test_what_is_odd_about_a_model_stands_beside_its_figures_on_screen_and_page():
    rows = [EvaluationRow(number, "s", "eins zwei") for number in range(3)]
    models = [
        ModelTranscripts("loop", ["eins " * 9] * 3, decoding="greedy", remarks=["it <never> saw training"]),
        ModelTranscripts("good", ["eins zwei"] * 3, decoding="its own"),
    ]
    result = evaluate_transcripts(EvaluationFacts("t", rows, models), resamples=100)
    found = notes(result)
    assert found[:3] == ["loop: greedy", "good: its own", "loop: it <never> saw training"]
    assert found[3].startswith("loop: a WER over 100 % means")
    assert len(found) == 4
    page = render_page(result)
    assert "loop: it &lt;never&gt; saw training" in page
    assert "WER over 100 %" in page

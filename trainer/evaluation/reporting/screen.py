"""An evaluation for a terminal: every error rate stands in one row with the normaliser that it was computed under.

Names come from outside: they are shown as they are, without markup or control characters.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter

from rich.console import Group, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from shared.text import one_line
from shared.units import format_audio, format_count, format_counted, format_share
from trainer.evaluation.bootstrap import FEW_ROWS, PairedDifference
from trainer.evaluation.reporting.formatting import (
    format_interval,
    format_p,
    format_points,
    format_points_interval,
    format_real_time_factor,
    format_silence,
    significance,
)
from trainer.evaluation.reporting.hints import hints
from trainer.evaluation.reporting.labels import labels, legend
from trainer.evaluation.results import EvaluationResult, ModelResult, Score
from trainer.evaluation.scoring import Normaliser
from trainer.telemetry.record_lines import wer_words

_SOURCES_SHOWN = 12
_SIGNIFICANCE_STYLES = {"better": "green", "worse": "red", "not significant": "dim"}
_NORMALISER = "normaliser"
_NARROWEST = 5
_LONGEST_GROUP = 12
_FIGURES = ("WER", "95 % interval", "CER")
_Groups = Mapping[str, Mapping[Normaliser, Score]]


def render_evaluation(result: EvaluationResult) -> RenderableType:
    """All of *result* but the worst rows: overall, against the baseline, by test set and source, speed and silence."""
    names = labels(result.names)
    parts: list[RenderableType] = [Text(headline(result), style="bold"), *_legend(result.names), Text()]
    parts.append(_overall(result.models, names))
    if any(model.against_baseline for model in result.models):
        baseline = names[result.facts.baseline or ""]
        parts += [Text(), _heading(f"WER against {baseline}"), _compared(result.models, names)]
    if sets := list(result.models[0].by_set):
        parts += [
            Text(),
            _heading("by test set"),
            _by_group("test set", sets, result.models, names, attrgetter("by_set")),
        ]
    sources = list(result.models[0].by_source)
    if len(sources) > 1:
        shown = sources[:_SOURCES_SHOWN]
        by_source = _by_group("source", shown, result.models, names, attrgetter("by_source"))
        parts += [Text(), _heading("by source"), by_source]
        if rest := sources[_SOURCES_SHOWN:]:
            parts.append(Text(f"and {format_counted(len(rest), 'more source')}", style="dim"))
    if any(model.transcripts.real_time_factor is not None or model.transcripts.silence for model in result.models):
        parts += [Text(), _decoding(result.models, names)]
    if found := notes(result):
        parts += [Text(), *(Text(text, style="yellow") for text in found)]
    if result.few_rows:
        parts += [Text(), Text(few_rows_note(), style="yellow")]
    return Group(*parts)


def _legend(names: Sequence[str]) -> list[Text]:
    """A line for each letter; a path stays in one piece, however narrow the terminal, so that it can be copied."""
    return [Text(f"{label}  {name}", no_wrap=True, overflow="ignore") for label, name in legend(names)]


def headline(result: EvaluationResult) -> str:
    """What was evaluated: rows, their audio where it is known, and how the models were run."""
    facts = result.facts
    audio = "" if facts.audio_seconds is None else f", {format_audio(facts.audio_seconds)}"
    decoding = f", {facts.decoding}" if facts.decoding else ""
    return one_line(f"{facts.title}: {format_counted(len(facts.rows), 'row')}{audio}{decoding}")


def model_line(model: ModelResult) -> str:
    """The word error rates of *model* over all rows in one line, each with its normaliser."""
    return wer_words({str(name): score.errors for name, score in model.overall.items()})


def notes(result: EvaluationResult) -> list[str]:
    """What to know before the figures are believed: how each model was asked, where not all alike, and what is odd."""
    ways = {model.transcripts.decoding for model in result.models}
    asked = [f"{model.name}: {model.transcripts.decoding}" for model in result.models] if len(ways) > 1 else []
    return [one_line(text) for text in (*asked, *hints(result))]


def few_rows_note() -> str:
    """Which intervals not to believe."""
    return f"Intervals and p values over fewer than {FEW_ROWS} rows are too narrow to rely on."


def _heading(text: str) -> Text:
    return Text(one_line(text), style="bold")


def _table(names: Sequence[str], figures: Sequence[str], last: str = "") -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for name in names:
        if name == _NORMALISER:
            # Wrapped or cut it would part from its figures.
            table.add_column(name, no_wrap=True, min_width=max(map(len, Normaliser)))
        else:
            justify: JustifyMethod = "right" if name == "rows" else "left"
            table.add_column(name, overflow="fold", justify=justify, min_width=_NARROWEST)
    for name in figures:
        table.add_column(name, justify="right", no_wrap=True)
    if last:
        table.add_column(last, no_wrap=True)
    return table


def _overall(models: Sequence[ModelResult], labels_of: Mapping[str, str]) -> Table:
    table = _table(("model", _NORMALISER), _FIGURES)
    for model in models:
        table.add_row(Text(labels_of[model.name]), *_scores(model.overall))
    return table


def _by_group(
    heading: str,
    groups: Sequence[str],
    models: Sequence[ModelResult],
    labels_of: Mapping[str, str],
    scores_of: Callable[[ModelResult], _Groups],
) -> Table:
    """A line for every model and normaliser of each group of rows; *scores_of* tells a model's."""
    table = _table((heading, "rows", "model", _NORMALISER), _FIGURES)
    for name in groups:
        for number, model in enumerate(models):
            scores = scores_of(model)[name]
            rows = format_count(next(iter(scores.values())).rows)
            of_group = ("", "") if number else (Text(_end_of(name) or "(no name)"), rows)
            table.add_row(*of_group, Text(labels_of[model.name]), *_scores(scores))
    return table


def _end_of(name: str) -> str:
    """*name*, of a long one its end, which tells paths apart and stays in one piece; the page has it whole."""
    text = one_line(name)
    return text if len(text) <= _LONGEST_GROUP else f"…{text[1 - _LONGEST_GROUP :]}"


def _scores(scores: Mapping[Normaliser, Score]) -> Iterator[str]:
    """Cells of normalisers, WER, intervals and CER, with a line for each normaliser."""
    lines = [
        (name, format_share(score.errors.wer), format_interval(score.interval), format_share(score.errors.cer))
        for name, score in scores.items()
    ]
    return map("\n".join, zip(*lines, strict=True))


def _compared(models: Sequence[ModelResult], labels_of: Mapping[str, str]) -> Table:
    table = _table(("model", _NORMALISER), ("difference", "95 % interval", "p"), last=" ")
    for model in models:
        if model.against_baseline:
            table.add_row(Text(labels_of[model.name]), *_differences(model.against_baseline))
    return table


def _differences(compared: Mapping[Normaliser, PairedDifference]) -> Iterator[Text]:
    """Cells of normalisers, differences, intervals, p values and verdicts, with a line for each normaliser."""
    lines = [
        (
            Text(name),
            Text(format_points(found.difference)),
            Text(format_points_interval(found.interval)),
            Text(format_p(found.p_value)),
            Text(significance(found), style=_SIGNIFICANCE_STYLES[significance(found)]),
        )
        for name, found in compared.items()
    ]
    return map(Text("\n").join, zip(*lines, strict=True))


def _decoding(models: Sequence[ModelResult], labels_of: Mapping[str, str]) -> Table:
    table = _table(("model", "real-time factor", "hallucinations on silence"), ())
    for model in models:
        run = model.transcripts
        table.add_row(
            Text(labels_of[model.name]), format_real_time_factor(run.real_time_factor), format_silence(run.silence)
        )
    return table

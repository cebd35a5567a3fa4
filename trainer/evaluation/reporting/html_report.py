"""What an evaluation leaves behind: `metrics.json` for programs and `evaluation.html` for people.

The page needs nothing but itself: it runs no script and loads nothing, which its own content policy enforces. Whatever
comes from outside is put on one line, freed of control characters, and escaped.
"""

from pathlib import Path

from jinja2 import Environment

from shared.errors import UsageError
from shared.pages.templates import Filters, html_templates
from shared.system.durable import json_bytes, write_durably
from shared.system.locks import remove_unheld
from shared.text import one_line
from shared.units import format_count, format_share
from trainer.evaluation.metrics_file import NORMALISERS, metrics
from trainer.evaluation.reporting.formatting import (
    format_interval,
    format_p,
    format_points,
    format_points_interval,
    format_real_time_factor,
    format_silence,
    significance,
)
from trainer.evaluation.reporting.labels import labels, legend
from trainer.evaluation.reporting.plots import drawn_sources, duration_plot, source_plot
from trainer.evaluation.reporting.screen import few_rows_note, headline, notes
from trainer.evaluation.results import DETAIL_NORMALISER, EvaluationResult

METRICS, PAGE = "metrics.json", "evaluation.html"
MAX_CHARACTERS = 600
"""The longest text that is shown whole; a row that a model looped on would fill the page."""
MAX_PIECES = 120
"""The most stretches of an alignment that are shown."""
_SOURCES_IN_TABLE = 100
_TEMPLATES = Path(__file__).parent / "templates"


def require_writable(output: Path) -> None:
    """Makes the folder *output*. Raises UsageError where writing into it is not possible, or a training's files are."""
    if b'"steps"' in _read(output / METRICS):
        message = f"{output / METRICS} is a training's history, which an evaluation would take the place of"
        raise UsageError(message, "name another --output")
    trial = output / f".{METRICS}.partial"
    try:
        output.mkdir(parents=True, exist_ok=True)
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise UsageError(
            f"cannot write to {output}: {error.strerror}", "name a folder that can be written to"
        ) from error


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


def write_evaluation(result: EvaluationResult, output: Path) -> None:
    """Writes `metrics.json` and `evaluation.html` into the folder *output*, which is made; each atomically, durably.

    Raises OSError where that is not possible.
    """
    output.mkdir(parents=True, exist_ok=True)
    page = render_page(result).encode("utf-8", "backslashreplace")
    for name, content in ((METRICS, json_bytes(metrics(result))), (PAGE, page)):
        partial = output / f".{name}.partial"
        remove_unheld(partial)
        write_durably(output / name, content, partial)


def render_page(result: EvaluationResult) -> str:
    """The page, as HTML. Pure but for reading its template."""
    sources = list(result.models[0].by_source)
    drawn = drawn_sources(result)
    return (
        page_environment()
        .get_template("evaluation.html.j2")
        .render(
            result=result,
            headline=headline(result),
            notes=notes(result),
            labels=labels(result.names),
            legend=legend(result.names),
            few_rows=few_rows_note() if result.few_rows else None,
            compared=any(model.against_baseline for model in result.models),
            measured=any(model.transcripts.real_time_factor is not None for model in result.models)
            or any(model.transcripts.silence for model in result.models),
            sources=sources[:_SOURCES_IN_TABLE],
            sources_left_out=len(sources[_SOURCES_IN_TABLE:]),
            source_plot=source_plot(result),
            sources_not_drawn=len(sources) - len(drawn),
            duration_plot=duration_plot(result),
            normalisers=NORMALISERS,
            detail=DETAIL_NORMALISER,
            max_pieces=MAX_PIECES,
        )
    )


def page_environment(*folders: Path) -> Environment:
    """What makes pages of the templates of *folders*, which may include those of an evaluation's page."""
    filters: Filters = {
        "count": format_count,
        "interval": format_interval,
        "p": format_p,
        "points": format_points,
        "points_interval": format_points_interval,
        "real_time": format_real_time_factor,
        "share": format_share,
        "short": _short,
        "silence": format_silence,
        "significance": significance,
    }
    return html_templates([*folders, _TEMPLATES], filters, one_line)


def _short(text: str) -> str:
    text = one_line(text)
    return text if len(text) <= MAX_CHARACTERS else text[: MAX_CHARACTERS - 1] + "…"

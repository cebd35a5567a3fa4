"""The plots of an evaluation, as SVG in addresses that a page holds within itself."""

import io
import warnings
from base64 import b64encode
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from shared.text import one_line
from trainer.evaluation.reporting.labels import labels
from trainer.evaluation.results import DETAIL_NORMALISER, EvaluationResult, Score

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SOURCES_DRAWN = 20
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""After Okabe and Ito: apart for colour-blind eyes too, which the markers help."""
_MARKERS = "os^Dv*"
_WIDTH, _HEIGHT, _LINE_HEIGHT = 5.0, 3.2, 0.22
_SPREAD = 0.6
"""The share of a source's line over which its models are spread."""
_LONGEST_NAME = 24


def source_plot(result: EvaluationResult) -> str:
    """WER by source with its intervals, a point for each model: the address of an SVG picture.

    Of many sources only those with most rows are drawn.
    """
    sources = drawn_sources(result)
    figure, axes = _figure(1.0 + max(6, len(sources) * max(2, len(result.models))) * _LINE_HEIGHT)
    for number, model in enumerate(result.models):
        offset = ((number + 0.5) / len(result.models) - 0.5) * _SPREAD
        scores = [model.by_source[source][DETAIL_NORMALISER] for source in sources]
        axes.errorbar(
            [100 * score.errors.wer for score in scores],
            np.arange(len(sources)) + offset,
            xerr=_whiskers(scores),
            **_style(number, line="none"),
        )
    axes.set_yticks(range(len(sources)), [_short(source) or "(no name)" for source in sources], parse_math=False)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel(f"WER in %, {DETAIL_NORMALISER}")
    return _address(figure, axes, list(labels(result.names).values()))


def duration_plot(result: EvaluationResult) -> str | None:
    """WER by the mean length of clips, shortest to longest, as an SVG's address; None where lengths are not known."""
    if not result.models[0].by_duration:
        return None
    figure, axes = _figure(_HEIGHT)
    for number, model in enumerate(result.models):
        axes.errorbar(
            [found.mean for found in model.by_duration],
            [100 * found.score.errors.wer for found in model.by_duration],
            yerr=_whiskers([found.score for found in model.by_duration]),
            **_style(number, line="-"),
        )
    axes.set_ylim(bottom=0)
    axes.set_xlabel("clip length in seconds")
    axes.set_ylabel(f"WER in %, {DETAIL_NORMALISER}")
    return _address(figure, axes, list(labels(result.names).values()))


def drawn_sources(result: EvaluationResult) -> list[str]:
    """The sources with most rows, in the order of their names."""
    scores = result.models[0].by_source
    most = sorted(scores, key=lambda source: (-scores[source][DETAIL_NORMALISER].rows, source))[:_SOURCES_DRAWN]
    return sorted(most)


def _whiskers(scores: Sequence[Score]) -> list[list[float]]:
    """How far each interval reaches below and above its rate, which may lie just outside of it."""
    below = [max(0.0, 100 * (score.errors.wer - score.interval.low)) for score in scores]
    return [below, [max(0.0, 100 * (score.interval.high - score.errors.wer)) for score in scores]]


def _style(number: int, line: str) -> dict[str, Any]:
    colour, marker = _COLOURS[number % len(_COLOURS)], _MARKERS[number % len(_MARKERS)]
    return {"color": colour, "marker": marker, "ls": line, "capsize": 3, "ms": 5}


def _short(name: str) -> str:
    name = one_line(name)
    return name if len(name) <= _LONGEST_NAME else f"…{name[1 - _LONGEST_NAME :]}"


def _figure(height: float) -> "tuple[Figure, Axes]":
    # Seconds to import, and only the page draws; the object API leaves pyplot's global state alone.
    from matplotlib.figure import Figure  # noqa: PLC0415 - see above

    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _address(figure: "Figure", axes: "Axes", names: Sequence[str]) -> str:
    from matplotlib import rc_context  # noqa: PLC0415 - as in _figure

    # Given by hand, because matplotlib leaves labels of its own that start with "_" out.
    handles: list[Any] = axes.containers
    legend = figure.legend(handles, names, loc="outside upper left", ncols=3, frameon=False)
    for text in (*legend.get_texts(), *axes.get_yticklabels()):
        # A name with two dollar signs is no formula.
        text.set_parse_math(False)
    picture = io.BytesIO()
    with rc_context({"svg.hashsalt": "evaluation"}), warnings.catch_warnings():
        # A name in a script that the font lacks is drawn as boxes here; the tables beside have it in full.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(picture, format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{b64encode(picture.getvalue()).decode('ascii')}"

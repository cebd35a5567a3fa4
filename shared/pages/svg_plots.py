"""Small plots as SVG text for a page: lines over time, bars, a histogram. Pure; nothing outside the page is needed.

Colours are the page's: `PLOT_CSS` names them for light and dark, and tells everything apart without red against green.
Text stays text, and every plot says in words what it shows. Whatever comes from outside is escaped here.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby

from shared.text import one_line
from shared.units import format_count

_Format = Callable[[float], str]
_Ticks = Callable[[float], list[tuple[float, str]]]
"""Places on the axis that runs on, up to its end, with their words."""

WIDTH, HEIGHT = 460, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 20, 20, 26
_TICKS = 5
_LIMIT_SHOWN_UP_TO = 4.0
"""A limit further away than this many times the largest value would press the line to the ground."""
_BAR_PITCH, _BAR_HEIGHT, _BAR_LABEL, _BAR_WORDS = 24, 14, 92, 58
_NAMED_BAND_WIDTH = 60
_TIME_STEPS = (
    *(0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30),
    *(60, 120, 300, 600, 900, 1_800),
    *(3_600, 7_200, 10_800, 21_600, 43_200),
)
_TIME_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))

PLOT_CSS = """
:root { --plot-line: #0072b2; --plot-limit: #b34700; --plot-grid: #d9dde3; --plot-text: #4a5260; --plot-strong: #0072b2;
  --plot-shade-0: #f0e442; --plot-shade-1: #e69f00; --plot-shade-2: #d55e00; --plot-shade-3: #cc79a7; }
@media (prefers-color-scheme: dark) { :root { --plot-line: #56b4e9; --plot-limit: #f0a35e; --plot-grid: #3a414d;
  --plot-text: #b4bcc8; --plot-strong: #56b4e9; } }
.plot { display: block; width: 100%; height: auto; font: 12px system-ui, sans-serif; }
.plot text { fill: var(--plot-text); }
.plot .grid { stroke: var(--plot-grid); stroke-width: 1; }
.plot .line { fill: none; stroke: var(--plot-line); stroke-width: 1.8; stroke-linejoin: round; }
.plot .dot, .plot .bar { fill: var(--plot-line); }
.plot .quiet { opacity: .45; }
.plot .limit { fill: none; stroke: var(--plot-limit); stroke-width: 1.6; stroke-dasharray: 6 4; }
.plot text.limit-name { fill: var(--plot-limit); stroke: none; }
.shade-0 { fill: var(--plot-shade-0); background: var(--plot-shade-0); }
.shade-1 { fill: var(--plot-shade-1); background: var(--plot-shade-1); }
.shade-2 { fill: var(--plot-shade-2); background: var(--plot-shade-2); }
.shade-3 { fill: var(--plot-shade-3); background: var(--plot-shade-3); }
.plot .band { opacity: .35; }
"""
"""Style of all plots, for the page that holds them."""


@dataclass(frozen=True, slots=True)
class Band:
    """A stretch of the axis that runs on, which is shaded; *shade* is 0 to 3, the strongest last."""

    start: float
    stop: float
    name: str
    shade: int = 0


@dataclass(frozen=True, slots=True)
class Limit:
    """What a line must stay below: one value for each of the line's."""

    name: str
    values: Sequence[float]


@dataclass(frozen=True, slots=True)
class _Axes:
    """Places in a plot of *x_stop* by *y_stop*, both from 0."""

    x_stop: float
    y_stop: float

    def x(self, value: float) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * value / self.x_stop

    def y(self, value: float) -> float:
        return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * value / self.y_stop


def time_ticks(stop_seconds: float) -> list[tuple[float, str]]:
    """At most six round times from 0 to *stop_seconds*, with their words: `0`, `5 min`, `10 min`."""
    days = 86_400 * 10 ** max(0, math.ceil(math.log10(max(1.0, stop_seconds / 86_400 / _TICKS))))
    step = next((step for step in _TIME_STEPS if stop_seconds / step <= _TICKS), days)
    size, name = next(((size, name) for size, name in _TIME_UNITS if step >= size), _TIME_UNITS[-1])
    number = math.floor(stop_seconds / step + 1e-9)
    return [(step * count, f"{step * count / size:.4g} {name}" if count else "0") for count in range(number + 1)]


def count_ticks(stop: float) -> list[tuple[float, str]]:
    """At most six round counts from 0 to *stop*, with their words: `0`, `20,000`, `40,000`."""
    return [(tick, format_count(round(tick))) for tick in value_ticks(stop, whole=True) if tick <= stop]


def line_chart(
    places: Sequence[float],
    values: Sequence[float],
    *,
    title: str,
    unit: _Format,
    limit: Limit | None = None,
    bands: Sequence[Band] = (),
    ticks: _Ticks = time_ticks,
) -> str:
    """*values* over *places* (rising, from 0 on) as one line, in *unit*'s words; *ticks* name places, as seconds if
    not told otherwise.

    A gap stands for a value that is not finite. *limit* is a dashed line, or a word at the top where it lies so far
    above that the line would be flat. *bands* are shaded. Raises ValueError for sequences of different lengths.
    """
    points = list(zip(places, values, strict=True))
    finite = [value for _, value in points if math.isfinite(value)]
    if not finite:
        return _svg(f"{title}: nothing was measured", [_text(WIDTH / 2, HEIGHT / 2, "nothing was measured", "middle")])
    most = max(finite)
    drawn = limit if limit and max(limit.values) <= _LIMIT_SHOWN_UP_TO * most else None
    top = value_ticks(max([most, *(drawn.values if drawn else ())]))
    axes = _Axes(max(places[-1], 1e-9), top[-1])
    words = f"{title}: at most {unit(most)}, {unit(finite[-1])} at the end"
    parts = [
        *(_band(band, axes) for band in bands),
        *_value_axis(top, axes, unit),
        *_running_axis(axes, ticks),
        *_line(points, axes, "line"),
    ]
    if limit:
        words += f"; {limit.name} {unit(limit.values[-1])}"
        parts += _limit(limit, list(places), axes, unit, drawn=drawn is not None)
    return _svg(words, parts)


def bar_chart(bars: Sequence[tuple[str, float, str]], *, title: str, quiet: frozenset[str] = frozenset()) -> str:
    """Horizontal *bars* of (name, value, words), the largest as long as the plot is wide; those in *quiet* are pale."""
    longest = max((value for _, value, _ in bars), default=0.0) or 1.0
    parts: list[str] = []
    for number, (name, value, words) in enumerate(bars):
        top = number * _BAR_PITCH
        middle = top + _BAR_PITCH / 2 + 4
        length = max(0.0, (WIDTH - _BAR_LABEL - _BAR_WORDS) * value / longest)
        place = (_BAR_LABEL, top + (_BAR_PITCH - _BAR_HEIGHT) / 2, length, _BAR_HEIGHT)
        parts += [
            _text(_BAR_LABEL - 8, middle, _shortened(name), "end"),
            _bar(place, f"{name}: {words}", "bar quiet" if name in quiet else "bar"),
            _text(_BAR_LABEL + length + 6, middle, words),
        ]
    listed = ", ".join(f"{name} {words}" for name, _, words in bars)
    return _svg(f"{title}: {listed or 'nothing'}", parts, max(_BAR_PITCH, len(bars) * _BAR_PITCH))


def histogram(bins: Sequence[tuple[float, float, int]], *, title: str, unit: str = "s") -> str:
    """*bins* of (from, to, count), which follow one another without a gap from 0 on; *unit* is that of the edges."""
    if not bins:
        return _svg(f"{title}: no rows", [_text(WIDTH / 2, HEIGHT / 2, "no rows", "middle")])
    counts = value_ticks(max(count for _, _, count in bins), whole=True)
    axes = _Axes(bins[-1][1], counts[-1])
    parts = _value_axis(counts, axes, lambda value: format_count(round(value)))
    for start, stop, count in bins:
        left, right, top = axes.x(start), axes.x(stop), axes.y(count)
        words = f"{start:g} to {stop:g} {unit}: {format_count(count)}"
        parts.append(_bar((left + 0.5, top, right - left - 1, axes.y(0) - top), words))
    ticks = (tick for tick in value_ticks(bins[-1][1]) if tick <= bins[-1][1])
    parts += [_text(axes.x(tick), HEIGHT - 8, f"{tick:g} {unit}", "middle") for tick in ticks]
    start, stop, count = max(bins, key=lambda found: found[2])
    return _svg(f"{title}: most, {format_count(count)}, from {start:g} to {stop:g} {unit}", parts)


def value_ticks(most: float, *, whole: bool = False) -> list[float]:
    """At most six round values from 0 up to *most* or just beyond it; *whole* ones where things are counted."""
    most = most if most > 0 else 1.0
    power = 10.0 ** (math.floor(math.log10(most)) - 1)
    for step in (factor * power * scale for scale in (1, 10, 100) for factor in (1, 2, 2.5, 5)):
        number = math.ceil(most / step - 1e-9)
        if number <= _TICKS and (not whole or step == round(step)):
            return [step * count for count in range(number + 1)]
    return [0.0, float(math.ceil(most))]


def _value_axis(ticks: Sequence[float], axes: _Axes, unit: _Format) -> list[str]:
    line = f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}"'
    return [
        f'{line} y1="{y:.1f}" y2="{y:.1f}"/>{_text(_LEFT - 6, y + 4, unit(tick), "end")}'
        for tick in ticks
        for y in [axes.y(tick)]
    ]


def _running_axis(axes: _Axes, ticks: _Ticks) -> list[str]:
    return [_text(axes.x(place), HEIGHT - 8, words, "middle") for place, words in ticks(axes.x_stop)]


def _line(points: Sequence[tuple[float, float]], axes: _Axes, kind: str) -> Iterator[str]:
    """One path for each stretch of finite values; a stretch of one value is a dot."""
    for finite, stretch in groupby(points, key=lambda point: math.isfinite(point[1])):
        places = [f"{axes.x(x):.1f} {axes.y(y):.1f}" for x, y in stretch] if finite else []
        if len(places) > 1:
            yield f'<path class="{kind}" d="M{"L".join(places)}"/>'
        elif places:
            x, y = places[0].split()
            yield f'<circle class="dot" cx="{x}" cy="{y}" r="2.5"/>'


def _limit(limit: Limit, seconds: list[float], axes: _Axes, unit: _Format, *, drawn: bool) -> list[str]:
    words = f"{limit.name} {unit(limit.values[-1])}"
    if not drawn:
        return [_text(WIDTH - _RIGHT, _TOP - 7, f"{words}: beyond this scale", "end", "limit-name")]
    y = axes.y(limit.values[-1])
    line = _line(list(zip(seconds, limit.values, strict=True)), axes, "limit")
    return [*line, _text(WIDTH - _RIGHT - 2, y - 5, words, "end", "limit-name")]


def _band(band: Band, axes: _Axes) -> str:
    left = axes.x(band.start)
    # A pause of a second in a run of an hour must still be seen.
    width = max(1.5, axes.x(min(band.stop, axes.x_stop)) - left)
    height = HEIGHT - _TOP - _BOTTOM
    rect = (
        f'<rect class="band shade-{band.shade:d}" x="{left:.1f}" y="{_TOP}" width="{width:.1f}" height="{height}">'
        f"<title>{_escaped(band.name)}</title></rect>"
    )
    named = _text(left + 4, HEIGHT - _BOTTOM - 5, band.name) if width >= _NAMED_BAND_WIDTH else ""
    return rect + named


def _bar(place: tuple[float, float, float, float], words: str, kind: str = "bar") -> str:
    x, y, width, height = place
    size = f'x="{x:.1f}" y="{y:.1f}" width="{max(0.0, width):.1f}" height="{max(0.0, height):.1f}"'
    return f'<rect class="{kind}" {size}><title>{_escaped(words)}</title></rect>'


def _text(x: float, y: float, words: str, anchor: str = "start", kind: str = "") -> str:
    style = f' class="{kind}"' if kind else ""
    return f'<text{style} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{_escaped(words)}</text>'


def _escaped(words: str) -> str:
    return escape(one_line(words))


def _shortened(name: str, longest: int = 14) -> str:
    return name if len(name) <= longest else name[: longest - 1] + "…"


def _svg(words: str, parts: Sequence[str], height: float = HEIGHT) -> str:
    title = _escaped(words)
    opening = f'<svg class="plot" viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{title}">'
    return f"{opening}<title>{title}</title>{''.join(parts)}</svg>"

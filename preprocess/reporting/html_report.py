"""`report.html`: a run and its store on one page that needs nothing but itself.

The page runs no script and loads nothing, which its own content policy enforces. Whatever comes from outside is put on
one line, freed of control characters and of passwords in addresses, and escaped.
"""

import re
import shlex
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from preprocess.features.stages import WAITING
from preprocess.inspection.store import StoreRowFacts
from preprocess.monitoring.history import History, Point
from preprocess.reporting.pictures import row_png
from preprocess.reporting.run_summary import RunSummary, scored, stage_shares
from preprocess.reporting.store_facts import ReportFacts, pictured_rows, report_facts
from shared.command.cli import python_command
from shared.layout import StoreLayout
from shared.pages.svg_plots import PLOT_CSS, Band, Limit, bar_chart, histogram, line_chart
from shared.pages.templates import Filters, html_templates
from shared.system.durable import write_durably
from shared.system.foreign_files import read_json
from shared.text import one_line
from shared.units import format_audio, format_bytes, format_count, format_rate, format_seconds

REPORT = "report.html"
MAX_SOURCES_SHOWN = 30
MAX_EVENTS_SHOWN = 300
MAX_CHARACTERS = 300
"""The longest path, transcript, name or message that is shown whole."""
LEVELS = ("normal", "throttle", "pause", "emergency", "stop")
_TEMPLATES = Path(__file__).parent / "templates"
_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+@|\bhf_[A-Za-z0-9]{16,}")


@dataclass(frozen=True, slots=True)
class Picture:
    """A row of the store and its log-mel as a PNG."""

    row: StoreRowFacts
    png: bytes

    @property
    def address(self) -> str:
        """The picture itself, as an address."""
        return f"data:image/png;base64,{b64encode(self.png).decode('ascii')}"


def write_report(
    layout: StoreLayout,
    summary: RunSummary,
    history: History,
    outcome: str,
    ended_at: datetime | None = None,
    *,
    pictures: bool = True,
) -> None:
    """Writes `report.html` into the store at *layout*, atomically and durably; the caller holds the store's lock.

    *outcome* says in a few words how the run ended, and *ended_at* when. What the store holds is read from the store,
    which need not be finished; of *summary* only what concerns the run is used, so its splits may be empty. Raises
    StoreError where there is no store or it is damaged, OSError where the page cannot be written.
    """
    facts = report_facts(layout)
    drawn = [Picture(row, row_png(log_mel)) for row, log_mel in pictured_rows(layout)] if pictures else []
    settings = _read_settings(layout)
    page = render_report(facts, drawn, summary, history, outcome=outcome, settings=settings, ended_at=ended_at)
    partial = layout.partial / REPORT if layout.partial.is_dir() else layout.root / f".{REPORT}.partial"
    # Under the store's lock, what lies there is a dead run's.
    partial.unlink(missing_ok=True)
    write_durably(layout.root / REPORT, page.encode("utf-8", "backslashreplace"), partial)


def _read_settings(layout: StoreLayout) -> dict[str, Any]:
    """What `settings.json` says of the last run; {} where it is missing or no JSON object."""
    try:
        value = read_json(layout.root / "settings.json")
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def render_report(
    facts: ReportFacts,
    pictures: Sequence[Picture],
    summary: RunSummary,
    history: History,
    *,
    outcome: str,
    settings: Mapping[str, Any],
    ended_at: datetime | None = None,
) -> str:
    """The page, as HTML. Pure but for reading its template."""
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            facts=facts,
            pictures=pictures,
            summary=summary,
            outcome=outcome,
            ended_at=ended_at,
            forecast=_forecast_rows(summary, facts),
            charts=_charts(history.points),
            stages=_stages(summary),
            lengths=_drawn(histogram(facts.histogram, title="Rows by length")) if facts.histogram else None,
            spans=level_spans(history.points),
            levels=[(name, summary.level_seconds[name]) for name in LEVELS if summary.level_seconds.get(name)],
            events=history.events[:MAX_EVENTS_SHOWN],
            events_left_out=len(history.events[MAX_EVENTS_SHOWN:]) + history.events_left_out,
            sources=facts.sources[:MAX_SOURCES_SHOWN],
            other_sources=facts.sources[MAX_SOURCES_SHOWN:],
            settings={name: value for name, value in settings.items() if value not in (None, [], "")},
            commands=_commands(facts, summary),
            plot_css=_drawn(PLOT_CSS),
            level_shade=_shade,
        )
    )


def _environment() -> Environment:
    filters: Filters = {
        "audio": format_audio,
        "bytes": format_bytes,
        "count": format_count,
        "rate": format_rate,
        "time": format_seconds,
        "short": _short,
    }
    return html_templates([_TEMPLATES], filters, _shown)


def _shown(text: str) -> str:
    """Text from outside as it may stand on the page."""
    return _CREDENTIALS.sub("…", one_line(text))


def _short(text: str) -> str:
    # Cleaned first: a cut must not leave half of a password that the pattern would have known.
    text = _shown(text)
    return text if len(text) <= MAX_CHARACTERS else text[: MAX_CHARACTERS - 1] + "…"


def _drawn(plot: str) -> Markup:
    return Markup(plot)  # noqa: S704 - svg_plots.py has escaped what it was given


def _forecast_rows(summary: RunSummary, facts: ReportFacts) -> list[tuple[str, str, str, str]]:
    """(what, forecast, outcome, error) of what was promised; without an error while the store is not complete."""
    rows = []
    if summary.forecast_store_bytes is not None:
        # The promise is about the splits of this run; while one is open, all that is there is the nearest figure.
        came = summary.store_bytes if facts.complete else facts.num_bytes
        error = scored(summary.forecast_store_bytes, came)
        rows.append(("store", format_bytes(summary.forecast_store_bytes), format_bytes(came), error))
    if summary.forecast_seconds is not None:
        error = scored(summary.forecast_seconds, summary.elapsed_seconds, summary.others_share)
        rows.append(("time", format_seconds(summary.forecast_seconds), format_seconds(summary.elapsed_seconds), error))
    return rows if facts.complete else [(*row[:3], "ended early") for row in rows]


def level_spans(points: Sequence[Point]) -> list[Band]:
    """The stretches of *points* at another level than normal; each ends where the next level is first seen."""
    spans: list[Band] = []
    level, since = "normal", 0.0
    for point in points:
        if point.level != level:
            spans.append(Band(since, point.elapsed_seconds, level, _shade(level)))
            level, since = point.level, point.elapsed_seconds
    if points:
        spans.append(Band(since, points[-1].elapsed_seconds, level, _shade(level)))
    return [span for span in spans if span.name != "normal"]


def _shade(level: str) -> int:
    return max(0, LEVELS.index(level) - 1) if level in LEVELS else 0


def _charts(points: Sequence[Point]) -> list[tuple[str, Markup]]:
    """Titles and plots over time; none for a run too short to have a course."""
    if len(points) < 2:  # noqa: PLR2004 - a line has two ends
        return []
    seconds, bands = [point.elapsed_seconds for point in points], level_spans(points)

    def chart(title: str, values: Sequence[float], unit: Any, limit: Limit | None = None) -> tuple[str, Markup]:
        return title, _drawn(line_chart(seconds, values, title=title, unit=unit, limit=limit, bands=bands))

    disk = Limit("allowed", [point.disk_budget_bytes for point in points])
    ram = Limit("limit", [point.ram_limit_bytes for point in points])
    return [
        chart("Throughput, clips per second", [point.rows_per_second for point in points], _rate),
        chart("Throughput, times real time", [point.audio_seconds_per_second for point in points], _times),
        chart("Disk in use", [point.disk_used_bytes for point in points], _bytes, disk),
        chart("Memory in use", [point.ram_used_bytes for point in points], _bytes, ram),
    ]


def _bytes(value: float) -> str:
    return format_bytes(round(value)).replace(".0 ", " ")


def _rate(value: float) -> str:
    return format_rate(value).removesuffix(".0")


def _times(value: float) -> str:
    return f"{_rate(value)} x"


def _stages(summary: RunSummary) -> Markup | None:
    shares = stage_shares(summary.stage_seconds, summary.actor_seconds)
    if not shares:
        return None
    bars = [(name, share, f"{100 * share:.1f} %") for name, share in shares.items()]
    return _drawn(bar_chart(bars, title="Shares of the actors' time", quiet=frozenset({WAITING})))


def _commands(facts: ReportFacts, summary: RunSummary) -> list[tuple[str, str]]:
    """What each command is good for, and the command, quoted for a shell."""
    inspect = [python_command(), "-m", "preprocess.inspect", "--store", summary.store]
    purpose = "Check every byte of the store" if facts.complete else "Go on"
    commands: list[tuple[str, Sequence[str]]] = [("Look into the store", inspect)]
    if summary.next_command:
        commands.insert(0, (purpose, summary.next_command))
    return [(words, shlex.join(command)) for words, command in commands]

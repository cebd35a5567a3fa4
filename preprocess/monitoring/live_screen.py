"""A run at one moment as a Rich renderable: pure, the same snapshot always gives the same picture."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from preprocess.monitoring.snapshot import ActorState, ActorView, Snapshot
from shared.text import one_line
from shared.units import format_audio, format_bytes, format_count, format_counted, format_rate, format_seconds

EVENTS_SHOWN = 3
"""How many of the last events stand below the actors."""
_WIDE, _FOUR_FIGURES, _MEDIUM = 100, 80, 72
"""Columns from which everything fits, four figures stand on a line, and everything but a unit's row counts fits."""
_ACTORS_WANTED = 5
"""Where so many would not fit, empty lines and all events but the last give way to them."""
_LINES_BESIDE_ACTORS = 8
"""Title, bars, the heads of the actors, the line that counts hidden ones, one event and the cursor's own line."""
_EMPTY_LINES, _FIGURES = 4, 8
_CALM = "normal"
_LEVEL_STYLES = {_CALM: "blue", "throttle": "yellow", "pause": "yellow", "emergency": "red", "stop": "red"}
_STATE_STYLES = {
    ActorState.STARTING: "cyan",
    ActorState.WORKING: "green",
    ActorState.IDLE: "dim",
    ActorState.RESTARTING: "yellow",
    ActorState.BISECTING: "magenta",
}


@dataclass(frozen=True, slots=True)
class _Gauge:
    label: str
    used: float
    total: float
    style: str
    words: str


def render(
    snapshot: Snapshot, title: str, events: Sequence[str], width: int, height: int | None = None
) -> RenderableType:
    """The live view of *snapshot*, *width* columns wide: bars, figures, actors and the last events.

    With *height* given, actors that would not fit are counted in one line instead of shown; five always fit 24 lines.
    A lower terminal gets no empty lines and only the last event.
    The height depends on the terminal and the number of actors alone, so the picture does not jump between updates.
    Titles, shard names and events are shown as they are: no markup, no control characters, one line each.
    """
    room = math.inf if height is None else height - _LINES_BESIDE_ACTORS - _FIGURES // _figures_per_line(width)
    roomy = room - _EMPTY_LINES - (EVENTS_SHOWN - 1)
    is_roomy = roomy >= min(_ACTORS_WANTED, len(snapshot.actors))
    shown = int(max(0, min(len(snapshot.actors), roomy if is_roomy else room)))
    parts: list[RenderableType] = [_line(title, "bold"), _gauges(snapshot, width), _figures(snapshot, width)]
    if shown or is_roomy:
        parts.append(_actors(snapshot.actors[:shown], width))
    hidden = _hidden(len(snapshot.actors) - shown, shown)
    if not is_roomy:
        return Group(*parts, *hidden, *_events(events, 1))
    spaced = [line for part in parts for line in (part, Text())]
    return Group(*spaced[:-1], *hidden, Text(), *_events(events, EVENTS_SHOWN))


def percent_done(snapshot: Snapshot) -> float:
    """Rows done in percent, 0 to 100 and rounded down, so that 100.0 means every row."""
    if snapshot.rows_total <= 0:
        return 0.0
    return math.floor(1_000 * min(1.0, max(0.0, snapshot.rows_done / snapshot.rows_total))) / 10


def disk_limit_bytes(snapshot: Snapshot) -> int:
    """What the store with its scratch may take; all that is free before a budget is known."""
    return snapshot.disk_budget_bytes or snapshot.disk_used_bytes + snapshot.disk_free_bytes


def ram_in_words(snapshot: Snapshot) -> str:
    """What the run's own processes hold, then what is in use of the nearest limit, by whomever."""
    in_use = f"{format_bytes(snapshot.ram_used_bytes)} of {format_bytes(snapshot.ram_total_bytes)} in use"
    return f"{format_bytes(snapshot.ram_own_bytes)} own, {in_use}"


def format_eta(eta_seconds: float | None) -> str:
    """The time left in words, `-` where it is not known yet."""
    return "-" if eta_seconds is None else format_seconds(eta_seconds)


def _hidden(hidden: int, shown: int) -> list[Text]:
    """A line that counts *hidden* actors beside those *shown*; none where all are shown."""
    words = f"and {format_counted(hidden, 'more actor')}" if shown else format_counted(hidden, "actor")
    return [Text(words, style="dim")] if hidden else []


def _line(text: str, style: str = "") -> Text:
    return Text(one_line(text), style=style, no_wrap=True, overflow="ellipsis")


def _gauges(snapshot: Snapshot, width: int) -> Table:
    table = Table.grid(expand=True, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(ratio=1, min_width=8)
    table.add_column(no_wrap=True, min_width=41 if width >= _MEDIUM else 0)
    for gauge in (_rows_gauge(snapshot), _disk_gauge(snapshot), _ram_gauge(snapshot)):
        table.add_row(gauge.label, _bar(gauge.used, gauge.total, gauge.style), _line(gauge.words))
    return table


def _bar(done: float, total: float, style: str) -> ProgressBar:
    return ProgressBar(total=max(total, 1), completed=min(max(done, 0), max(total, 1)), complete_style=style)


def _rows_gauge(snapshot: Snapshot) -> _Gauge:
    counts = f"{format_count(snapshot.rows_done)} of {format_count(snapshot.rows_total)}"
    words = f"{counts}, {percent_done(snapshot):.1f} %"
    return _Gauge("Rows", snapshot.rows_done, snapshot.rows_total, "green", words)


def _disk_gauge(snapshot: Snapshot) -> _Gauge:
    used, forecast, free = snapshot.disk_used_bytes, snapshot.disk_forecast_bytes, snapshot.disk_free_bytes
    budget = disk_limit_bytes(snapshot)
    style = "red" if forecast - used > min(free, budget - used) else _LEVEL_STYLES[snapshot.disk_level]
    words = f"{format_bytes(used)} of {format_bytes(budget)}, {format_bytes(forecast)} forecast"
    if snapshot.disk_level != _CALM:
        words = f"{words}, {snapshot.disk_level}"
    return _Gauge("Disk", used, budget, style, words)


def _ram_gauge(snapshot: Snapshot) -> _Gauge:
    used, total = snapshot.ram_used_bytes, snapshot.ram_total_bytes
    words = ram_in_words(snapshot)
    if snapshot.ram_level != _CALM:
        words = f"{words}, {snapshot.ram_level}"
    return _Gauge("RAM", used, total, _LEVEL_STYLES[snapshot.ram_level], words)


def _figures_per_line(width: int) -> int:
    return 4 if width >= _FOUR_FIGURES else 2


def _figures(snapshot: Snapshot, width: int) -> Table:
    figures = [
        ("speed", f"{format_rate(snapshot.rows_per_second)} clips/s"),
        ("real time", f"{format_rate(snapshot.audio_seconds_per_second)} x"),
        ("ETA", format_eta(snapshot.eta_seconds)),
        ("elapsed", format_seconds(snapshot.elapsed_seconds)),
        ("shards", f"{format_count(snapshot.units_done)} / {format_count(snapshot.units_total)}"),
        ("resumed", format_count(snapshot.rows_resumed)),
        ("quarantined", format_count(snapshot.rows_quarantined)),
        ("audio", format_audio(snapshot.audio_seconds)),
    ]
    columns = _figures_per_line(width)
    table = Table.grid(expand=True, padding=(0, 1, 0, 0))
    for _ in range(columns):
        table.add_column(ratio=1, no_wrap=True)
    cells = [Text.assemble((f"{name} ", "dim"), (value, "bold")) for name, value in figures]
    for start in range(0, len(cells), columns):
        table.add_row(*cells[start : start + columns])
    return table


def _actors(actors: Sequence[ActorView], width: int) -> Table:
    table = Table(box=None, expand=True, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("actor", justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True, min_width=10)
    if width >= _MEDIUM:
        table.add_column("shard", no_wrap=True, min_width=20)
    table.add_column("", ratio=1, min_width=6)
    if width >= _WIDE:
        table.add_column("rows", justify="right", no_wrap=True, min_width=13)
    table.add_column("clips/s", justify="right", no_wrap=True)
    if width >= _MEDIUM:
        table.add_column("memory", justify="right", no_wrap=True, min_width=7)
        table.add_column("restarts", justify="right", no_wrap=True)
    for actor in actors:
        table.add_row(*_actor_cells(actor, width))
    return table


def _actor_cells(actor: ActorView, width: int) -> list[RenderableType]:
    style = _STATE_STYLES[actor.state]
    cells: list[RenderableType] = [str(actor.number), Text(actor.state, style=style)]
    if width >= _MEDIUM:
        cells.append(_line(actor.unit))
    cells.append(_bar(actor.rows, actor.unit_rows, style) if actor.unit else "")
    if width >= _WIDE:
        cells.append(f"{format_count(actor.rows)} / {format_count(actor.unit_rows)}" if actor.unit else "")
    cells.append(format_rate(actor.rows_per_second))
    if width >= _MEDIUM:
        cells += [format_bytes(actor.memory_bytes), Text(str(actor.restarts), style="yellow" if actor.restarts else "")]
    return cells


def _events(events: Sequence[str], shown: int) -> list[Text]:
    last = [_line(event) for event in events[-shown:]]
    return last + [Text()] * (shown - len(last))

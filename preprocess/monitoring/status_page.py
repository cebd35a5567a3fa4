"""The status page: a run at one moment. Pure."""

from collections.abc import Sequence

from preprocess.monitoring.history import Event
from preprocess.monitoring.live_screen import format_eta, percent_done, ram_in_words
from preprocess.monitoring.snapshot import ActorView, Snapshot
from shared.pages.page_html import bar, figures, page, text
from shared.pages.page_html import events as events_list
from shared.units import format_audio, format_bytes, format_count, format_rate, format_seconds

REFRESH_SECONDS = 2
EVENTS_SHOWN = 20


def status_page(snapshot: Snapshot, title: str, events: Sequence[Event], phase: str = "") -> str:
    """*snapshot* and *phase* with the last *events*; everything that comes from data is escaped and on one line."""
    shown = list(events)[-EVENTS_SHOWN:][::-1]
    body = (
        f"<p>{text(phase)}</p>{_bars(snapshot)}{_figures(snapshot)}<h2>Actors</h2>{_actors(snapshot.actors)}<h2>Events</h2>"
        + events_list((format_seconds(event.elapsed_seconds), event.message) for event in shown)
    )
    percent = f"{percent_done(snapshot):.1f} % - speech-prep"
    return page(body, title=percent, heading=title, refresh_seconds=REFRESH_SECONDS)


def _bars(snapshot: Snapshot) -> str:
    rows = f"{format_count(snapshot.rows_done)} of {format_count(snapshot.rows_total)}, {percent_done(snapshot):.1f} %"
    used, budget = snapshot.disk_used_bytes, snapshot.disk_budget_bytes
    forecast, free = format_bytes(snapshot.disk_forecast_bytes), format_bytes(snapshot.disk_free_bytes)
    disk = f"{format_bytes(used)} of {format_bytes(budget)} allowed, {forecast} forecast, {free} free"
    disk = f"{disk}; level {snapshot.disk_level}"
    ram = f"{ram_in_words(snapshot)}; level {snapshot.ram_level}"
    return (
        bar("Rows", snapshot.rows_done, snapshot.rows_total, rows, "done")
        + bar("Disk", used, budget, disk, snapshot.disk_level)
        + bar("RAM", snapshot.ram_used_bytes, snapshot.ram_total_bytes, ram, snapshot.ram_level)
    )


def _figures(snapshot: Snapshot) -> str:
    return figures(
        (
            ("speed", f"{format_rate(snapshot.rows_per_second)} clips/s"),
            ("real time", f"{format_rate(snapshot.audio_seconds_per_second)} x"),
            ("time left", format_eta(snapshot.eta_seconds)),
            ("elapsed", format_seconds(snapshot.elapsed_seconds)),
            ("shards", f"{format_count(snapshot.units_done)} / {format_count(snapshot.units_total)}"),
            ("resumed rows", format_count(snapshot.rows_resumed)),
            ("quarantined", format_count(snapshot.rows_quarantined)),
            ("audio done", format_audio(snapshot.audio_seconds)),
            ("level", snapshot.level),
            ("actor restarts", format_count(snapshot.actor_restarts)),
        )
    )


def _rows_of(actor: ActorView) -> str:
    return f"{format_count(actor.rows)} / {format_count(actor.unit_rows)}" if actor.unit else ""


def _actors(actors: Sequence[ActorView]) -> str:
    if not actors:
        return "<p>none yet</p>"
    head = '<th class="n">actor</th><th>state</th><th>shard</th><th class="n">rows</th><th class="n">clips/s</th>'
    rows = "".join(
        f'<tr><td class="n">{actor.number}</td><td>{text(actor.state)}</td><td class="w">{text(actor.unit)}</td>'
        f'<td class="n">{_rows_of(actor)}</td>'
        f'<td class="n">{format_rate(actor.rows_per_second)}</td>'
        f'<td class="n">{format_bytes(actor.memory_bytes)}</td></tr>'
        for actor in actors
    )
    return f'<div class="scroll"><table><tr>{head}<th class="n">memory</th></tr>{rows}</table></div>'

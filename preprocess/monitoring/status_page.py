"""The status page: a run at one moment as one HTML page without outside assets. Pure."""

from collections.abc import Sequence
from html import escape

from preprocess.monitoring.history import Event
from preprocess.monitoring.live_screen import format_eta, percent_done, ram_in_words
from preprocess.monitoring.snapshot import ActorView, Snapshot
from shared.text import one_line
from shared.units import format_audio, format_bytes, format_count, format_rate, format_seconds

REFRESH_SECONDS = 2
EVENTS_SHOWN = 20
_STYLE = """
:root{color-scheme:light dark;--bg:#fff;--fg:#1b1f24;--dim:#59636e;--line:#d1d9e0;--calm:#0969da;--good:#1a7f37;
--warn:#9a6700;--bad:#d1242f}
@media(prefers-color-scheme:dark){:root{--bg:#0d1117;--fg:#e6edf3;--dim:#9198a1;--line:#3d444d;--calm:#4493f8;
--good:#3fb950;--warn:#d29922;--bad:#f85149}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:64rem;padding:1rem;background:var(--bg);color:var(--fg);
font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.1rem;overflow-wrap:anywhere;margin:.2rem 0 1rem}
h2{font-size:1rem;margin:1.5rem 0 .5rem}
.bar{display:grid;grid-template-columns:4rem 1fr;gap:.2rem .8rem;align-items:center;margin:.6rem 0}
.bar>span{grid-column:2;color:var(--dim);font-size:.9rem}
.track{height:.8rem;border-radius:.4rem;background:var(--line);overflow:hidden}
.fill{height:100%;background:var(--calm)}
.normal .fill{background:var(--calm)}.done .fill{background:var(--good)}
.throttle .fill,.pause .fill{background:var(--warn)}.emergency .fill,.stop .fill{background:var(--bad)}
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.5rem,1fr));gap:.6rem;margin:1rem 0}
dt{color:var(--dim);font-size:.8rem}dd{margin:0;font-weight:600}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid var(--line);white-space:nowrap}
th{color:var(--dim);font-weight:500}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
ol{list-style:none;padding:0;margin:0;font-size:.9rem}li{padding:.15rem 0;overflow-wrap:anywhere}
time{color:var(--dim);margin-right:.8rem}
"""


def status_page(snapshot: Snapshot, title: str, events: Sequence[Event], phase: str = "") -> str:
    """*snapshot* and *phase* with the last *events*; everything that comes from data is escaped and on one line."""
    shown = list(events)[-EVENTS_SHOWN:][::-1]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}">'
        f"<title>{percent_done(snapshot):.1f} % - speech-prep</title><style>{_STYLE}</style></head><body>"
        f"<h1>{_text(title)}</h1><p>{_text(phase)}</p>{_bars(snapshot)}{_figures(snapshot)}"
        f"<h2>Actors</h2>{_actors(snapshot.actors)}<h2>Events</h2>{_events(shown)}</body></html>"
    )


def _text(text: str) -> str:
    return escape(one_line(text))


def _bars(snapshot: Snapshot) -> str:
    rows = f"{format_count(snapshot.rows_done)} of {format_count(snapshot.rows_total)}, {percent_done(snapshot):.1f} %"
    used, budget = snapshot.disk_used_bytes, snapshot.disk_budget_bytes
    forecast, free = format_bytes(snapshot.disk_forecast_bytes), format_bytes(snapshot.disk_free_bytes)
    disk = f"{format_bytes(used)} of {format_bytes(budget)} allowed, {forecast} forecast, {free} free"
    disk = f"{disk}; level {snapshot.disk_level}"
    ram = f"{ram_in_words(snapshot)}; level {snapshot.ram_level}"
    return (
        _bar("Rows", snapshot.rows_done, snapshot.rows_total, rows, "done")
        + _bar("Disk", used, budget, disk, snapshot.disk_level)
        + _bar("RAM", snapshot.ram_used_bytes, snapshot.ram_total_bytes, ram, snapshot.ram_level)
    )


def _bar(name: str, value: float, total: float, words: str, style: str) -> str:
    percent = 100 * min(1.0, max(0.0, value / total)) if total > 0 else 0.0
    return (
        f'<div class="bar {escape(style)}"><b>{name}</b><div class="track" role="progressbar" aria-label="{name}" '
        f'aria-valuenow="{percent:.1f}" aria-valuemin="0" aria-valuemax="100">'
        f'<div class="fill" style="width:{percent:.2f}%"></div></div><span>{_text(words)}</span></div>'
    )


def _figures(snapshot: Snapshot) -> str:
    figures = (
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
    return "<dl>" + "".join(f"<div><dt>{name}</dt><dd>{_text(value)}</dd></div>" for name, value in figures) + "</dl>"


def _actors(actors: Sequence[ActorView]) -> str:
    if not actors:
        return "<p>none yet</p>"
    head = '<th class="n">actor</th><th>state</th><th>shard</th><th class="n">rows</th><th class="n">clips/s</th>'
    rows = "".join(
        f'<tr><td class="n">{actor.number}</td><td>{_text(actor.state)}</td><td>{_text(actor.unit)}</td>'
        f'<td class="n">{format_count(actor.rows)} / {format_count(actor.unit_rows)}</td>'
        f'<td class="n">{format_rate(actor.rows_per_second)}</td>'
        f'<td class="n">{format_bytes(actor.memory_bytes)}</td></tr>'
        for actor in actors
    )
    return f'<div class="scroll"><table><tr>{head}<th class="n">memory</th></tr>{rows}</table></div>'


def _events(events: Sequence[Event]) -> str:
    if not events:
        return "<p>none</p>"
    lines = (f"<li><time>{format_seconds(event.elapsed_seconds)}</time>{_text(event.message)}</li>" for event in events)
    return f"<ol>{''.join(lines)}</ol>"

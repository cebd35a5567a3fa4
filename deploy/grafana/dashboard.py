"""Writes `dashboards/speech-prep.json`: `python deploy/grafana/dashboard.py`. Change this file, never the JSON."""

import json
from pathlib import Path
from typing import Any

OUTPUT = Path(__file__).parent / "dashboards" / "speech-prep.json"
DATASOURCE = {"type": "prometheus", "uid": "prometheus"}
SELECT = '{job="speech-prep",instance="$instance"}'
COLUMNS = 24
LEVEL_COLOURS = {"normal": "green", "throttle": "yellow", "pause": "orange", "emergency": "red", "stop": "dark-red"}

Panel = dict[str, Any]
Queries = dict[str, str]


def of(metric: str, labels: str = "") -> str:
    """*metric* of the chosen run; *labels* are further matchers."""
    return metric + (SELECT.replace("}", f",{labels}}}") if labels else SELECT)


def panel(kind: str, title: str, queries: Queries, *, width: int, height: int = 8, unit: str = "short") -> Panel:
    """A panel of *kind* that shows *queries* (legend to expression)."""
    targets = [
        {"refId": chr(ord("A") + number), "expr": expression, "legendFormat": legend, "datasource": DATASOURCE}
        for number, (legend, expression) in enumerate(queries.items())
    ]
    return {
        "type": kind,
        "title": title,
        "datasource": DATASOURCE,
        "targets": targets,
        "gridPos": {"w": width, "h": height},
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
        "options": {},
    }


def graph(title: str, queries: Queries, *, unit: str = "short", width: int = 12, stacked: bool = False) -> Panel:
    """Lines over time from zero upwards, or stacked areas."""
    made = panel("timeseries", title, queries, width=width, unit=unit)
    custom = {"lineWidth": 1, "fillOpacity": 25 if stacked else 0, "stacking": {"mode": "normal" if stacked else "none"}}
    made["fieldConfig"]["defaults"] |= {"min": 0, "custom": custom}
    made["options"] = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
    return made


def figure(title: str, expression: str, *, unit: str = "short", width: int = 4) -> Panel:
    """One number, the last one."""
    made = panel("stat", title, {title: expression}, width=width, height=4, unit=unit)
    made["options"] = {"reduceOptions": {"calcs": ["lastNotNull"]}, "graphMode": "none", "colorMode": "none"}
    return made


def gauge(title: str, expression: str, *, warn: float, alarm: float, width: int = 4) -> Panel:
    """A share, coloured from *warn* and from *alarm* on."""
    made = panel("gauge", title, {title: expression}, width=width, height=4, unit="percentunit")
    steps = [{"color": "green", "value": None}, {"color": "orange", "value": warn}, {"color": "red", "value": alarm}]
    made["fieldConfig"]["defaults"] |= {"min": 0, "max": 1, "thresholds": {"mode": "absolute", "steps": steps}}
    made["options"] = {"reduceOptions": {"calcs": ["lastNotNull"]}}
    return made


def timeline(title: str, resource: str) -> Panel:
    """The governor's level of *resource* over time: one line that takes the colour of the level that is set."""
    ordinal = " + ".join(
        f"{number} * max without (level) ({of('speech_prep_level', f'resource="{resource}",level="{name}"')})"
        for number, name in enumerate(LEVEL_COLOURS)
    )
    made = panel("state-timeline", title, {resource: ordinal}, width=12, height=4)
    names = {
        str(number): {"text": name, "color": colour, "index": number}
        for number, (name, colour) in enumerate(LEVEL_COLOURS.items())
    }
    made["fieldConfig"]["defaults"]["mappings"] = [{"type": "value", "options": names}]
    made["options"] = {"mergeValues": True, "showValue": "auto", "legend": {"showLegend": False}}
    return made


def rows() -> dict[str, list[Panel]]:
    """The dashboard from top to bottom: titles of rows and the panels in each."""
    used, total = of("speech_prep:disk_used_bytes:sum"), of("speech_prep_disk_budget_bytes")
    return {
        "Progress": [
            gauge("Done", of("speech_prep_progress_ratio"), warn=2, alarm=2),
            figure("Rows planned", of("speech_prep_rows_planned")),
            figure("Done at", of("speech_prep_eta_timestamp_seconds") + " * 1000", unit="dateTimeFromNow"),
            figure("Shards committed", of("speech_prep_units", 'state="committed"')),
            figure("Last commit", of("speech_prep_last_commit_timestamp_seconds") + " * 1000", unit="dateTimeFromNow"),
            figure("Audio written", of("speech_prep_audio_seconds_total"), unit="s"),
            graph("Progress", {"done": of("speech_prep_progress_ratio")}, unit="percentunit"),
            graph("Shards", {"{{state}}": of("speech_prep_units", 'state=~"open|waiting|committed"')}, stacked=True),
        ],
        "Throughput": [
            graph(
                "Rows a second",
                {"open shards included": of("speech_prep:rows:deriv1m"), "committed": of("speech_prep:samples:rate5m")},
            ),
            graph("Audio seconds a second", {"committed": of("speech_prep:audio_seconds:rate5m")}, width=6),
            graph("Bytes a second", {"committed": of("speech_prep:written_bytes:rate5m")}, unit="Bps", width=6),
        ],
        "Disk against its budget": [
            gauge("Budget used", f"{used} / ({total} > 0)", warn=0.9, alarm=0.97),
            figure("Store when done", of("speech_prep:disk_final_bytes:forecast"), unit="bytes"),
            figure("Budget", total, unit="bytes"),
            figure("Still to write", of("speech_prep_disk_missing_bytes"), unit="bytes"),
            figure("Free at the end", of("speech_prep:disk_free_bytes:at_end"), unit="bytes"),
            figure("Reclaimed", f"sum({of('speech_prep_reclaimed_bytes_total')})", unit="bytes"),
            graph(
                "Store and scratch",
                {
                    "used": used,
                    "reserved": of("speech_prep_disk_reserved_bytes"),
                    "when done": of("speech_prep:disk_final_bytes:forecast"),
                    "budget": total,
                },
                unit="bytes",
            ),
            graph(
                "Free on the disk",
                {"free": of("speech_prep_disk_free_bytes"), "reserve": of("speech_prep_disk_reserve_bytes")},
                unit="bytes",
            ),
        ],
        "Memory": [
            graph(
                "Working set against its limit",
                {
                    "working set": of("speech_prep_ram_working_set_bytes"),
                    "limit": of("speech_prep_ram_limit_bytes"),
                    "budget": of("speech_prep_ram_budget_bytes") + " > 0",
                },
                unit="bytes",
            ),
            graph("Of the limit", {"used": of("speech_prep:ram_working_set:ratio")}, unit="percentunit", width=6),
            graph(
                "Pressure: time in which something waited for memory",
                {"some": of("speech_prep_memory_pressure_ratio")},
                unit="percentunit",
                width=6,
            ),
        ],
        "Levels": [
            timeline("Disk", "disk"),
            timeline("Memory", "memory"),
            figure("Pauses", of("speech_prep_pauses_total")),
            figure("Paused", of("speech_prep_paused_seconds_total"), unit="s"),
            graph("Time at each level, of a second", {"{{level}}": f"rate({of('speech_prep_level_seconds_total')}[1m])"}),
            figure("Removals", f"sum({of('speech_prep_cleanups_total')})"),
        ],
        "Stages": [
            graph(
                "Share of each stage",
                {"{{stage}}": of("speech_prep:stage_seconds:share5m")},
                unit="percentunit",
                stacked=True,
            ),
            graph(
                "Actors' seconds a second",
                {"{{stage}}": f"rate({of('speech_prep_stage_seconds_total')}[5m])"},
                stacked=True,
            ),
        ],
        "Actors": [
            graph("Actors by state", {"{{state}}": of("speech_prep_actors")}, stacked=True),
            graph("Memory of each actor", {"actor {{actor}}": of("speech_prep_actor_memory_bytes")}, unit="bytes", width=6),
            graph(
                "Restarts in 15 minutes",
                {
                    "died": f"increase({of('speech_prep_actor_restarts_total')}[15m])",
                    "recycled": f"increase({of('speech_prep_actor_recycles_total')}[15m])",
                },
                width=6,
            ),
        ],
        "Quarantine": [
            gauge("Of all rows", of("speech_prep:quarantined:ratio"), warn=0.02, alarm=0.05),
            graph("Rows by reason", {"{{reason}}": of("speech_prep_quarantined_total") + " > 0"}, stacked=True, width=20),
        ],
    }


def place(titled: dict[str, list[Panel]]) -> list[Panel]:
    """Every panel with its id and place: from left to right, then below the tallest of the line."""
    placed: list[Panel] = []
    top = 0
    for title, panels in titled.items():
        placed.append({"type": "row", "title": title, "collapsed": False, "panels": []})
        placed[-1]["gridPos"] = {"x": 0, "y": top, "w": COLUMNS, "h": 1}
        top, left, tallest = top + 1, 0, 0
        for made in panels:
            size = made["gridPos"]
            if left + size["w"] > COLUMNS:
                top, left, tallest = top + tallest, 0, 0
            made["gridPos"] = {"x": left, "y": top, **size}
            left, tallest = left + size["w"], max(tallest, size["h"])
            placed.append(made)
        top += tallest
    return [{"id": number, **made} for number, made in enumerate(placed, 1)]


def dashboard() -> dict[str, Any]:
    """The whole dashboard, as Grafana's provisioning reads it."""
    instance = {
        "name": "instance",
        "label": "Run",
        "type": "query",
        "datasource": DATASOURCE,
        "query": 'label_values(speech_prep_build_info{job="speech-prep"}, instance)',
        "refresh": 2,
        "sort": 1,
    }
    return {
        "uid": "speech-prep",
        "title": "Speech preprocessing",
        "tags": ["speech-prep"],
        "schemaVersion": 39,
        "editable": False,
        "timezone": "browser",
        "refresh": "5s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [instance]},
        "annotations": {"list": [started()]},
        "panels": place(rows()),
    }


def started() -> dict[str, Any]:
    """A mark where a run begins."""
    expression = f"changes({of('speech_prep_start_timestamp_seconds')}[1m]) > 0"
    return {"name": "Run begins", "datasource": DATASOURCE, "enable": True, "iconColor": "blue", "expr": expression}


if __name__ == "__main__":
    OUTPUT.write_text(json.dumps(dashboard(), indent=2) + "\n")

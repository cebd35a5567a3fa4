"""Grafana panels as plain values: what each kind looks like, and where they stand."""  # noqa: INP001 - beside a script

from typing import Any

DATASOURCE = {"type": "prometheus", "uid": "prometheus"}
COLUMNS = 24
LEVEL_COLOURS = {"normal": "green", "throttle": "yellow", "pause": "orange", "emergency": "red", "stop": "dark-red"}

Panel = dict[str, Any]
Queries = dict[str, str]


def of(metric: str, labels: str = "") -> str:
    """*metric* of the chosen run of its service; *labels* are further matchers."""
    job = "speech-trainer" if metric.startswith("speech_trainer") else "speech-prep"
    more = f",{labels}" if labels else ""
    return f'{metric}{{job="{job}",instance="$instance"{more}}}'


def whole(rows: dict[str, list[Panel]], *, uid: str, title: str, job: str, metrics: str) -> dict[str, Any]:
    """A dashboard of one service, whose scrape job is *job* and whose metrics begin with *metrics*."""
    instance = {
        "name": "instance",
        "label": "Run",
        "type": "query",
        "datasource": DATASOURCE,
        "query": f'label_values({metrics}_build_info{{job="{job}"}}, instance)',
        "refresh": 2,
        "sort": 1,
    }
    return {
        "uid": uid,
        "title": title,
        "tags": ["speech-prep"],
        "schemaVersion": 39,
        "editable": False,
        "timezone": "browser",
        "refresh": "5s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [instance]},
        "annotations": {"list": [_started(metrics)]},
        "panels": place(rows),
    }


def _started(metrics: str) -> dict[str, Any]:
    """A mark where a run begins."""
    expression = f"changes({of(f'{metrics}_start_timestamp_seconds')}[1m]) > 0"
    return {"name": "Run begins", "datasource": DATASOURCE, "enable": True, "iconColor": "blue", "expr": expression}


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
    stacking = {"mode": "normal" if stacked else "none"}
    custom = {"lineWidth": 1, "fillOpacity": 25 if stacked else 0, "stacking": stacking}
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
    levels = [of("speech_prep_level", f'resource="{resource}",level="{name}"') for name in LEVEL_COLOURS]
    ordinal = " + ".join(f"{number} * max without (level) ({level})" for number, level in enumerate(levels))
    made = panel("state-timeline", title, {resource: ordinal}, width=12, height=4)
    names = {
        str(number): {"text": name, "color": colour, "index": number}
        for number, (name, colour) in enumerate(LEVEL_COLOURS.items())
    }
    made["fieldConfig"]["defaults"]["mappings"] = [{"type": "value", "options": names}]
    made["options"] = {"mergeValues": True, "showValue": "auto", "legend": {"showLegend": False}}
    return made


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

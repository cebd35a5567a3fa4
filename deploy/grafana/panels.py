"""Grafana panels as plain values: what each kind looks like, and where they stand."""  # noqa: INP001 - beside a script

from typing import Any

DATASOURCE = {"type": "prometheus", "uid": "prometheus"}
COLUMNS = 24
LEVEL_COLOURS = {"normal": "green", "throttle": "yellow", "pause": "orange", "emergency": "red", "stop": "dark-red"}

Panel = dict[str, Any]
Queries = dict[str, str]


def of(metric: str, labels: str = "") -> str:
    """*metric* of the chosen job and run; *labels* are further matchers."""
    more = f",{labels}" if labels else ""
    return f'{metric}{{job="$job",instance="$instance"{more}}}'


def whole(rows: dict[str, list[Panel]], *, uid: str, title: str, metrics: str) -> dict[str, Any]:
    """A dashboard of one service, whose metrics begin with *metrics*; the scrape job and the run are chosen on it."""
    info = f"{metrics}_build_info"
    job = _variable("job", "Job", f"label_values({info}, job)", "The scrape job in prometheus.yml, or a PodMonitor's")
    found = f'label_values({info}{{job="$job"}}, instance)'
    instance = _variable("instance", "Run", found, "Host and port of the run's metrics")
    return {
        "uid": uid,
        "title": title,
        "tags": ["speech-prep"],
        "schemaVersion": 39,
        "editable": False,
        "timezone": "browser",
        "refresh": "5s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [job, instance]},
        "annotations": {"list": [_started(metrics)]},
        "panels": place(rows),
    }


def _variable(name: str, label: str, query: str, description: str) -> dict[str, Any]:
    """A choice above the panels; it is asked for anew with every change of the time range."""
    return {
        "name": name,
        "label": label,
        "description": description,
        "type": "query",
        "datasource": DATASOURCE,
        "query": query,
        "refresh": 2,
        "sort": 1,
    }


def _started(metrics: str) -> dict[str, Any]:
    """A mark where a run begins."""
    expression = f"changes({of(f'{metrics}_start_timestamp_seconds')}[1m]) > 0"
    return {"name": "Run begins", "datasource": DATASOURCE, "enable": True, "iconColor": "blue", "expr": expression}


def panel(
    kind: str, title: str, description: str, queries: Queries, *, width: int, height: int = 8, unit: str = "short"
) -> Panel:
    """A panel of *kind* that shows *queries* (legend to expression); the *description* opens above its title."""
    targets = [
        {"refId": chr(ord("A") + number), "expr": expression, "legendFormat": legend, "datasource": DATASOURCE}
        for number, (legend, expression) in enumerate(queries.items())
    ]
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "targets": targets,
        "gridPos": {"w": width, "h": height},
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
        "options": {},
    }


def graph(
    title: str, description: str, queries: Queries, *, unit: str = "short", width: int = 12, stacked: bool = False
) -> Panel:
    """Lines over time from zero upwards, or stacked areas."""
    made = panel("timeseries", title, description, queries, width=width, unit=unit)
    stacking = {"mode": "normal" if stacked else "none"}
    custom = {"lineWidth": 1, "fillOpacity": 25 if stacked else 0, "stacking": stacking}
    made["fieldConfig"]["defaults"] |= {"min": 0, "custom": custom}
    made["options"] = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
    return made


def figure(title: str, description: str, expression: str, *, unit: str = "short", width: int = 4) -> Panel:
    """One number, the last one."""
    made = panel("stat", title, description, {title: expression}, width=width, height=4, unit=unit)
    made["options"] = {"reduceOptions": {"calcs": ["lastNotNull"]}, "graphMode": "none", "colorMode": "none"}
    return made


def gauge(title: str, description: str, expression: str, *, warn: float, alarm: float, width: int = 4) -> Panel:
    """A share, coloured from *warn* and from *alarm* on."""
    made = panel("gauge", title, description, {title: expression}, width=width, height=4, unit="percentunit")
    steps = [{"color": "green", "value": None}, {"color": "orange", "value": warn}, {"color": "red", "value": alarm}]
    made["fieldConfig"]["defaults"] |= {"min": 0, "max": 1, "thresholds": {"mode": "absolute", "steps": steps}}
    made["options"] = {"reduceOptions": {"calcs": ["lastNotNull"]}}
    return made


def timeline(title: str, description: str, resource: str) -> Panel:
    """The governor's level of *resource* over time: one line that takes the colour of the level that is set."""
    levels = [of("speech_prep_level", f'resource="{resource}",level="{name}"') for name in LEVEL_COLOURS]
    ordinal = " + ".join(f"{number} * max without (level) ({level})" for number, level in enumerate(levels))
    made = panel("state-timeline", title, description, {resource: ordinal}, width=12, height=4)
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

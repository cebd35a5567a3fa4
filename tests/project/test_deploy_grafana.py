"""The dashboard is what its script writes, and asks only for what exists."""

import json
import sys

import pytest

from preprocess.governor.policy import DISK, MEMORY, PSI_PERCENT, Level
from preprocess.monitoring.prometheus import LEVELS
from preprocess.settings import RunSettings
from tests.support.deploy import DEPLOY, METRIC_NAMES, documents, metrics_in, records_in, rules, run

GRAFANA = DEPLOY / "grafana"
SCRIPTS = {"speech-prep": "dashboard.py", "speech-trainer": "trainer_dashboard.py"}
DASHBOARDS = {name: json.loads((GRAFANA / "dashboards" / f"{name}.json").read_text()) for name in SCRIPTS}
ROWS = {
    "speech-prep": [
        "Progress",
        "Throughput",
        "Disk against its budget",
        "Memory",
        "Levels",
        "Stages",
        "Actors",
        "Quarantine",
    ],
    "speech-trainer": ["Progress", "Learning", "Speed", "GPU", "Checkpoints and trouble"],
}
PANELS = [panel for board in DASHBOARDS.values() for panel in board["panels"] if panel["type"] != "row"]
QUERIES = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
QUERIES += [(mark["name"], mark["expr"]) for board in DASHBOARDS.values() for mark in board["annotations"]["list"]]
# Facts about a run are for joins; the alerts ask whether it is complete.
FACTS = {
    f"{service}_{name}"
    for service in ("speech_prep", "speech_trainer")
    for name in ("build_info", "run_info", "complete")
}
NOT_SHOWN = {*FACTS, "speech_prep_rows_resumed", "speech_prep_phase"}
RECORDED = rules("recording.yml")


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_dashboard_is_what_its_script_writes(name, tmp_path):
    run(sys.executable, "-B", GRAFANA / SCRIPTS[name], tmp_path / "made.json")
    assert json.loads((tmp_path / "made.json").read_text()) == DASHBOARDS[name]


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_dashboard_has_its_rows_in_order(name):
    assert [panel["title"] for panel in DASHBOARDS[name]["panels"] if panel["type"] == "row"] == ROWS[name]


@pytest.mark.parametrize(("title", "expression"), QUERIES)
def test_every_query_asks_for_what_exists_and_for_one_run(title, expression):
    assert metrics_in(expression) <= METRIC_NAMES
    assert records_in(expression) <= {rule["record"] for rule in RECORDED}
    names = metrics_in(expression) | records_in(expression)
    assert names, title
    assert expression.count('job="$job",instance="$instance"') >= len(names)


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_every_panel_says_what_it_shows_in_more_words_than_its_title(panel):
    description = panel["description"]
    assert len(description.split()) >= 4
    assert panel["title"].lower() != description.lower()
    assert description[0].isupper()
    assert not description.endswith(".")


def test_descriptions_name_the_shares_at_which_the_governor_acts():
    said = {panel["title"]: panel["description"] for panel in PANELS}
    for title, ladder in (("Budget used", DISK), ("Of the limit", MEMORY)):
        held, paused = ladder.entries[Level.THROTTLE], ladder.entries[Level.PAUSE]
        assert f"held back at {held:.0%}, all pause at {paused:.0%}".replace("%", " %") in said[title]
    pressure = said["Pressure: time in which something waited for memory"]
    assert f"a pause follows from {PSI_PERCENT:g} % on" in pressure
    assert f"--max-quarantine ({RunSettings(demo=True).max_quarantine.replace('%', ' %')})" in said["Of all rows"]


@pytest.mark.parametrize("name", SCRIPTS)
def test_job_and_run_are_chosen_on_the_dashboard_and_the_runs_are_the_jobs_own(name):
    job, instance = DASHBOARDS[name]["templating"]["list"]
    info = f"{name.replace('-', '_')}_build_info"
    assert (job["name"], job["query"]) == ("job", f"label_values({info}, job)")
    assert (instance["name"], instance["query"]) == ("instance", f'label_values({info}{{job="$job"}}, instance)')
    assert all(len(choice["description"].split()) > 4 for choice in (job, instance))


def test_promtool_parses_every_query(tmp_path):
    expressions = [expression.replace("$instance", "i") for _, expression in QUERIES]
    file = {"groups": [{"name": "g", "rules": [{"record": f"r:{n}", "expr": e} for n, e in enumerate(expressions)]}]}
    (tmp_path / "queries.yml").write_text(json.dumps(file))
    run("promtool", "check", "rules", tmp_path / "queries.yml")


def test_every_metric_is_shown_or_recorded():
    asked = {name for _, expression in QUERIES for name in metrics_in(expression)}
    asked |= {name for rule in RECORDED for name in metrics_in(rule["expr"])}
    assert METRIC_NAMES - asked == NOT_SHOWN


def test_the_timelines_name_every_level():
    timelines = [panel for panel in PANELS if panel["type"] == "state-timeline"]
    for panel in timelines:
        (mapping,) = panel["fieldConfig"]["defaults"]["mappings"]
        assert [mapping["options"][str(number)]["text"] for number in range(len(LEVELS))] == list(LEVELS)
    assert len(timelines) == 2


@pytest.mark.parametrize("name", SCRIPTS)
def test_no_panel_lies_on_another(name):
    places = [panel["gridPos"] for panel in DASHBOARDS[name]["panels"]]
    cells = [
        (x, y) for at in places for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in DASHBOARDS[name]["panels"]}) == len(places)


def test_provisioning_names_the_datasource_that_the_panels_use():
    (source,) = documents(GRAFANA / "provisioning" / "datasources" / "prometheus.yml")[0]["datasources"]
    assert {panel["datasource"]["uid"] for panel in PANELS} == {source["uid"]}
    (provider,) = documents(GRAFANA / "provisioning" / "dashboards" / "speech-prep.yml")[0]["providers"]
    assert provider["options"]["path"] == "/etc/grafana/dashboards"

"""Prometheus's own promtool reads the configuration and tries every alert (Debian: `apt-get install prometheus`)."""

import re

import pytest

from tests.support.deploy import METRIC_NAMES, PROMETHEUS, documents, metrics_in, records_in, rules, run

ALERTS = rules("alerts.yml")
RECORDS = {rule["record"] for rule in rules("recording.yml")}
SEVERITIES = {"critical", "warning", "info"}


def test_promtool_accepts_configuration_and_rules():
    report = run("promtool", "check", "config", PROMETHEUS / "prometheus.yml")
    assert "2 rule files found" in report
    assert f"{len(ALERTS)} rules found" in report
    run("promtool", "check", "rules", "--lint-fatal", PROMETHEUS / "recording.yml", PROMETHEUS / "alerts.yml")


def test_promtools_unit_tests_pass():
    run("promtool", "test", "rules", PROMETHEUS / "tests.yml")


@pytest.mark.parametrize("alert", [alert["alert"] for alert in ALERTS])
def test_every_alert_has_a_case_that_fires_it_and_one_that_does_not(alert):
    tests = documents(PROMETHEUS / "tests.yml")[0]["tests"]
    cases = [case for test in tests for case in test.get("alert_rule_test", ()) if case["alertname"] == alert]
    assert {bool(case["exp_alerts"]) for case in cases} == {True, False}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_every_alert_says_how_bad_what_and_what_to_do(alert):
    assert alert["labels"]["severity"] in SEVERITIES
    assert set(alert["annotations"]) == {"summary", "description", "runbook"}
    # A command that helps.
    assert re.search(r"python -m preprocess\.|curl |df |dmesg |duckdb |systemctl ", alert["annotations"]["description"])


@pytest.mark.parametrize(
    "rule", [*ALERTS, *rules("recording.yml")], ids=lambda rule: rule.get("alert", rule.get("record"))
)
def test_every_rule_asks_for_what_is_exported_or_recorded(rule):
    assert metrics_in(rule["expr"]) <= METRIC_NAMES
    assert records_in(rule["expr"]) <= RECORDS
    assert metrics_in(rule["expr"]) | records_in(rule["expr"])


def test_the_scrape_job_has_the_name_that_dashboard_and_rules_select():
    (job,) = documents(PROMETHEUS / "prometheus.yml")[0]["scrape_configs"]
    assert job["job_name"] == "speech-prep"
    assert documents(PROMETHEUS / "targets" / "host.yml")[0] == [{"targets": ["127.0.0.1:9108"]}]

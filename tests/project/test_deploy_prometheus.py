"""Prometheus's own promtool reads the configuration and tries every alert (Debian: `apt-get install prometheus`)."""

import re

import pytest

from preprocess.settings import RunSettings
from tests.support.deploy import METRIC_NAMES, PROMETHEUS, documents, metrics_in, records_in, rules, run
from trainer.settings import TrainSettings

ALERTS = [*rules("alerts.yml"), *rules("alerts-trainer.yml")]
TESTS = ("tests.yml", "tests-trainer.yml")
RECORDS = {rule["record"] for rule in rules("recording.yml")}
SEVERITIES = {"critical", "warning", "info"}


def test_promtool_accepts_configuration_and_rules():
    report = run("promtool", "check", "config", PROMETHEUS / "prometheus.yml")
    assert "3 rule files found" in report
    files = [PROMETHEUS / name for name in ("recording.yml", "alerts.yml", "alerts-trainer.yml")]
    run("promtool", "check", "rules", "--lint-fatal", *files)


@pytest.mark.parametrize("name", TESTS)
def test_promtools_unit_tests_pass(name):
    run("promtool", "test", "rules", PROMETHEUS / name)


@pytest.mark.parametrize("alert", [alert["alert"] for alert in ALERTS])
def test_every_alert_has_a_case_that_fires_it_and_one_that_does_not(alert):
    tests = [test for name in TESTS for test in documents(PROMETHEUS / name)[0]["tests"]]
    cases = [case for test in tests for case in test.get("alert_rule_test", ()) if case["alertname"] == alert]
    assert {bool(case["exp_alerts"]) for case in cases} == {True, False}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_every_alert_says_how_bad_what_and_what_to_do(alert):
    assert alert["labels"]["severity"] in SEVERITIES
    assert set(alert["annotations"]) == {"summary", "description", "runbook"}
    # A command that helps.
    assert re.search(
        r"python -m (?:preprocess|trainer)\.|curl |df |dmesg |duckdb |systemctl ", alert["annotations"]["description"]
    )


@pytest.mark.parametrize(
    "rule", [*ALERTS, *rules("recording.yml")], ids=lambda rule: rule.get("alert", rule.get("record"))
)
def test_every_rule_asks_for_what_is_exported_or_recorded(rule):
    assert metrics_in(rule["expr"]) <= METRIC_NAMES
    assert records_in(rule["expr"]) <= RECORDS
    assert metrics_in(rule["expr"]) | records_in(rule["expr"])


def test_the_scrape_jobs_have_the_names_that_dashboard_and_rules_select_and_the_ports_of_both_services():
    jobs = documents(PROMETHEUS / "prometheus.yml")[0]["scrape_configs"]
    assert [job["job_name"] for job in jobs] == ["speech-prep", "speech-trainer"]
    for name, settings in {"host.yml": RunSettings, "trainer/host.yml": TrainSettings}.items():
        port = settings.model_fields["metrics_port"].default
        assert documents(PROMETHEUS / "targets" / name)[0] == [{"targets": [f"127.0.0.1:{port}"]}]

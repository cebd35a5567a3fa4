"""Families as Prometheus reads them, and what a service does where its client library is missing."""

import subprocess
import sys
from http import HTTPStatus

import pytest
from prometheus_client.parser import text_string_to_metric_families

from shared.errors import UsageError
from shared.system.exposition import Families, exposition, write_exposition
from shared.system.status_pages import Pages, Request, Vitals

OURS = Families("ours")
FAMILIES = (
    OURS.gauge("depth_bytes", "how deep", 2),
    OURS.counter("turns", "how often", 3),
    OURS.counters("rows", "how many", "kind", {"good": 4, "bad": 0}),
    OURS.gauges("level", "where", ("what", "which"), {("disk", 'a"b'): True}),
    OURS.facts("info", "about", {"store": "/a b\n", "model": ""}),
)


def test_every_value_arrives_under_its_name_and_labels():
    found = [
        sample for family in text_string_to_metric_families(exposition(FAMILIES).decode()) for sample in family.samples
    ]
    assert [(sample.name, sample.labels, sample.value) for sample in found] == [
        ("ours_depth_bytes", {}, 2),
        ("ours_turns_total", {}, 3),
        ("ours_rows_total", {"kind": "good"}, 4),
        ("ours_rows_total", {"kind": "bad"}, 0),
        ("ours_level", {"what": "disk", "which": 'a"b'}, 1),
        ("ours_info", {"store": "/a b\n", "model": ""}, 1),
    ]
    assert {family.series for family in FAMILIES} == {sample.name for sample in found}


def test_without_the_client_library_the_other_pages_are_served_and_metrics_say_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    pages = Pages(lambda: exposition(FAMILIES), lambda: "page", Vitals())
    status, _, body = pages.answer(Request("/metrics", ("localhost",), "127.0.0.1"))
    assert status is HTTPStatus.NOT_IMPLEMENTED
    assert b"pip install prometheus-client" in body
    assert pages.answer(Request("/", ("localhost",), "127.0.0.1"))[0] is HTTPStatus.OK
    with pytest.raises(UsageError, match="pip install prometheus-client"):
        write_exposition(tmp_path / "run.prom", FAMILIES)


def test_nobody_pays_for_the_client_library_before_somebody_asks():
    program = (
        "import sys, shared.system.exposition, shared.system.http_server; assert 'prometheus_client' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_takes_its_time_is_alive_until_its_next_beat():
    times = iter([0.0, 100.0, 100.0, 1_000.0])
    vitals = Vitals(lambda: next(times), silent_seconds=90.0)
    vitals.beat()
    assert not vitals.alive
    vitals.rest()
    assert vitals.alive
    vitals.beat()
    assert not vitals.alive

"""The status page: what it shows, and that data cannot become markup."""

from dataclasses import replace

import pytest

from preprocess.monitoring.history import Event
from preprocess.monitoring.snapshot import ActorState, ActorView, Snapshot
from preprocess.monitoring.status_page import EVENTS_SHOWN, status_page
from tests.support.html import Page

SNAPSHOT = Snapshot(
    elapsed_seconds=125.0,
    rows_total=1_000,
    rows_done=250,
    rows_per_second=40.0,
    eta_seconds=19.0,
    units_total=20,
    units_done=5,
    disk_used_bytes=3_000_000_000,
    disk_budget_bytes=12_000_000_000,
    disk_forecast_bytes=11_000_000_000,
    ram_used_bytes=8_000_000_000,
    ram_total_bytes=16_000_000_000,
    disk_level="throttle",
    level="throttle",
    actors=(ActorView(0, ActorState.WORKING, "train-00001-of-00020.parquet", 10, 50, 8.0, 140_000_000),),
)
HOSTILE = "</title><script>alert(1)</script><img src=x onerror=alert(1)>\x1b[31m\nü"


@pytest.mark.parametrize(
    "words",
    ["250 of 1,000, 25.0 %", "3.0 GB of 12.0 GB allowed, 11.0 GB forecast", "level throttle", "8.0 GB of 16.0 GB",
     "40 clips/s", "5 / 20", "train-00001-of-00020.parquet", "10 / 50", "140 MB", "made room"],
)  # fmt: skip
def test_it_says_what_a_person_wants_to_know(words):
    assert words in Page(status_page(SNAPSHOT, "demo -> store", [Event(3.0, "made room")])).text


def test_bars_are_as_long_as_their_share():
    styles = [value for tag, name, value in Page(status_page(SNAPSHOT, "", [])).attributes if name == "style"]
    assert styles == ["width:25.00%", "width:25.00%", "width:50.00%"]


def test_it_is_well_formed_refreshes_itself_and_needs_nothing_else():
    page = Page(status_page(SNAPSHOT, "t", []))
    assert page.open == []
    assert ("meta", "http-equiv", "refresh") in page.attributes
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert not [value for _, name, value in page.attributes if name in {"src", "href"}]


def test_names_from_the_data_are_text_and_nothing_else():
    plain = Page(status_page(SNAPSHOT, "t", [Event(0.0, "e")]))
    actor = replace(SNAPSHOT.actors[0], unit=HOSTILE)
    hostile = Page(status_page(replace(SNAPSHOT, actors=(actor,)), HOSTILE, [Event(0.0, HOSTILE)]))
    assert hostile.tags == plain.tags
    assert "\x1b" not in hostile.text
    assert "<script>alert(1)</script>" in hostile.text


def test_the_last_events_come_first_and_old_ones_go():
    events = [Event(float(number), f"event {number}.") for number in range(100)]
    text = Page(status_page(SNAPSHOT, "t", events)).text
    assert text.index("event 99.") < text.index("event 98.")
    assert f"event {99 - EVENTS_SHOWN}." not in text


def test_a_run_that_has_not_begun_has_a_page_too():
    assert "0 of 0" in Page(status_page(Snapshot(elapsed_seconds=0.0, rows_total=0), "t", [])).text

"""One undisturbed run, on a store with a very long path: what it makes, shows to the world, and leaves behind."""

import json
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from shared.layout import StoreLayout
from tests.support.browser import rendered
from tests.support.runs import left_behind

LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
ONE_MEGABYTE = 1_000_000


def test_it_ends_well_with_five_actors_and_the_store_verifies(straight):
    assert straight.status == 0, straight.stderr
    assert straight.seen.actors == 5
    command = [sys.executable, "-m", "preprocess.verify", "--store", str(straight.store)]
    assert subprocess.run(command, check=False).returncode == 0


def test_it_says_nothing_on_stderr(straight):
    assert straight.stderr == ""


def test_nothing_is_left_of_it_but_the_store(straight):
    assert left_behind(straight.store) == []
    assert {path.name for path in straight.store.iterdir()} == {
        *("COMPLETE", "README.md", "data", "index", "provenance", "quarantine", "report.html", "settings.json"),
        "store.json",
    }
    assert straight.left_in_memory == []


def test_its_sockets_and_rays_and_its_pages_listen_on_loopback_only(straight):
    addresses, ports = zip(*straight.seen.listening, strict=True)
    assert set(addresses) <= LOOPBACK
    assert straight.seen.port in ports
    assert len(ports) > 1


def test_rays_servers_ask_for_a_token_that_is_told_nowhere(straight):
    assert straight.seen.auth_modes == ["token"]
    assert len(straight.seen.token) > 8
    said = straight.scraped.metrics + straight.scraped.page + straight.stdout + straight.stderr
    assert straight.seen.token not in said


def test_rays_autoscaler_dashboard_and_log_monitor_do_not_run(straight):
    # They keep their scripts' names; its agents and the actors give themselves others.
    assert straight.seen.scripts == []


def test_features_do_not_pass_through_rays_object_store(straight):
    assert 0 <= straight.seen.object_store_bytes < ONE_MEGABYTE


def test_its_figures_are_those_of_its_store(straight):
    layout, told = StoreLayout(straight.store), straight.scraped
    written = sum(pq.read_metadata(path).num_rows for path in layout.data.glob("*.parquet"))
    quarantined = sum(pq.read_metadata(path).num_rows for path in layout.quarantine.glob("*.parquet"))
    assert told.value("samples_total", outcome="written") == written
    assert told.value("samples_total", outcome="quarantined") == quarantined
    assert told.value("shards_total") == len(list(layout.data.glob("*.parquet")))
    assert told.value("written_bytes_total") == sum(path.stat().st_size for path in layout.data.glob("*.parquet"))
    complete = json.loads(layout.complete.read_text())
    audio = sum(split["audio_seconds"] for split in complete["splits"].values())
    assert told.value("audio_seconds_total") == pytest.approx(audio, abs=0.01)
    assert (told.value("progress_ratio"), told.value("complete")) == (1.0, 1.0)


def test_it_is_alive_all_the_time_and_ready_in_the_end_and_no_counter_falls(straight):
    assert set(straight.scraped.health) == {200}
    assert set(straight.scraped.ready) == {200, 503}
    assert straight.scraped.fallen == []
    assert straight.scraped.page.startswith("<!doctype html>")


def test_it_leaves_a_page_with_its_figures_charts_and_pictures(straight, tmp_path):
    document = rendered(f"file://{straight.store}/report.html", tmp_path / "profile")
    assert "Store complete" in document
    assert document.count("data:image/png;base64,") == 3
    assert document.count("<svg") >= 4
    for words in ("rows written", "Forecast and outcome", "preprocess.verify"):
        assert words in document
    assert "http://" not in document.replace("http://127.0.0.1", "").replace("http://www.w3.org", "")

"""A real run as others see it: scraped, probed, and on which addresses it can be reached."""

import http.client
import json
import re
import subprocess
import threading
import time
from dataclasses import dataclass, field

import psutil
import pyarrow.parquet as pq
import pytest
from prometheus_client.parser import text_string_to_metric_families

from shared.layout import StoreLayout


@dataclass
class Scraper:
    """Asks a run for its metrics again and again; *last* is what it said last, *health* every answer to `/healthz`."""

    port: int
    last: dict = field(default_factory=dict)
    fallen: list = field(default_factory=list)
    health: set = field(default_factory=set)
    ready: set = field(default_factory=set)
    pages: int = 0

    def __post_init__(self):
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()

    def ask(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    def _run(self):
        while not self._done.wait(0.1):
            try:
                self._look()
            except OSError:
                # Not yet up, or gone.
                continue

    def _look(self):
        text = self.ask("/metrics")[1]
        found = {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
        counters = {key: value for key, value in found.items() if key[0].endswith("_total")}
        self.fallen += [key for key, value in counters.items() if value < self.last.get(key, 0)]
        self.last = found
        self.health.add(self.ask("/healthz")[0])
        self.ready.add(self.ask("/readyz")[0])
        self.pages += self.ask("/")[1].startswith("<!doctype html>")


def url_of(run):
    """The port that a run with `--metrics-port 0` says it serves on."""
    found = re.search(r"http://127\.0\.0\.1:(\d+)/", run.stdout.read_text())
    return int(found[1]) if found else None


def value(scraper, name, **labels):
    return scraper.last[f"speech_prep_{name}", *sorted(labels.items())]


@pytest.fixture
def watched(start):
    """A run with metrics, scraped from its start to its end."""

    def begin(*options, **more):
        run = start("--metrics", "--metrics-port", "0", "--metrics-linger", "2", *options, **more)
        assert run.until(lambda: url_of(run)), run.messages()
        return run, Scraper(url_of(run))

    return begin


def test_the_figures_of_a_run_are_those_of_its_store(watched):
    run, scraper = watched()
    with scraper:
        assert run.wait() == 0, run.messages()
    layout = StoreLayout(run.store)
    written = sum(pq.read_metadata(path).num_rows for path in layout.data.glob("*.parquet"))
    quarantined = sum(pq.read_metadata(path).num_rows for path in layout.quarantine.glob("*.parquet"))
    assert value(scraper, "samples_total", outcome="written") == written
    assert value(scraper, "samples_total", outcome="quarantined") == quarantined
    assert value(scraper, "shards_total") == len(list(layout.data.glob("*.parquet")))
    assert value(scraper, "written_bytes_total") == sum(path.stat().st_size for path in layout.data.glob("*.parquet"))
    complete = json.loads(layout.complete.read_text())
    audio = sum(split["audio_seconds"] for split in complete["splits"].values())
    assert value(scraper, "audio_seconds_total") == pytest.approx(audio, abs=0.01)
    assert (value(scraper, "progress_ratio"), value(scraper, "complete")) == (1.0, 1.0)
    assert scraper.fallen == []
    assert scraper.health == {200}
    assert scraper.ready == {200, 503}
    assert scraper.pages > 0


def test_a_pause_does_not_fail_liveness_and_is_told(watched, small_disk):
    store = small_disk.seen / "store"
    run, scraper = watched("--disk-reserve", "20MB", prefix=small_disk.enter)
    with scraper:
        assert run.until(lambda: list(store.glob("data/*"))), run.messages()
        with run.held():
            small_disk.fill(leave_bytes=15 << 20)
        assert run.until(lambda: value(scraper, "level", resource="disk", level="emergency") == 1), run.messages()
        time.sleep(2)
        small_disk.free()
        assert run.wait() == 0, run.messages()
    assert scraper.health == {200}
    assert value(scraper, "pauses_total") >= 1
    assert value(scraper, "paused_seconds_total") >= 2


def test_a_run_listens_on_loopback_only_and_tells_no_secret(watched):
    run, scraper = watched()
    assert run.until(run.committed), run.messages()
    with run.held():
        processes = [psutil.Process(run.process.pid), *run.processes()]
        listing = subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True, check=True).stdout
        secrets = {process.environ()["RAY_AUTH_TOKEN"] for process in run.named("raylet")}
    said = scraper.ask("/metrics")[1] + scraper.ask("/")[1]
    assert run.wait() == 0, run.messages()
    pids = {process.pid for process in processes}
    ours = [line.split()[3] for line in listing.splitlines() if any(f"pid={pid}," in line for pid in pids)]
    assert len(ours) > 1
    assert {address.rpartition(":")[0] for address in ours} <= {"127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"}
    assert secrets
    assert not [secret for secret in secrets if secret in said + run.stdout.read_text() + run.messages()]


def test_a_second_run_on_the_same_port_works_without_pages(watched, start, tmp_path):
    run, scraper = watched()
    second = start("--metrics", "--metrics-port", str(scraper.port), store=tmp_path / "second")
    assert second.wait() == 0, second.messages()
    assert "no metrics: 127.0.0.1" in second.stdout.read_text()
    assert run.wait() == 0

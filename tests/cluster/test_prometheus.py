"""A Prometheus server from Debian beside a real run: it scrapes it, our rules load, and an alert fires in need.

A minute is a second here: the rules' durations and the scrape intervals are shortened alike, their texts are ours.
"""

import json
import re
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from contextlib import contextmanager, suppress

from tests.support.runs import REPOSITORY
from tests.support.scraper import Scraper
from tests.support.stores import differences

RULES = REPOSITORY / "deploy" / "prometheus"
START_SECONDS = 60


def hurried(text):
    """*text* with seconds for minutes, and thresholds in seconds divided by sixty."""
    text = re.sub(r"\b(\d+)m\b", r"\1s", text)
    text = re.sub(r"(interval|timeout): \d+s", r"\1: 500ms", text)
    return re.sub(r"> (\d+)00\b", lambda found: f"> {int(found[1]) * 100 / 60:.0f}", text)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Prometheus:
    """A server with our configuration that scrapes *target*."""

    def __init__(self, folder, target):
        self.port = free_port()
        shutil.copytree(RULES, folder / "prometheus")
        for path in (folder / "prometheus").glob("*.yml"):
            path.write_text(hurried(path.read_text()))
        targets = folder / "prometheus" / "targets"
        for path in targets.glob("*.yml"):
            path.unlink()
        (targets / "run.yml").write_text(json.dumps([{"targets": [target]}]))
        self._command = [
            "prometheus",
            f"--config.file={folder / 'prometheus' / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]
        self._log = folder / "prometheus.log"

    @contextmanager
    def running(self):
        """The server while the block runs."""
        with self._log.open("wb") as log, subprocess.Popen(self._command, stdout=log, stderr=log) as server:
            try:
                assert self.until(lambda: self.get("/-/ready", raw=True)), self._log.read_text()
                yield self
            finally:
                server.terminate()

    def get(self, path, *, raw=False, **query):
        url = f"http://127.0.0.1:{self.port}{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return True if raw else json.load(answer)["data"]

    def value(self, expression):
        """The one value of *expression*; None while there is none."""
        result = self.get("/api/v1/query", query=expression)["result"]
        return float(result[0]["value"][1]) if result else None

    def firing(self):
        """Names of the alerts that fire."""
        return {
            alert["labels"]["alertname"] for alert in self.get("/api/v1/alerts")["alerts"] if alert["state"] == "firing"
        }

    def until(self, condition, seconds=START_SECONDS):
        """Waits until *condition* holds; False when the time was up before."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            # A server that is not up yet refuses; the end of the wait tells if it stays so.
            with suppress(OSError):
                if condition():
                    return True
            time.sleep(0.2)
        return False


def test_a_run_that_is_starved_of_disk_waits_alive_and_raises_the_alarm_and_once_there_is_room_goes_on_and_says_so(
    start, straight, small_disk, tmp_path
):
    store, port = small_disk.seen / "store", free_port()
    options = ["--disk-reserve", "20MB", "--metrics", "--metrics-port", str(port), "--metrics-linger", "20"]
    run = start(*options, prefix=small_disk.enter)
    folder = tmp_path.parent / f"{tmp_path.name}-prometheus"
    folder.mkdir()
    with Prometheus(folder, f"127.0.0.1:{port}").running() as server, Scraper(port) as scraper:
        groups = server.get("/api/v1/rules")["groups"]
        assert sum(len(group["rules"]) for group in groups) > 8
        assert [rule["lastError"] for group in groups for rule in group["rules"] if rule.get("lastError")] == []
        assert run.until(lambda: list(store.glob("data/*"))), run.messages()
        with run.held():
            small_disk.fill(leave_bytes=15 << 20)
        assert server.until(lambda: "SpeechPrepPausedTooLong" in server.firing()), server.get("/api/v1/alerts")
        assert server.value('up{job="speech-prep"}') == 1
        assert server.value('speech_prep_level{resource="disk",level="emergency"}') == 1
        small_disk.free()
        assert server.until(lambda: server.value("speech_prep_complete") == 1), run.messages()
        assert server.value("speech_prep_progress_ratio") == 1
        assert server.until(lambda: "SpeechPrepCompleted" in server.firing()), server.get("/api/v1/alerts")
    assert run.wait() == 0, run.messages()
    assert differences(store, straight.expected) == []
    assert set(scraper.seen.health) == {200}
    assert scraper.seen.value("pauses_total") >= 1
    assert scraper.seen.value("paused_seconds_total") >= 2

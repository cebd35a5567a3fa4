"""Asks a run for its pages from its start to its end, as Prometheus and a probe do."""

import http.client
import re
import threading
from dataclasses import dataclass, field
from typing import Self

from prometheus_client.parser import text_string_to_metric_families

from tests.support.runs import Run


def port_of(run: Run) -> int | None:
    """The port that a run with `--metrics-port 0` says it serves on."""
    found = re.search(r"http://127\.0\.0\.1:(\d+)/", run.stdout.read_text())
    return int(found[1]) if found else None


@dataclass
class Scraped:
    """What a run said last on *metrics* and on its status *page*, and all its answers on health and readiness.

    *fallen* names counters that were ever lower than before.
    """

    metrics: str = ""
    page: str = ""
    health: list[int] = field(default_factory=list)
    ready: list[int] = field(default_factory=list)
    fallen: list[str] = field(default_factory=list)

    def value(self, name: str, **labels: str) -> float:
        """The last value of our metric *name*."""
        return samples(self.metrics)[f"speech_prep_{name}", *sorted(labels.items())]


def samples(metrics: str) -> dict[tuple[object, ...], float]:
    """Value by name and labels."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
    }


class Scraper:
    """Fills *seen* while the block runs."""

    def __init__(self, port: int) -> None:
        self.port, self.seen = port, Scraped()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.wait(0.2):
            try:
                self._look()
            except (OSError, http.client.HTTPException):
                # Not yet up, or gone.
                continue

    def _look(self) -> None:
        metrics = self._ask("/metrics")[1]
        before = samples(self.seen.metrics)
        counters = {key: value for key, value in samples(metrics).items() if str(key[0]).endswith("_total")}
        self.seen.fallen += [str(key) for key, value in counters.items() if value < before.get(key, 0)]
        self.seen.metrics = metrics
        self.seen.health.append(self._ask("/healthz")[0])
        self.seen.ready.append(self._ask("/readyz")[0])
        self.seen.page = self._ask("/")[1]

    def _ask(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

"""Metrics in Prometheus's exposition format: what a service measures as plain families, and their text.

The only module that imports prometheus_client, and not before somebody asks for the text: who has not installed it can
do without. Every series is there from the start, with zero.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.errors import UsageError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

_Names = str | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: a value for each of *samples*' label values, which are *labels*'; *counts* where it never falls."""

    name: str
    text: str
    samples: Sequence[tuple[tuple[str, ...], float]]
    labels: tuple[str, ...] = ()
    counts: bool = False

    @property
    def series(self) -> str:
        """The name that a query asks for."""
        return f"{self.name}_total" if self.counts else self.name


@dataclass(frozen=True, slots=True)
class Families:
    """Makes the families of one service, whose names begin with *prefix*."""

    prefix: str

    def gauge(self, name: str, text: str, value: float) -> Family:
        """One value that may fall."""
        return self.gauges(name, text, (), {(): value})

    def gauges(self, name: str, text: str, labels: _Names, values: Mapping[Any, float]) -> Family:
        """A value for each value of the label, or for each tuple of several labels' values."""
        return Family(f"{self.prefix}_{name}", text, _samples(values), _tuple(labels))

    def facts(self, name: str, text: str, labels: Mapping[str, str]) -> Family:
        """What is known in words: a 1 with *labels*."""
        return self.gauges(name, text, tuple(labels), {tuple(labels.values()): 1.0})

    def counter(self, name: str, text: str, value: float) -> Family:
        """One count; `_total` is put behind *name*."""
        return self.counters(name, text, (), {(): value})

    def counters(self, name: str, text: str, labels: _Names, values: Mapping[Any, float]) -> Family:
        """As `gauges`, for counts."""
        return Family(f"{self.prefix}_{name}", text, _samples(values), _tuple(labels), counts=True)


def exposition(families: Iterable[Family]) -> bytes:
    """*families* in the exposition format, version 0.0.4. Raises UsageError as `require_client` does."""
    require_client()
    from prometheus_client import generate_latest  # noqa: PLC0415 - optional, see the module

    return generate_latest(_registry(families))


def write_exposition(path: Path, families: Iterable[Family]) -> None:
    """A file for node_exporter's textfile collector, put in place at once. Raises OSError, and as `exposition`."""
    require_client()
    from prometheus_client import write_to_textfile  # noqa: PLC0415 - as above

    write_to_textfile(str(path), _registry(families))


def require_client() -> None:
    """Raises UsageError where prometheus_client is not installed."""
    try:
        import prometheus_client  # noqa: F401, PLC0415 - as above
    except ImportError as error:
        raise UsageError("prometheus_client is not installed", "pip install prometheus-client, for metrics") from error


def _registry(families: Iterable[Family]) -> "CollectorRegistry":
    from prometheus_client import CollectorRegistry  # noqa: PLC0415 - as above
    from prometheus_client.registry import Collector  # noqa: PLC0415 - as above

    class Collected(Collector):
        def collect(self) -> Iterator["Metric"]:
            return map(_metric, families)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collected())
    return registry


def _metric(family: Family) -> "Metric":
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily  # noqa: PLC0415 - as above

    kind = CounterMetricFamily if family.counts else GaugeMetricFamily
    metric = kind(family.name, family.text, labels=list(family.labels))
    for values, value in family.samples:
        metric.add_metric(list(values), value)
    return metric


def _samples(values: Mapping[Any, float]) -> tuple[tuple[tuple[str, ...], float], ...]:
    return tuple((_tuple(key), float(value)) for key, value in values.items())


def _tuple(names: _Names) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else names

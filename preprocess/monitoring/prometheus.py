"""A run as Prometheus metrics, made from its last snapshot when somebody asks. The only module that imports
prometheus_client.

Counters count committed work of this run only, so that they never fall, and `rows_resumed` and what earlier runs
committed make up the rest of the store. Every series exists from the start, with zero.
"""

import math
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest, write_to_textfile
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from preprocess.features.stages import STAGES
from preprocess.governor.policy import Level
from preprocess.monitoring.snapshot import ActorState, Snapshot
from preprocess.phases import Phase
from shared.schema import QuarantineReason

PREFIX = "speech_prep"
KINDS = ("file", "folder", "link", "other")
"""What cleanup removes."""
LEVELS = tuple(level.name.lower() for level in Level)
_PAUSED = tuple(level.name.lower() for level in Level if level >= Level.PAUSE)


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What does not change while a run goes on; *started_at* is Unix time. Nothing here is secret."""

    run_id: str
    store: str
    source: str
    plan_digest: str
    started_at: float
    ram_budget_bytes: int = 0


NO_FACTS = RunFacts("", "", "", "", 0.0)
NOTHING = Snapshot(elapsed_seconds=0.0, rows_total=0)


class RunMetrics(Collector):
    """The metrics of one run: *facts*, last *snapshot*, *phase*, whether it is *complete*; set from any thread."""

    def __init__(self) -> None:
        self.facts = NO_FACTS
        self.complete = False
        self.phase: Phase | None = None
        self.snapshot = NOTHING
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> bytes:
        """The exposition format, version 0.0.4."""
        return generate_latest(self._registry)

    def write(self, path: Path) -> None:
        """A file for node_exporter's textfile collector, put in place at once. Raises OSError."""
        write_to_textfile(str(path), self._registry)

    def collect(self) -> Iterator[Metric]:
        """Called by the registry for every scrape."""
        snapshot = self.snapshot
        yield from _about(self.facts)
        phases = {str(name): float(name == self.phase) for name in Phase}
        yield _gauges("phase", "1 at what the run is at", "phase", phases)
        yield from _work(snapshot)
        yield from _progress(snapshot, self.facts.started_at)
        yield from _actors(snapshot)
        yield from _disk(snapshot, self.facts.store)
        yield from _memory(snapshot, self.facts.ram_budget_bytes)
        yield from _governor(snapshot)
        yield _gauge("complete", "1 once the store is finished", float(self.complete))


def _about(facts: RunFacts) -> Iterator[Metric]:
    versions = {"version": version("whisper-speech-prep"), "python": platform.python_version()}
    versions |= {name: version(name) for name in ("ray", "pyarrow")}
    yield _labelled_gauge("build_info", "versions of the software", versions)
    run = {"run_id": facts.run_id, "store": facts.store, "source": facts.source, "plan_digest": facts.plan_digest}
    yield _labelled_gauge("run_info", "what the run is about", run)


def _work(snapshot: Snapshot) -> Iterator[Metric]:
    quarantined = {str(reason): float(snapshot.quarantined.get(reason, 0)) for reason in QuarantineReason}
    outcomes = {"written": float(snapshot.rows_written), "quarantined": sum(quarantined.values())}
    yield _counters("samples", "rows of committed shards, by outcome", "outcome", outcomes)
    yield _counters("quarantined", "rows of committed shards that could not be used, by reason", "reason", quarantined)
    yield _counter("audio_seconds", "audio written in committed shards", snapshot.committed_audio_seconds)
    yield _counter("shards", "shards committed", snapshot.units_done - snapshot.units_resumed)
    yield _counter("written_bytes", "bytes of committed shards", snapshot.written_bytes)
    stages = {stage: snapshot.stage_seconds.get(stage, 0.0) for stage in STAGES}
    yield _counters("stage_seconds", "actor time by stage, of committed shards", "stage", stages)


def _progress(snapshot: Snapshot, started_at: float) -> Iterator[Metric]:
    done, open_units = snapshot.units_done, snapshot.units_open
    units = {
        "planned": snapshot.units_total,
        "committed": done,
        "open": open_units,
        "waiting": max(0, snapshot.units_total - done - open_units),
    }
    yield _gauges("units", "shards of the plan, by state; planned is all", "state", units)
    yield _gauge("rows_planned", "rows of the plan", snapshot.rows_total)
    yield _gauge("rows_resumed", "rows that earlier runs committed", snapshot.rows_resumed)
    ratio = snapshot.rows_done / snapshot.rows_total if snapshot.rows_total else 0.0
    yield _gauge("progress_ratio", "rows done of those planned, open shards included", ratio)
    now = started_at + snapshot.elapsed_seconds
    eta = math.nan if snapshot.eta_seconds is None else now + snapshot.eta_seconds
    yield _gauge("eta_timestamp_seconds", "when the run will be done, NaN while that is unknown", eta)
    yield _gauge("start_timestamp_seconds", "when the run began", started_at)
    last = started_at + (snapshot.last_commit_seconds or 0.0)
    yield _gauge("last_commit_timestamp_seconds", "the last commit, or the start where there is none yet", last)


def _actors(snapshot: Snapshot) -> Iterator[Metric]:
    states = {str(state): sum(actor.state == state for actor in snapshot.actors) for state in ActorState}
    yield _gauges("actors", "actors by state", "state", states)
    yield _counter("actor_restarts", "actors that died or were ended for want of memory", snapshot.actor_restarts)
    yield _counter("actor_recycles", "actors ended on purpose", snapshot.actors_recycled)
    sizes = {str(actor.number): actor.memory_bytes for actor in snapshot.actors}
    yield _gauges("actor_memory_bytes", "unique set size of an actor", "actor", sizes)


def _disk(snapshot: Snapshot, mount: str) -> Iterator[Metric]:
    at_rest = max(0, snapshot.disk_used_bytes - snapshot.disk_open_bytes)
    used = GaugeMetricFamily(_name("disk_used_bytes"), "allocated by the store and scratch", labels=["mount", "area"])
    used.add_metric([mount, "store"], at_rest)
    used.add_metric([mount, "open"], snapshot.disk_open_bytes)
    yield used
    for name, text, value in (
        ("disk_budget_bytes", "what the store with all scratch may take", snapshot.disk_budget_bytes),
        ("disk_reserved_bytes", "set aside for open shards and scratch", snapshot.disk_reserved_bytes),
        ("disk_free_bytes", "free on the mount", snapshot.disk_free_bytes),
        ("disk_reserve_bytes", "of that to stay free", snapshot.disk_reserve_bytes),
        ("disk_missing_bytes", "what the job has still to write", snapshot.disk_missing_bytes),
    ):
        yield _gauges(name, text, "mount", {mount: value})


def _memory(snapshot: Snapshot, ram_budget_bytes: int) -> Iterator[Metric]:
    yield _gauge("ram_limit_bytes", "the nearest limit: budget, cgroup or machine", snapshot.ram_total_bytes)
    yield _gauge("ram_working_set_bytes", "in use of that limit", snapshot.ram_used_bytes)
    yield _gauge("ram_budget_bytes", "the budget that was given, 0 where none was", ram_budget_bytes)
    pressure = math.nan if snapshot.psi_percent is None else snapshot.psi_percent / 100
    yield _gauge("memory_pressure_ratio", "time in which some task waited for memory, NaN where not measured", pressure)


def _governor(snapshot: Snapshot) -> Iterator[Metric]:
    level = GaugeMetricFamily(_name("level"), "1 at the governor's level, else 0", labels=["resource", "level"])
    for resource, current in (("disk", snapshot.disk_level), ("memory", snapshot.ram_level)):
        for name in LEVELS:
            level.add_metric([resource, name], float(name == current))
    yield level
    seconds = {name: snapshot.level_seconds.get(name, 0.0) for name in LEVELS}
    yield _counters("level_seconds", "time at each level", "level", seconds)
    yield _counter("pauses", "rises to pause or above", sum(snapshot.level_rises.get(name, 0) for name in _PAUSED))
    yield _counter("paused_seconds", "time at pause or above", sum(seconds[name] for name in _PAUSED))
    removed = {kind: snapshot.removed.get(kind, 0) for kind in KINDS}
    yield _counters("cleanups", "removals of what dead processes left, by kind", "kind", removed)
    reclaimed = {kind: snapshot.removed_bytes.get(kind, 0) for kind in KINDS}
    yield _counters("reclaimed_bytes", "bytes that removals gave back, by kind", "kind", reclaimed)


def _name(name: str) -> str:
    return f"{PREFIX}_{name}"


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(_name(name), text, value=value)


def _gauges(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(_name(name), text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _labelled_gauge(name: str, text: str, labels: Mapping[str, str]) -> Metric:
    family = GaugeMetricFamily(_name(name), text, labels=list(labels))
    family.add_metric(list(labels.values()), 1)
    return family


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(_name(name), text, value=value)


def _counters(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(_name(name), text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


METRIC_NAMES = frozenset(sample.name for metric in RunMetrics().collect() for sample in metric.samples) | {
    _name("actor_memory_bytes")
}
"""Every series' name; one that is by actor has none before there are actors."""

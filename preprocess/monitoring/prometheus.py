"""A run as Prometheus metrics, made from its last snapshot when somebody asks.

Counters count committed work of this run only, so that they never fall, and `rows_resumed` and what earlier runs
committed make up the rest of the store. Every series exists from the start, with zero.
"""

import math
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from preprocess.features.stages import STAGES
from preprocess.governor.policy import Level
from preprocess.monitoring.snapshot import ActorState, Snapshot
from preprocess.phases import Phase
from shared.schema import QuarantineReason
from shared.system.exposition import Families, Family, exposition, write_exposition

_RUN = Families("speech_prep")
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


@dataclass(slots=True)
class RunMetrics:
    """The metrics of one run: *facts*, last *snapshot*, *phase*, whether it is *complete*; set from any thread."""

    facts: RunFacts = NO_FACTS
    complete: bool = False
    snapshot: Snapshot = NOTHING
    phase: Phase | None = None

    def text(self) -> bytes:
        """What a scrape is answered."""
        return exposition(self.families())

    def write(self, path: Path) -> None:
        """A file for node_exporter's textfile collector, put in place at once. Raises OSError."""
        write_exposition(path, self.families())

    def families(self) -> Iterator[Family]:
        """Every metric at this moment."""
        snapshot = self.snapshot
        yield from _about(self.facts)
        phases = {str(name): float(name == self.phase) for name in Phase}
        yield _RUN.gauges("phase", "1 at what the run is at", "phase", phases)
        yield from _work(snapshot)
        yield from _progress(snapshot, self.facts.started_at)
        yield from _actors(snapshot)
        yield from _disk(snapshot, self.facts.store)
        yield from _memory(snapshot, self.facts.ram_budget_bytes)
        yield from _governor(snapshot)
        yield _RUN.gauge("complete", "1 once the store is finished", float(self.complete))


def _about(facts: RunFacts) -> Iterator[Family]:
    versions = {"version": version("whisper-speech-prep"), "python": platform.python_version()}
    versions |= {name: version(name) for name in ("ray", "pyarrow")}
    yield _RUN.facts("build_info", "versions of the software", versions)
    run = {"run_id": facts.run_id, "store": facts.store, "source": facts.source, "plan_digest": facts.plan_digest}
    yield _RUN.facts("run_info", "what the run is about", run)


def _work(snapshot: Snapshot) -> Iterator[Family]:
    quarantined = {str(reason): float(snapshot.quarantined.get(reason, 0)) for reason in QuarantineReason}
    outcomes = {"written": float(snapshot.rows_written), "quarantined": sum(quarantined.values())}
    yield _RUN.counters("samples", "rows of committed shards, by outcome", "outcome", outcomes)
    yield _RUN.counters(
        "quarantined", "rows of committed shards that could not be used, by reason", "reason", quarantined
    )
    yield _RUN.counter(
        "cancelled", "rows of committed shards whose channels cancelled each other", snapshot.rows_cancelled
    )
    yield _RUN.counter("audio_seconds", "audio written in committed shards", snapshot.committed_audio_seconds)
    yield _RUN.counter("shards", "shards committed", snapshot.units_done - snapshot.units_resumed)
    yield _RUN.counter("written_bytes", "bytes of committed shards", snapshot.written_bytes)
    stages = {stage: snapshot.stage_seconds.get(stage, 0.0) for stage in STAGES}
    yield _RUN.counters("stage_seconds", "actor time by stage, of committed shards", "stage", stages)


def _progress(snapshot: Snapshot, started_at: float) -> Iterator[Family]:
    done, open_units = snapshot.units_done, snapshot.units_open
    units = {
        "planned": snapshot.units_total,
        "committed": done,
        "open": open_units,
        "waiting": max(0, snapshot.units_total - done - open_units),
    }
    yield _RUN.gauges("units", "shards of the plan, by state; planned is all", "state", units)
    yield _RUN.gauge("rows_planned", "rows of the plan", snapshot.rows_total)
    yield _RUN.gauge("rows_resumed", "rows that earlier runs committed", snapshot.rows_resumed)
    ratio = snapshot.rows_done / snapshot.rows_total if snapshot.rows_total else 0.0
    yield _RUN.gauge("progress_ratio", "rows done of those planned, open shards included", ratio)
    now = started_at + snapshot.elapsed_seconds
    eta = math.nan if snapshot.eta_seconds is None else now + snapshot.eta_seconds
    yield _RUN.gauge("eta_timestamp_seconds", "when the run will be done, NaN while that is unknown", eta)
    yield _RUN.gauge("start_timestamp_seconds", "when the run began", started_at)
    last = started_at + (snapshot.last_commit_seconds or 0.0)
    yield _RUN.gauge("last_commit_timestamp_seconds", "the last commit, or the start where there is none yet", last)


def _actors(snapshot: Snapshot) -> Iterator[Family]:
    states = {str(state): sum(actor.state == state for actor in snapshot.actors) for state in ActorState}
    yield _RUN.gauges("actors", "actors by state", "state", states)
    yield _RUN.counter(
        "actor_restarts", "actors that died or were ended when memory ran short", snapshot.actor_restarts
    )
    yield _RUN.counter("actor_recycles", "actors ended on purpose", snapshot.actors_recycled)
    sizes = {str(actor.number): actor.memory_bytes for actor in snapshot.actors}
    yield _RUN.gauges("actor_memory_bytes", "unique set size of an actor", "actor", sizes)


def _disk(snapshot: Snapshot, mount: str) -> Iterator[Family]:
    at_rest = max(0, snapshot.disk_used_bytes - snapshot.disk_open_bytes)
    used = {(mount, "store"): at_rest, (mount, "open"): snapshot.disk_open_bytes}
    yield _RUN.gauges("disk_used_bytes", "allocated by the store and scratch", ("mount", "area"), used)
    for name, text, value in (
        ("disk_budget_bytes", "what the store with all scratch may take", snapshot.disk_budget_bytes),
        ("disk_reserved_bytes", "set aside for open shards and scratch", snapshot.disk_reserved_bytes),
        ("disk_free_bytes", "free on the mount", snapshot.disk_free_bytes),
        ("disk_reserve_bytes", "of that to stay free", snapshot.disk_reserve_bytes),
        ("disk_missing_bytes", "what the job has still to write", snapshot.disk_missing_bytes),
    ):
        yield _RUN.gauges(name, text, "mount", {mount: value})


def _memory(snapshot: Snapshot, ram_budget_bytes: int) -> Iterator[Family]:
    yield _RUN.gauge("ram_limit_bytes", "the nearest limit: budget, cgroup or machine", snapshot.ram_total_bytes)
    yield _RUN.gauge("ram_working_set_bytes", "in use of that limit", snapshot.ram_used_bytes)
    yield _RUN.gauge("ram_budget_bytes", "the budget that was given, 0 where none was", ram_budget_bytes)
    pressure = math.nan if snapshot.psi_percent is None else snapshot.psi_percent / 100
    yield _RUN.gauge(
        "memory_pressure_ratio", "time in which some task waited for memory, NaN where not measured", pressure
    )


def _governor(snapshot: Snapshot) -> Iterator[Family]:
    current = {"disk": snapshot.disk_level, "memory": snapshot.ram_level}
    level = {(resource, name): name == at for resource, at in current.items() for name in LEVELS}
    yield _RUN.gauges("level", "1 at the governor's level, else 0", ("resource", "level"), level)
    seconds = {name: snapshot.level_seconds.get(name, 0.0) for name in LEVELS}
    yield _RUN.counters("level_seconds", "time at each level", "level", seconds)
    yield _RUN.counter("pauses", "rises to pause or above", sum(snapshot.level_rises.get(name, 0) for name in _PAUSED))
    yield _RUN.counter("paused_seconds", "time at pause or above", sum(seconds[name] for name in _PAUSED))
    removed = {kind: snapshot.removed.get(kind, 0) for kind in KINDS}
    yield _RUN.counters("cleanups", "removals of what dead processes left, by kind", "kind", removed)
    reclaimed = {kind: snapshot.removed_bytes.get(kind, 0) for kind in KINDS}
    yield _RUN.counters("reclaimed_bytes", "bytes that removals gave back, by kind", "kind", reclaimed)


METRIC_NAMES = frozenset(family.series for family in RunMetrics().families())
"""Every series' name."""

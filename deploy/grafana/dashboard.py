"""Writes the dashboard: `python deploy/grafana/dashboard.py [FILE]`. Change this, never the JSON."""  # noqa: INP001 - script

import json
import sys
from pathlib import Path
from typing import Any

from panels import Panel, figure, gauge, graph, of, timeline, whole

OUTPUT = Path(__file__).parent / "dashboards" / "speech-prep.json"


def progress() -> list[Panel]:
    """How far the run is and when it will be done."""
    return [
        gauge("Done", of("speech_prep_progress_ratio"), warn=2, alarm=2),
        figure("Rows planned", of("speech_prep_rows_planned")),
        figure("Done at", of("speech_prep_eta_timestamp_seconds") + " * 1000", unit="dateTimeFromNow"),
        figure("Shards committed", of("speech_prep_units", 'state="committed"')),
        figure("Last commit", of("speech_prep_last_commit_timestamp_seconds") + " * 1000", unit="dateTimeFromNow"),
        figure("Audio written", of("speech_prep_audio_seconds_total"), unit="s"),
        graph("Progress", {"done": of("speech_prep_progress_ratio")}, unit="percentunit"),
        graph("Shards", {"{{state}}": of("speech_prep_units", 'state=~"open|waiting|committed"')}, stacked=True),
    ]


def throughput() -> list[Panel]:
    """How fast it goes."""
    return [
        graph(
            "Rows a second",
            {"open shards included": of("speech_prep:rows:deriv1m"), "committed": of("speech_prep:samples:rate5m")},
        ),
        graph("Audio seconds a second", {"committed": of("speech_prep:audio_seconds:rate5m")}, width=4),
        graph("Bytes a second", {"committed": of("speech_prep:written_bytes:rate5m")}, unit="Bps", width=4),
        graph("Shards a minute", {"committed": f"60 * rate({of('speech_prep_shards_total')}[5m])"}, width=4),
    ]


def disk() -> list[Panel]:
    """The store against its budget, and the disk it lies on."""
    used, total = of("speech_prep:disk_used_bytes:sum"), of("speech_prep_disk_budget_bytes")
    return [
        gauge("Budget used", f"{used} / ({total} > 0)", warn=0.9, alarm=0.97),
        figure("Store when done", of("speech_prep:disk_final_bytes:forecast"), unit="bytes"),
        figure("Budget", total, unit="bytes"),
        figure("Still to write", of("speech_prep_disk_missing_bytes"), unit="bytes"),
        figure("Free at the end", of("speech_prep:disk_free_bytes:at_end"), unit="bytes"),
        figure("Reclaimed", f"sum({of('speech_prep_reclaimed_bytes_total')})", unit="bytes"),
        graph(
            "Store and scratch",
            {
                "used": used,
                "reserved": of("speech_prep_disk_reserved_bytes"),
                "when done": of("speech_prep:disk_final_bytes:forecast"),
                "budget": total,
            },
            unit="bytes",
        ),
        graph(
            "Free on the disk",
            {"free": of("speech_prep_disk_free_bytes"), "reserve": of("speech_prep_disk_reserve_bytes")},
            unit="bytes",
        ),
    ]


def memory() -> list[Panel]:
    """The working set against the nearest limit."""
    return [
        graph(
            "Working set against its limit",
            {
                "working set": of("speech_prep_ram_working_set_bytes"),
                "limit": of("speech_prep_ram_limit_bytes"),
                "budget": of("speech_prep_ram_budget_bytes") + " > 0",
            },
            unit="bytes",
        ),
        graph("Of the limit", {"used": of("speech_prep:ram_working_set:ratio")}, unit="percentunit", width=6),
        graph(
            "Pressure: time in which something waited for memory",
            {"some": of("speech_prep_memory_pressure_ratio")},
            unit="percentunit",
            width=6,
        ),
    ]


def levels() -> list[Panel]:
    """What the governor did, and for how long."""
    return [
        timeline("Disk", "disk"),
        timeline("Memory", "memory"),
        figure("Pauses", of("speech_prep_pauses_total")),
        figure("Paused", of("speech_prep_paused_seconds_total"), unit="s"),
        graph("Time at each level, of a second", {"{{level}}": f"rate({of('speech_prep_level_seconds_total')}[1m])"}),
        figure("Removals", f"sum({of('speech_prep_cleanups_total')})"),
    ]


def stages() -> list[Panel]:
    """Where the actors' time goes."""
    return [
        graph(
            "Share of each stage",
            {"{{stage}}": of("speech_prep:stage_seconds:share5m")},
            unit="percentunit",
            stacked=True,
        ),
        graph(
            "Actors' seconds a second",
            {"{{stage}}": f"rate({of('speech_prep_stage_seconds_total')}[5m])"},
            stacked=True,
        ),
    ]


def actors() -> list[Panel]:
    """How many do what, their memory, and how often they died."""
    return [
        graph("Actors by state", {"{{state}}": of("speech_prep_actors")}, stacked=True),
        graph("Memory of each actor", {"actor {{actor}}": of("speech_prep_actor_memory_bytes")}, unit="bytes", width=6),
        graph(
            "Restarts in 15 minutes",
            {
                "died": f"increase({of('speech_prep_actor_restarts_total')}[15m])",
                "recycled": f"increase({of('speech_prep_actor_recycles_total')}[15m])",
            },
            width=6,
        ),
    ]


def quarantine() -> list[Panel]:
    """Rows that could not be used."""
    return [
        gauge("Of all rows", of("speech_prep:quarantined:ratio"), warn=0.02, alarm=0.05),
        graph("Rows by reason", {"{{reason}}": of("speech_prep_quarantined_total") + " > 0"}, stacked=True, width=14),
        graph("Kept, but nearly silent", {"opposite phase": of("speech_prep_cancelled_total")}, width=6),
    ]


ROWS = {
    "Progress": progress,
    "Throughput": throughput,
    "Disk against its budget": disk,
    "Memory": memory,
    "Levels": levels,
    "Stages": stages,
    "Actors": actors,
    "Quarantine": quarantine,
}
"""The dashboard from top to bottom."""


def dashboard() -> dict[str, Any]:
    """The whole dashboard, as Grafana's provisioning reads it."""
    return whole(
        {title: row() for title, row in ROWS.items()},
        uid="speech-prep",
        title="Speech preprocessing",
        job="speech-prep",
        metrics="speech_prep",
    )


if __name__ == "__main__":
    output = Path(sys.argv[1]) if sys.argv[1:] else OUTPUT
    output.write_text(json.dumps(dashboard(), indent=2) + "\n")

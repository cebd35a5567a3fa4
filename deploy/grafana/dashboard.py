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
        gauge(
            "Done",
            "Share of the planned rows that are done, those of open shards included",
            of("speech_prep_progress_ratio"),
            warn=2,
            alarm=2,
        ),
        figure(
            "Rows planned",
            "Rows of all splits that this run prepares, those of earlier runs included",
            of("speech_prep_rows_planned"),
        ),
        figure(
            "Done at",
            "When the work is expected to be finished, at the speed of the last minutes",
            of("speech_prep_eta_timestamp_seconds") + " * 1000",
            unit="dateTimeFromNow",
        ),
        figure(
            "Shards committed",
            "Shards that are complete in data/; they are kept whatever happens to the run",
            of("speech_prep_units", 'state="committed"'),
        ),
        figure(
            "Last commit",
            "When a shard was last completed; far in the past means that nothing gets done",
            of("speech_prep_last_commit_timestamp_seconds") + " * 1000",
            unit="dateTimeFromNow",
        ),
        figure(
            "Audio written",
            "Length of the clips in the shards that this run committed",
            of("speech_prep_audio_seconds_total"),
            unit="s",
        ),
        graph(
            "Progress",
            "The share of rows done over time; a flat line is a pause or a run that stands still",
            {"done": of("speech_prep_progress_ratio")},
            unit="percentunit",
        ),
        graph(
            "Shards",
            "Shards by state: open ones are being written, waiting ones have not begun, committed ones are complete",
            {"{{state}}": of("speech_prep_units", 'state=~"open|waiting|committed"')},
            stacked=True,
        ),
    ]


def throughput() -> list[Panel]:
    """How fast it goes."""
    return [
        graph(
            "Rows a second",
            "Speed in rows (clips); the committed rate moves in steps, since a shard counts when it is complete",
            {"open shards included": of("speech_prep:rows:deriv1m"), "committed": of("speech_prep:samples:rate5m")},
        ),
        graph(
            "Audio seconds a second",
            "Seconds of speech in committed shards for each second of work, mean of 5 minutes",
            {"committed": of("speech_prep:audio_seconds:rate5m")},
            width=4,
        ),
        graph(
            "Bytes a second",
            "Bytes of committed shards a second, mean of 5 minutes",
            {"committed": of("speech_prep:written_bytes:rate5m")},
            unit="Bps",
            width=4,
        ),
        graph(
            "Shards a minute",
            "Shards committed a minute, mean of 5 minutes",
            {"committed": f"60 * rate({of('speech_prep_shards_total')}[5m])"},
            width=4,
        ),
    ]


def disk() -> list[Panel]:
    """The store against its budget, and the disk it lies on."""
    used, total = of("speech_prep:disk_used_bytes:sum"), of("speech_prep_disk_budget_bytes")
    return [
        gauge(
            "Budget used",
            "Disk in use as a share of the budget; actors are held back at 80 %, all pause at 90 %",
            f"{used} / ({total} > 0)",
            warn=0.9,
            alarm=0.97,
        ),
        figure(
            "Store when done",
            "Size that the finished store is expected to have",
            of("speech_prep:disk_final_bytes:forecast"),
            unit="bytes",
        ),
        figure(
            "Budget",
            "The most that the run may have on disk (--disk-budget, or what was free when it began)",
            total,
            unit="bytes",
        ),
        figure(
            "Still to write",
            "Bytes that the open and waiting shards are expected to take",
            of("speech_prep_disk_missing_bytes"),
            unit="bytes",
        ),
        figure(
            "Free at the end",
            "Free space that is expected on the store's disk once the store is complete; negative: it will not fit",
            of("speech_prep:disk_free_bytes:at_end"),
            unit="bytes",
        ),
        figure(
            "Reclaimed",
            "Bytes given back by removing what dead processes had left unfinished",
            f"sum({of('speech_prep_reclaimed_bytes_total')})",
            unit="bytes",
        ),
        graph(
            "Store and scratch",
            "What the run holds and has reserved on disk, against its budget and its expected final size",
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
            "Free space of the store's disk, and the reserve (--disk-reserve) below which the run cleans up and waits",
            {"free": of("speech_prep_disk_free_bytes"), "reserve": of("speech_prep_disk_reserve_bytes")},
            unit="bytes",
        ),
    ]


def memory() -> list[Panel]:
    """The working set against the nearest limit."""
    return [
        graph(
            "Working set against its limit",
            "Memory in use against the nearest limit: the run's budget, its cgroup's or the machine's",
            {
                "working set": of("speech_prep_ram_working_set_bytes"),
                "limit": of("speech_prep_ram_limit_bytes"),
                "budget": of("speech_prep_ram_budget_bytes") + " > 0",
            },
            unit="bytes",
        ),
        graph(
            "Of the limit",
            "Memory in use as a share of that limit; actors are held back at 70 %, all pause at 80 %",
            {"used": of("speech_prep:ram_working_set:ratio")},
            unit="percentunit",
            width=6,
        ),
        graph(
            "Pressure: time in which something waited for memory",
            "The kernel's pressure figure (PSI, some, 10 s); a pause follows from 20 % on",
            {"some": of("speech_prep_memory_pressure_ratio")},
            unit="percentunit",
            width=6,
        ),
    ]


def levels() -> list[Panel]:
    """What the governor did, and for how long."""
    return [
        timeline(
            "Disk",
            "The governor's level for disk; normal is all actors at work, stop ends the run with status 3",
            "disk",
        ),
        timeline(
            "Memory",
            "The governor's level for memory; normal is all actors at work, stop ends the run with status 3",
            "memory",
        ),
        figure("Pauses", "How often the governor let no new shard begin", of("speech_prep_pauses_total")),
        figure("Paused", "Time at pause or above", of("speech_prep_paused_seconds_total"), unit="s"),
        graph(
            "Time at each level, of a second",
            "Share of time spent at each level of the governor",
            {"{{level}}": f"rate({of('speech_prep_level_seconds_total')}[1m])"},
        ),
        figure(
            "Removals",
            "Files and folders of dead processes that were removed, all kinds together",
            f"sum({of('speech_prep_cleanups_total')})",
        ),
    ]


def stages() -> list[Panel]:
    """Where the actors' time goes."""
    return [
        graph(
            "Share of each stage",
            "Where the actors' time goes: reading, decoding, resampling, log-mel, writing and so on; adds up to 100 %",
            {"{{stage}}": of("speech_prep:stage_seconds:share5m")},
            unit="percentunit",
            stacked=True,
        ),
        graph(
            "Actors' seconds a second",
            "The same as seconds of actor time a second: five busy actors add up to 5",
            {"{{stage}}": f"rate({of('speech_prep_stage_seconds_total')}[5m])"},
            stacked=True,
        ),
    ]


def actors() -> list[Panel]:
    """How many do what, their memory, and how often they died."""
    return [
        graph(
            "Actors by state",
            "How many actors start, work, idle, restart or look for a row that kills them",
            {"{{state}}": of("speech_prep_actors")},
            stacked=True,
        ),
        graph(
            "Memory of each actor",
            "Memory that each actor holds alone (unique set size)",
            {"actor {{actor}}": of("speech_prep_actor_memory_bytes")},
            unit="bytes",
            width=6,
        ),
        graph(
            "Restarts in 15 minutes",
            "Actors that died and were started again, and actors replaced on purpose after many shards or growth",
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
        gauge(
            "Of all rows",
            "Quarantined rows as a share of all rows; --max-quarantine (5 %) decides about exit status 4",
            of("speech_prep:quarantined:ratio"),
            warn=0.02,
            alarm=0.05,
        ),
        graph(
            "Rows by reason",
            "Quarantined rows by reason; the store's quarantine/ names each row",
            {"{{reason}}": of("speech_prep_quarantined_total") + " > 0"},
            stacked=True,
            width=14,
        ),
        graph(
            "Kept, but nearly silent",
            "Rows that were stored although their channels cancel each other when they are mixed",
            {"opposite phase": of("speech_prep_cancelled_total")},
            width=6,
        ),
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
        metrics="speech_prep",
    )


if __name__ == "__main__":
    output = Path(sys.argv[1]) if sys.argv[1:] else OUTPUT
    output.write_text(json.dumps(dashboard(), indent=2) + "\n")

"""`python -m preprocess.run`: source rows to a finished store. Start it again at any time and it goes on."""

import signal
import sys
from collections.abc import Sequence
from time import monotonic

from rich.console import Console

from preprocess.card import dataset_card
from preprocess.estimate import Estimate, budgets_of, check_room, estimate
from preprocess.finishing import finish, is_finished, split_summaries, store_bytes
from preprocess.governor.cleanup import Removal
from preprocess.governor.cores import usable_cores
from preprocess.job import PlannedJob, plan_job, store_path
from preprocess.live import View, make_view
from preprocess.outcome import RunSummary
from preprocess.preparation import clear_dead, clear_partial, locked, prepare_store
from preprocess.session import Session
from preprocess.settings import RunSettings, quarantine_allowance
from preprocess.stopping import StopRequest
from preprocess.summary import render_summary
from preprocess.tally import Tally
from preprocess.tasks import new_tally, open_units
from preprocess.telling import telling
from shared.cli import parse_settings, python_command, run_command
from shared.errors import ExitCode
from shared.layout import read_record
from shared.units import format_count


def main(argv: Sequence[str]) -> int:
    """Prepares the source's splits in the store; the exit code is DESIGN.md section 2's."""
    about = "Compute Whisper log-mel features and labels into one Parquet store. Restart it at any time: it goes on."
    settings = parse_settings(RunSettings, argv, prog="python -m preprocess.run", about=about)
    # Before there is anything to give up, SIGTERM is what Ctrl-C is.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    settings.prepare()
    stream = sys.stdout
    view = make_view(settings.view, title=_title(settings), stream=stream, is_terminal=stream.isatty())
    with telling(settings, view, _title(settings)) as told:
        # A plan can take its time, a full disk cannot wait.
        removals = clear_dead(store_path(settings))
        job = plan_job(settings)
        with locked(job.layout.root):
            if job.layout.record.exists() and read_record(job.layout).uuid != job.record.uuid:
                # Another run made the store between our look and our lock.
                job = plan_job(settings)
            told.begin(job, settings)
            summary = _run(job, settings, told.audience, removals)
        told.complete()
        if settings.view != "json":
            Console(file=stream, highlight=False).print(render_summary(summary))
    return _verdict(job, settings, summary)


def _title(settings: RunSettings) -> str:
    return f"{settings.source or 'demo corpus'} -> {store_path(settings)}"


def _run(job: PlannedJob, settings: RunSettings, view: View, removals: list[Removal]) -> RunSummary:
    started = monotonic()
    todo = open_units(job)
    tally = new_tally(job, todo, started)
    found = estimate(job, settings)
    with StopRequest() as stop, view:
        # A run that was killed between `COMPLETE` and its own end left its folder of unfinished bytes.
        if todo or not is_finished(job) or job.layout.partial.exists():
            budgets = budgets_of(settings, job.layout.root, settings.ram_budget)
            if not settings.force:
                check_room(found, budgets, job.layout.root)
            card = dataset_card(job.record)
            removals += prepare_store(job.layout, job.record, settings.model_dump_json(indent=2) + "\n", card)
            tally.governed.count(removals)
            for removal in removals:
                view.event(removal.in_words)
            try:
                Session(job, settings, budgets, tally, view, stop).commit_units()
                finish(job)
            finally:
                clear_partial(job.layout)
                job.layout.partial.rmdir()
    return _summarise(job, tally, found, monotonic() - started)


def _summarise(job: PlannedJob, tally: Tally, found: Estimate, elapsed_seconds: float) -> RunSummary:
    ran = bool(tally.units)
    tightest = tally.governed.tightest
    return RunSummary(
        store=str(job.layout.root),
        splits=split_summaries(job),
        num_shards=sum(len(plan.units) for plan in job.plans),
        store_bytes=store_bytes(job),
        run_rows=tally.rows,
        run_audio_seconds=tally.audio_seconds,
        elapsed_seconds=elapsed_seconds,
        peak_disk_bytes=tally.peak_disk_bytes,
        peak_ram_bytes=tightest.used_bytes if tightest else 0,
        actor_peak_ram_bytes=list(tally.peak_memory_bytes.values()),
        stage_seconds=tally.stage_seconds,
        actor_seconds=tally.actor_seconds,
        num_cores=usable_cores(),
        actor_restarts=tally.restarts,
        disk_budget_bytes=tally.disk_budget_bytes,
        ram_limit_bytes=tightest.limit_bytes if tightest else 0,
        level_seconds={
            level.name.lower(): tally.governed.level_seconds[level] for level in sorted(tally.governed.level_seconds)
        },
        removed_bytes=sum(tally.governed.removed_bytes.values()),
        forecast_store_bytes=job.forecast_bytes if ran else None,
        forecast_seconds=found.seconds if ran else None,
        next_command=[python_command(), "-m", "preprocess.verify", "--store", str(job.layout.root)],
    )


def _verdict(job: PlannedJob, settings: RunSettings, summary: RunSummary) -> int:
    """DONE, or QUARANTINE_EXCEEDED with a word on stderr."""
    rows = sum(plan.num_rows for plan in job.plans)
    quarantined, allowed = summary.quarantined.total(), quarantine_allowance(settings.max_quarantine, rows)
    if quarantined <= allowed:
        return ExitCode.DONE
    print(
        f"{format_count(quarantined)} rows were quarantined, --max-quarantine {settings.max_quarantine} allows "
        f"{format_count(allowed)}; the store is complete without them\n  -> look at {job.layout.quarantine}",
        file=sys.stderr,
    )
    return ExitCode.QUARANTINE_EXCEEDED


if __name__ == "__main__":
    sys.exit(run_command(main))

"""A run from its settings to its verdict: plan, store, actors, index, report.

`preprocess.run` says its first line before it imports this, which takes the better part of a second.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import monotonic
from typing import Any

from preprocess.execution.context import RunContext
from preprocess.execution.run_stats import RunStats
from preprocess.execution.session import commit_units, import_ray_aside
from preprocess.features.long_clips import all_long_clips
from preprocess.governor.cores import usable_cores
from preprocess.governor.record import by_name
from preprocess.monitoring.broadcast import Broadcast
from preprocess.phases import Phase
from preprocess.planning.completion import changed_splits, finish, is_finished, store_bytes
from preprocess.planning.estimate import Estimate, budgets_of, check_room, estimate
from preprocess.planning.job import plan_job
from preprocess.planning.origins import mixed_origins
from preprocess.planning.planned_job import PlannedJob
from preprocess.planning.soundness import check_committed, repair
from preprocess.reporting.run_summary import RunSummary, split_summaries
from preprocess.reporting.summary_screen import render_summary
from preprocess.settings import RunSettings, quarantine_allowance, store_path
from preprocess.workspace.cleanup import Removal
from preprocess.workspace.dataset_card import dataset_card
from preprocess.workspace.prepare import clear_dead, clear_left, prepare_store, remove_partial
from shared.command.cli import python_command
from shared.command.ending import Ending
from shared.command.terminal import Screen
from shared.errors import ExitCode, SpeechPrepError
from shared.index import read_complete
from shared.layout import read_record
from shared.reading.duplicates import find_repeats
from shared.schema import QuarantineReason
from shared.system.locks import hold
from shared.system.stop_request import StopRequest
from shared.units import format_count, format_counted


def run_job(settings: RunSettings, everyone: Broadcast) -> None:
    """Prepares the source's splits in the store, tells *everyone*, and leaves them how it ended."""

    def tell(phase: Phase) -> None:
        everyone.phase(phase)
        if phase is Phase.SAMPLING:
            # While another process decodes there is nothing to do here, and a split without a plan has work for Ray.
            import_ray_aside(local=settings.ray_address is None)

    # A plan can take its time, a full disk cannot wait; what a live run left is its own.
    removals = clear_dead(store_path(settings))
    job = plan_job(settings, tell)
    with hold(job.layout.root, "--store"):
        if job.layout.record.exists() and read_record(job.layout).uuid != job.record.uuid:
            # Another run made the store between our look and our lock.
            job = plan_job(settings, tell)
        everyone.begin(job, settings)
        for note in job.source.notes:
            everyone.event(note)
        summary = _run(job, settings, everyone, removals)
    everyone.complete()
    if everyone.for_people:
        screen = Screen()
        screen.print(render_summary(summary, screen.width), crop=False)
    everyone.ending = _verdict(job, settings, summary)


def _run(job: PlannedJob, settings: RunSettings, everyone: Broadcast, removals: list[Removal]) -> RunSummary:
    everyone.phase(Phase.PREPARING)
    if settings.repair:
        repair(job, everyone.event)
    else:
        check_committed(job)
        if mixed := mixed_origins(job):
            everyone.event(mixed)
    before = read_complete(job.layout)
    stats, found = RunStats.of(job, monotonic()), estimate(job, settings)
    with StopRequest(tell=lambda: everyone.event("a stop was asked for")) as stop, everyone:
        # A run that was killed between `COMPLETE` and its own end left its folder of unfinished bytes.
        if settings.repair or job.open_units() or not is_finished(job) or job.layout.partial.exists():
            run = RunContext(job, settings, stats, everyone, stop)
            _work(run, everyone, found, removals, before)
    return _summarise(job, stats, found)


def _work(
    run: RunContext, everyone: Broadcast, found: Estimate, removals: list[Removal], before: Mapping[str, Any]
) -> None:
    """Commits what is open; of a finished store only what a killed run left is removed."""
    job, settings = run.job, run.settings
    if not settings.repair and not job.open_units() and is_finished(job):
        with _reported(run, everyone, found):
            _tell(run, [*removals, *clear_left(job.layout, job.record.uuid)])
        return
    budgets = budgets_of(settings, job.layout.root, settings.ram_budget)
    if not settings.force:
        check_room(found, budgets, job.layout.root)
    with _reported(run, everyone, found), _prepared(run, removals):
        commit_units(run, budgets)
        everyone.phase(Phase.INDEXING)
        for split in changed_splits(job, before, finish(job)):
            everyone.event(f"{split}: its content is not what it was before: the source or the software changed")


@contextmanager
def _prepared(run: RunContext, removals: list[Removal]) -> Iterator[None]:
    """The store is ready to be written to inside the block; nothing unfinished is left, however that ends.

    What cannot be removed, as another user's, is told, and changes nothing of how the run ends.
    """
    layout, record = run.job.layout, run.job.record
    settings_json = run.settings.model_dump_json(indent=2) + "\n"
    _tell(run, [*removals, *prepare_store(layout, record, settings_json, dataset_card(record))])
    try:
        yield
    finally:
        _tell(run, [removal for removal in remove_partial(layout) if removal.error])


def _tell(run: RunContext, removals: list[Removal]) -> None:
    run.stats.governed.count(removals)
    for removal in removals:
        run.view.event(removal.in_words)


@contextmanager
def _reported(run: RunContext, everyone: Broadcast, found: Estimate) -> Iterator[None]:
    """Writes the report of what the block does, also when it ends early."""
    outcome = "failed"
    try:
        yield
        outcome = "done"
    except SpeechPrepError as error:
        outcome = f"ended early: {error.message}"
        raise
    finally:
        run.stats.end(monotonic())
        if run.settings.report and run.job.layout.record.exists():
            _report(run.job, everyone, _summarise(run.job, run.stats, found), outcome)


def _report(job: PlannedJob, everyone: Broadcast, summary: RunSummary, outcome: str) -> None:
    """Writes `report.html`; a page that cannot be written changes no exit status."""
    # Templates and pictures cost half a second to import, which a run that is told not to report need not pay.
    from preprocess.reporting.html_report import REPORT, write_report  # noqa: PLC0415 - as above

    everyone.phase(Phase.REPORTING)
    everyone.history.finish()
    try:
        write_report(job.layout, summary, everyone.history, outcome, pictures=outcome == "done")
    except (SpeechPrepError, OSError) as error:
        everyone.event(f"no report: {error}")
    else:
        everyone.event(f"report: {job.layout.root / REPORT}")


def _summarise(job: PlannedJob, stats: RunStats, found: Estimate) -> RunSummary:
    ran, finished = bool(stats.units), is_finished(job)
    tightest = stats.governed.tightest
    return RunSummary(
        store=str(job.layout.root),
        splits=split_summaries(job) if finished else (),
        num_shards=sum(len(plan.units) for plan in job.plans),
        store_bytes=store_bytes(job) if finished else 0,
        run_rows=stats.rows,
        run_audio_seconds=stats.audio_seconds,
        elapsed_seconds=stats.elapsed_seconds(monotonic()),
        peak_disk_bytes=stats.peak_disk_bytes,
        peak_own_bytes=stats.peak_own_bytes,
        others_share=stats.others_share(monotonic()),
        peak_ram_bytes=tightest.used_bytes if tightest else 0,
        actor_peak_ram_bytes=list(stats.peak_memory_bytes.values()),
        stage_seconds=stats.stage_seconds,
        actor_seconds=stats.actor_seconds,
        num_cores=usable_cores(),
        actor_restarts=stats.restarts,
        disk_budget_bytes=stats.disk_budget_bytes,
        ram_limit_bytes=tightest.limit_bytes if tightest else 0,
        level_seconds=by_name(stats.governed.level_seconds),
        removed_bytes=sum(stats.governed.removed_bytes.values()),
        forecast_store_bytes=job.forecast_bytes if ran else None,
        forecast_seconds=found.seconds if ran else None,
        next_command=_next_command(job, finished=finished),
        long=all_long_clips(job.layout, ((plan.name, plan.record) for plan in job.plans)) if finished else None,
        repeats=find_repeats(job.layout, job.record) if finished else (),
    )


def _next_command(job: PlannedJob, *, finished: bool) -> list[str]:
    """`verify` for a finished store, the same command again for another."""
    if finished:
        return [python_command(), "-m", "preprocess.verify", "--store", str(job.layout.root)]
    return [python_command(), "-m", "preprocess.run", *sys.argv[1:]]


def _verdict(job: PlannedJob, settings: RunSettings, summary: RunSummary) -> Ending:
    """DONE, or QUARANTINE_EXCEEDED with a word on it."""
    rows = sum(plan.num_rows for plan in job.plans)
    # What was asked to be left out is nothing that could not be used.
    quarantined = summary.quarantined.total() - summary.quarantined[QuarantineReason.TEST_LEAK]
    allowed = quarantine_allowance(settings.max_quarantine, rows)
    if quarantined <= allowed:
        return Ending()
    return Ending(
        int(ExitCode.QUARANTINE_EXCEEDED),
        f"{format_counted(quarantined, 'quarantined row')}, --max-quarantine {settings.max_quarantine} allows "
        f"{format_count(allowed)}; the store is complete without them",
        f"look at {job.layout.quarantine}",
    )

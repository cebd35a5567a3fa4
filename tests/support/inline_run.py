"""`python -m preprocess.run` in this process, with one worker in place of Ray and its actors."""

import preprocess.execution.whole_run
import preprocess.planning.job
import preprocess.run
import preprocess.workspace.prepare
from preprocess.features.worker import FeatureWorker, WorkerSettings
from preprocess.planning.sample import sample_rows
from shared.command.cli import run_command


def commit_here(run, _budgets, most=None):
    """Stands in for `commit_units`: makes the open units, or the first *most* of them, in order."""
    worker = FeatureWorker(WorkerSettings(run.job.layout.root, run.job.pipeline))
    for unit in run.job.open_units()[:most]:
        run.stats.commit(0, worker.process(run.job.task_for(unit)), 0.0)


def run_inline(monkeypatch, *options):
    """The exit status of a run with *options*, plain and without report and metrics where they say nothing else."""
    monkeypatch.setattr(preprocess.execution.whole_run, "commit_units", commit_here)
    # Ray is not needed, and its environment would be this process's.
    monkeypatch.setattr(preprocess.execution.whole_run, "import_ray_aside", lambda **_: None)
    # Another process for the sample takes seconds to start; there are no processes of earlier runs here.
    monkeypatch.setattr(preprocess.planning.job, "sample_apart", sample_rows)
    # A few rows are several shards.
    monkeypatch.setattr(preprocess.planning.job, "LEAST_SHARD_BYTES", 1)
    monkeypatch.setattr(preprocess.workspace.prepare, "end_processes", lambda *_: 0)
    fixed = ["--view", "plain", "--no-report", "--no-metrics", "--max-quarantine", "100%"]
    return run_command(preprocess.run.main, [*fixed, *map(str, options)])

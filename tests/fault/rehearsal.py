"""A whole run without Ray, again and again in forked children that a test can trace: `rehearsal.py SOURCE MODEL`.

Each line on stdin is JSON: `store`, `output` (a path that `.out` and `.err` are appended to) and `held` (whether the
child holds still until SIGUSR1, so that strace can take hold of it). The answer is two lines: the child's process id,
and its exit status when it ended, negative for a signal. A first run in this process, on `warm-up`, imports what there
is to import, so that children make only the calls that a run is about.
"""

import ctypes
import json
import os
import signal
import sys
from contextlib import nullcontext, redirect_stdout
from io import StringIO
from types import SimpleNamespace

import pyarrow as pa

import preprocess.execution.session
import preprocess.execution.whole_run
import preprocess.planning.job
import preprocess.run
import preprocess.workspace.prepare
from preprocess.execution.context import RunContext
from preprocess.execution.scheduler import RunUnit, Scheduler, StartActor
from preprocess.features.worker import FeatureWorker, WorkerSettings
from preprocess.planning.sample import sample_rows
from shared.command.cli import run_command

PR_SET_PTRACER = 0x59616D61
ANY_PROCESS = ctypes.c_ulong(-1)
ACKNOWLEDGED = "acknowledged "
"""What a line of output begins with that names a shard whose `process` has returned."""


def run_here(run: RunContext) -> None:
    """Stands in for the cluster: one worker, in this process, in the scheduler's order."""
    job = run.job
    worker = FeatureWorker(WorkerSettings(job.layout.root, job.pipeline))
    scheduler = Scheduler(job.open_units(), num_actors=1)
    actions = scheduler.start()
    while actions:
        action = actions.pop()
        if isinstance(action, StartActor):
            actions += scheduler.on_ready(action.actor)
        elif isinstance(action, RunUnit):
            task = job.task_for(action.unit, action.crashed_rows)
            report = worker.process(task)
            print(f"{ACKNOWLEDGED}{task.name}", flush=True)
            run.stats.commit(action.actor, report, 0.0)
            actions += scheduler.on_done(action.actor)


def run_on(store: str) -> int:
    """The exit code of a run on *store*, as the command would have it."""
    source, model = sys.argv[1:3]
    options = ["--source", source, "--model", model, "--store", store, "--view", "plain"]
    options += ["--max-quarantine", "100%", "--no-report", "--no-metrics"]
    return run_command(preprocess.run.main, options)


def redirect(output: str) -> None:
    for number, name in ((1, "out"), (2, "err")):
        file = os.open(f"{output}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(file, number)
        os.close(file)


def serve() -> None:
    """Answers requests until stdin ends; a child returns from here as if it had been the only one."""
    for line in sys.stdin:
        request = json.loads(line)
        ready, begun = os.pipe()
        pid = os.fork()
        if not pid:
            # Any process of this user may trace this one.
            ctypes.CDLL(None).prctl(PR_SET_PTRACER, ANY_PROCESS, 0, 0, 0)
            redirect(request["output"])
            for end in (ready, begun):
                os.close(end)
            if request["held"]:
                signal.sigwait({signal.SIGUSR1})
            sys.exit(run_on(request["store"]))
        os.close(begun)
        # At its end: from here on the child calls nothing that is not the run's.
        os.read(ready, 1)
        os.close(ready)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    assert callable(preprocess.execution.session._loop)
    preprocess.execution.session._loop = lambda run, _budgets: nullcontext(
        SimpleNamespace(until_done=lambda: run_here(run))
    )
    preprocess.planning.job.MIN_UNITS, preprocess.planning.job.LEAST_SHARD_BYTES = 2, 1
    # Another process would make calls of its own, thousands of them before its first line of ours.
    preprocess.planning.job.sample_apart = sample_rows
    preprocess.execution.whole_run.import_ray_aside = lambda **_: None
    # There are none here, and a look at all processes makes more calls the more there are on the machine.
    preprocess.workspace.prepare.end_processes = lambda *_: 0
    with redirect_stdout(StringIO()):
        run_on("warm-up")
    serve()

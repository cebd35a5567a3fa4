"""What a finished run's exit status says, and that nothing which cannot be removed changes it."""

import os
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pytest

from preprocess import run
from preprocess.execution import whole_run
from preprocess.execution.whole_run import _verdict
from preprocess.features.worker import FeatureWorker, WorkerSettings
from preprocess.phases import Phase
from preprocess.planning.completion import finish
from preprocess.planning.job import plan_job
from preprocess.settings import RunSettings
from preprocess.workspace.prepare import prepare_store
from shared.command.cli import run_command
from shared.errors import ExitCode
from shared.layout import StoreLayout
from shared.system.durable import json_bytes
from tests.support.inline_run import run_inline
from tests.support.samples import wav, write_source

PLANS = [SimpleNamespace(num_rows=150), SimpleNamespace(num_rows=50)]


@pytest.mark.parametrize(
    ("allowed", "quarantined", "status"),
    [
        ("3", 3, ExitCode.DONE),
        ("3", 4, ExitCode.QUARANTINE_EXCEEDED),
        ("5%", 10, ExitCode.DONE),
        ("5%", 11, ExitCode.QUARANTINE_EXCEEDED),
    ],
)
def test_more_quarantined_rows_than_allowed_is_4_and_says_so(allowed, quarantined, status, tmp_path):
    job = SimpleNamespace(plans=PLANS, layout=StoreLayout(tmp_path))
    summary = SimpleNamespace(quarantined=Counter({"too_long": quarantined}))
    ending = _verdict(job, RunSettings(demo=True, max_quarantine=allowed), summary)
    assert ending.exit_code == status
    assert (f"{quarantined} quarantined rows, --max-quarantine {allowed} allows" in ending.error) == (
        status != ExitCode.DONE
    )


def test_what_was_left_out_on_demand_is_not_counted_against_max_quarantine(tmp_path):
    job = SimpleNamespace(plans=PLANS, layout=StoreLayout(tmp_path))
    summary = SimpleNamespace(quarantined=Counter({"test_leak": 40, "too_long": 1}))
    ending = _verdict(job, RunSettings(demo=True, max_quarantine="1"), summary)
    assert (ending.exit_code, ending.error) == (ExitCode.DONE, "")


def test_a_finished_store_stays_finished_whatever_another_user_left_in_its_scratch(
    tmp_path, demo_model, monkeypatch, capsys
):
    write_source(tmp_path / "source/train.parquet", [(wav(1_600, seed=n), f"{n}.wav", f"Satz {n}") for n in range(3)])
    settings = RunSettings(source=str(tmp_path / "source"), model=str(demo_model), store=tmp_path / "store")
    job = plan_job(settings)
    job.layout.root.mkdir()
    prepare_store(job.layout, job.record, "{}\n", "")
    worker = FeatureWorker(WorkerSettings(job.layout.root, job.pipeline))
    for unit in job.open_units():
        worker.process(job.task_for(unit))
    finish(job)
    complete = job.layout.complete.read_bytes()
    (job.layout.partial / "ray/raylet").mkdir(parents=True)
    rmdir = os.rmdir

    def refuse(path, *, dir_fd=None):
        if path == "raylet":
            raise PermissionError(13, "Permission denied", path)
        rmdir(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "rmdir", refuse)
    options = ["--store", str(settings.store), "--source", str(settings.source), "--model", str(demo_model)]
    assert run_command(run.main, [*options, "--no-metrics", "--no-report", "--view", "plain"]) == 0
    assert "could not remove folder ray: raylet: Permission denied; remove" in capsys.readouterr().out
    assert job.layout.complete.read_bytes() == complete


def test_a_second_plan_tells_its_phases_too_where_another_run_made_the_store_meanwhile(
    tmp_path, demo_model, monkeypatch, capsys
):
    """The other run's store knows one of two splits, so the other one is sampled again."""
    for name in ("train", "test"):
        write_source(tmp_path / f"source/{name}.parquet", [(wav(1_600), f"{n}.wav", f"Satz {n}") for n in range(3)])
    options = ["--store", tmp_path / "store", "--source", tmp_path / "source", "--model", demo_model]
    plan, plans = whole_run.plan_job, []

    def planned(*arguments):
        plans.append(plan(*arguments))
        if len(plans) == 1:
            theirs = replace(plans[0].record, uuid="0" * 32, splits={"test": plans[0].record.splits["test"]})
            plans[0].layout.root.mkdir()
            plans[0].layout.record.write_bytes(json_bytes(theirs.as_dict()))
        return plans[-1]

    monkeypatch.setattr(whole_run, "plan_job", planned)
    assert run_inline(monkeypatch, *options) == 0
    assert [job.record.uuid == "0" * 32 for job in plans] == [False, True]
    assert capsys.readouterr().out.count(Phase.SAMPLING) == 3

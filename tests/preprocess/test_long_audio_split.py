"""`--long-audio split` as docs/long-audio.md has it: pieces are rows, and rows in are rows out and quarantined."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

import preprocess.align
from preprocess.alignment.cut_plan import read_cut_plan
from preprocess.audio.decode import DecodeLimits, decode
from preprocess.execution.session import _governor
from preprocess.features.log_mel import LogMel
from preprocess.features.mel import mel_filters
from preprocess.features.worker import FeatureWorker, WorkerSettings
from preprocess.governor.budgets import Budgets
from preprocess.planning.job import plan_job
from preprocess.reporting.store_facts import report_facts
from preprocess.settings import SourceSettings
from preprocess.workspace.prepare import prepare_store
from shared.command.cli import run_command
from shared.layout import StoreLayout, read_record
from shared.reading.verification import verify_store
from shared.rows import dequantise
from tests.support.guides import commands_of
from tests.support.inline_run import run_inline
from tests.support.long_speech import LONG_ROWS, WORDS, hear, write_long_source, write_stub_model

pytestmark = pytest.mark.usefixtures("quick_plans")


def problems(store):
    return [problem for check in verify_store(store) for problem in check.problems]


@pytest.fixture
def named(tmp_path):
    """The options that name a source of three long recordings, and the store that has their cuts."""
    model = write_stub_model(tmp_path / "model")
    named = ["--source", str(write_long_source(tmp_path / "source")), "--store", str(tmp_path / "store")]
    assert run_command(lambda argv: preprocess.align.main(argv, lambda _: hear), [*named, "--model", str(model)]) == 0
    return named


@pytest.fixture
def options(named, demo_model):
    """Those of a run that takes the cuts."""
    return (*named, "--model", demo_model, "--long-audio", "split")


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (["--max-duration", "20"], "max_duration was 30.0, now 20.0"),
        (["--strip-timestamps"], "strip_timestamps was False, now True"),
        (["--text-column", "source"], "text_column was transkription, now source"),
    ],
)
def test_a_run_told_otherwise_than_the_cuts_says_what_differs(options, monkeypatch, capsys, option, told):
    assert run_inline(monkeypatch, *options, *option) == 2
    assert f"train.parquet was made for something else: {told}\n" in capsys.readouterr().err


def test_cuts_of_the_first_rows_are_enough_for_these_alone(tmp_path, demo_model, monkeypatch, capsys):
    model = write_stub_model(tmp_path / "model")
    named = ["--source", str(write_long_source(tmp_path / "source")), "--store", str(tmp_path / "store")]
    first = [*named, "--model", str(model), "--limit", "2"]
    assert run_command(lambda argv: preprocess.align.main(argv, lambda _: hear), first) == 0
    options = (*named, "--model", demo_model, "--long-audio", "split")
    assert run_inline(monkeypatch, *options) == 2
    assert "it has the first 2 rows, wanted are 5" in capsys.readouterr().err
    assert run_inline(monkeypatch, *options, "--limit", "1") == 0


def test_a_unit_reserves_for_all_pieces_of_its_recordings(named, demo_model):
    source, store = named[1::2]
    job = plan_job(SourceSettings(source=source, store=store, model=str(demo_model), long_audio="split", shard_size=1))
    (plan,) = job.plans
    assert [unit.num_pieces for unit in plan.units] == [1, 2, 1, 1, 3]
    prepare_store(job.layout, job.record, "{}", "")
    worker, admission = (
        FeatureWorker(WorkerSettings(job.layout.root, job.pipeline)),
        _governor(job, Budgets(10**12, 0), "mark").admission,
    )
    for unit in plan.units:
        worker.process(job.task_for(unit, max_bytes=admission.need_bytes(unit)))


def test_pieces_are_rows_that_hold_all_words_and_all_sound_once(tmp_path, demo_model, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_long_source(tmp_path / "DATA")
    write_stub_model(tmp_path / "large-v3")
    store = tmp_path / "STORE"
    (align, cut), (run, made) = commands_of("long-audio.md", {"openai/whisper-large-v3-turbo": str(demo_model)})
    assert (align, run) == ("preprocess.align", "preprocess.run")
    assert run_command(lambda argv: preprocess.align.main(argv, lambda _: hear), cut) == 0
    options = (*made, "--shard-size", "100kB")
    assert run_inline(monkeypatch, *options) == 0
    assert problems(store) == []

    layout, record = StoreLayout(store), read_record(StoreLayout(store))
    rows = [row for path in sorted(layout.data.iterdir()) for row in pq.read_table(path).to_pylist()]
    assert [(row["row_id"], row["piece"]) for row in rows] == [(0, 0), (1, 0), (1, 1), (3, 0), (4, 0), (4, 1), (4, 2)]
    cuts = read_cut_plan(layout.cuts_of("train"))
    assert record.splits["train"].settings["cuts"] == cuts.digest
    for row_id, words in ((1, WORDS[:9]), (4, WORDS)):
        own = [row for row in rows if row["row_id"] == row_id]
        assert " ".join(row["transkription"] for row in own).split() == words
        samples = decode(LONG_ROWS[row_id][0], DecodeLimits(max_seconds=100))
        parts = np.split(samples, cuts.rows[row_id].stops[:-1])
        log_mel = LogMel(mel_filters(record.features.num_mel_bins))
        for row, part in zip(own, parts, strict=True):
            stored = dequantise(row["log_mel"], record.features, row["num_frames"], row["floor"])
            assert np.abs(stored - log_mel(part)).max() < 1e-3
            assert row["duration"] == pytest.approx(len(part) / 16_000)
    (refused,) = [row for path in layout.quarantine.iterdir() for row in pq.read_table(path).to_pylist()]
    assert (refused["row_id"], refused["reason"]) == (2, "unsplittable")
    assert "CER " in refused["message"]
    totals = json.loads(layout.complete.read_bytes())["splits"]["train"]
    assert (totals["rows"], totals["quarantined"], record.splits["train"].num_rows) == (7, 1, 5)
    facts = report_facts(layout)
    assert (facts.rows, facts.rows_planned, facts.long.split, facts.long.pieces) == (4, 5, 2, 5)
    said = " ".join(capsys.readouterr().out.split())
    assert "over 30 s: 2 split into 5 pieces" in said
    assert "4 1 " in said.split("rows written quarantined audio")[1]

    layout.cuts_of("train").write_bytes(b"another plan")
    assert any("is not the cut plan that the store was made with" in problem for problem in problems(store))
    assert run_inline(monkeypatch, *options) == 1

"""What a training leaves behind: logs that survive a crash without a step standing twice, curves, texts."""

import json
import math
import subprocess
import sys
import time
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from itertools import count
from types import SimpleNamespace

import pytest
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from shared.errors import SpeechPrepError, UsageError
from trainer.telemetry.health import HealthWarning, Trouble
from trainer.telemetry.records import EvaluationRecord, StepRecord, Transcript, WordErrors
from trainer.telemetry.scalars import STEP_TAGS, evaluation_scalars
from trainer.telemetry.sink import Sink
from trainer.telemetry.telemetry import Telemetry, open_telemetry
from trainer.telemetry.tensorboard import TensorBoardWriter, owner
from trainer.telemetry.wandb import WandbWriter, require_login

STAMP = "2026-01-02T03:04:05Z"
RECORD = StepRecord(
    step=25,
    loss=0.5,
    learning_rate=1e-5,
    grad_norm=1.25,
    loss_scale=1_024.0,
    seconds_per_step=2.0,
    samples_per_second=24.0,
    audio_seconds_per_second=100.0,
    data_wait_share=0.01,
    padding_waste=0.03,
    skipped_steps=1,
    mfu=0.4,
    vram_bytes=12_000_000_000,
    gpu_utilisation=0.97,
)
RATES = {"raw": WordErrors(0.127, 0.05, 900), "basic": WordErrors(0.113, 0.04, 890)}
SAMPLES = (Transcript(7, "cv", "Guten Tag\n| *Zoë*", "guten Tag"), Transcript(9, "mls", "Nein", "Ja"))
EVALUATION = EvaluationRecord(50, 512, "own", RATES, {"cv": RATES, "mls": RATES}, 33.0, SAMPLES)
WARNING = HealthWarning(Trouble.DATA_WAIT, "training waits", "raise --loader-threads")


def clock():
    return datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def open_in(folder, resumed_step=None, report_to=(), run="run", clock=clock):
    (output := folder / run).mkdir(exist_ok=True)
    return open_telemetry(
        log_dir=folder,
        run=output,
        report_to=report_to,
        resumed_step=resumed_step,
        max_steps=100,
        console=Console(file=StringIO()),
        clock=clock,
    )


def next_second():
    """Event files are in the order of the seconds in which they were begun: trainings are further apart than tests."""
    time.sleep(1.01 - time.time() % 1)


def train(folder, begin, end, report_to=(), loss=0.5, **how):
    """The records of the steps after *begin* up to *end*, every 25, with an evaluation every 50."""
    if begin and "tensorboard" in report_to:
        next_second()
    with open_in(folder, begin or None, report_to, **how) as telemetry:
        for step in range(begin + 25, end + 1, 25):
            telemetry.step(replace(RECORD, step=step, loss=loss))
            if step % 50 == 0:
                telemetry.evaluated(replace(EVALUATION, step=step), best=step == 50)


def metrics(folder):
    return json.loads((folder / "metrics.json").read_text())


def steps_in(folder):
    found = metrics(folder)
    return [record["step"] for record in found["steps"]], [record["step"] for record in found["evaluations"]]


def event_files(folder, run="run"):
    found = EventAccumulator(str(folder / "tensorboard" / run))
    found.Reload()
    return found


def test_the_log_has_a_line_with_the_time_for_each_record_and_event(tmp_path):
    with open_in(tmp_path) as telemetry:
        telemetry.step(RECORD)
        telemetry.evaluated(EVALUATION, best=True)
        telemetry.warn(WARNING)
        telemetry.event("checkpoint\nsaved")
    lines = (tmp_path / "training.log").read_text().splitlines()
    assert all(line.startswith(f"{STAMP} ") for line in lines)
    figures = "loss 0.5000, learning rate 1e-05, gradient norm 1.25, 24 clips/s, 100 x real time, 2.0 s/step"
    shares = "data wait 1.0%, padding 3.0%, MFU 40.0%, VRAM 12.0 GB, GPU 97%"
    rates = "WER 12.70 % raw, 11.30 % basic; CER 5.00 % raw, 4.00 % basic"
    assert [line.removeprefix(f"{STAMP} ") for line in lines] == [
        "a new training begins",
        f"step 25/100, {figures}, {shares}, loss scale 1024, skipped steps 1",
        f"evaluation at step 50: {rates}; 512 clips in 33 s, the best so far",
        "  cv: WER 12.70 % raw, 11.30 % basic",
        "  mls: WER 12.70 % raw, 11.30 % basic",
        "  row 7, cv",
        "  said  Guten Tag | *Zoë*",
        "  heard guten Tag",
        "  row 9, mls",
        "  said  Nein",
        "  heard Ja",
        "WARNING: training waits -> raise --loader-threads",
        "checkpoint saved",
    ]


def test_the_log_is_appended_to_across_resumes(tmp_path):
    train(tmp_path, 0, 25)
    train(tmp_path, 25, 50)
    words = (tmp_path / "training.log").read_text()
    assert words.index("a new training begins") < words.index("step 25/100")
    assert words.index("step 25/100") < words.index("training goes on after step 25") < words.index("step 50/100")


def test_an_error_that_ends_the_training_is_the_last_line_of_the_log(tmp_path):
    with pytest.raises(SpeechPrepError), open_in(tmp_path):
        raise SpeechPrepError("out of memory", "lower --frame-budget")
    last = (tmp_path / "training.log").read_text().splitlines()[-1]
    assert last == f"{STAMP} training was ended by SpeechPrepError: out of memory -> lower --frame-budget"


def test_metrics_have_every_field_of_every_record_but_the_transcripts(tmp_path):
    train(tmp_path, 0, 50)
    found = metrics(tmp_path)
    assert set(found["steps"][0]) == {field.name for field in fields(StepRecord)}
    assert set(found["evaluations"][0]) == {field.name for field in fields(EvaluationRecord)} - {"samples"} | {"best"}
    assert found["evaluations"][0]["by_source"]["cv"]["basic"] == {"wer": 0.113, "cer": 0.04, "words": 890}


def test_on_resume_the_steps_that_are_made_again_do_not_stand_twice(tmp_path):
    train(tmp_path, 0, 100, loss=0.5)
    train(tmp_path, 50, 100, loss=0.25)
    assert steps_in(tmp_path) == ([25, 50, 75, 100], [50, 100])
    assert [record["loss"] for record in metrics(tmp_path)["steps"]] == [0.5, 0.5, 0.25, 0.25]


def test_a_new_training_leaves_the_files_of_the_one_before_under_another_name(tmp_path):
    train(tmp_path, 0, 100)
    train(tmp_path, 0, 25)
    assert steps_in(tmp_path) == ([25], [])
    old = json.loads((tmp_path / "metrics-before-20260102T030405Z.json").read_text())
    assert len(old["steps"]) == 4
    assert (tmp_path / "best_wer-before-20260102T030405Z.txt").exists()
    assert not (tmp_path / "best_wer.txt").exists()


def test_trainings_that_share_a_log_folder_in_turn_go_on_with_their_own_figures(tmp_path):
    seconds = count()
    told = {"report_to": ("tensorboard",), "clock": lambda: clock() + timedelta(seconds=next(seconds))}
    train(tmp_path, 0, 50, loss=0.5, run="one", **told)
    train(tmp_path, 0, 100, loss=2.0, run="other", **told)
    train(tmp_path, 50, 75, loss=0.25, run="one", **told)
    assert [record["loss"] for record in metrics(tmp_path)["steps"]] == [0.5, 0.5, 0.25]
    assert (tmp_path / "best_wer.txt").read_text().endswith(f"run: {tmp_path / 'one'}\n")
    train(tmp_path, 100, 125, loss=1.0, run="other", **told)
    assert [record["loss"] for record in metrics(tmp_path)["steps"]] == [2.0, 2.0, 2.0, 2.0, 1.0]
    assert (tmp_path / "best_wer.txt").read_text().endswith(f"run: {tmp_path / 'other'}\n")
    for run, losses in {"one": [0.5, 0.5, 0.25], "other": [2.0, 2.0, 2.0, 2.0, 1.0]}.items():
        assert [event.value for event in event_files(tmp_path, run).Scalars("train/loss")] == losses


def test_two_output_folders_of_one_name_have_curves_of_their_own(tmp_path):
    for parent, loss in (("a", 0.5), ("b", 2.0), ("a", 0.25)):
        run, resumed = tmp_path / parent / "run", 25 if loss == 0.25 else None
        next_second()
        writer = TensorBoardWriter(tmp_path, run, resumed)
        writer.step(replace(RECORD, step=50 if resumed else 25, loss=loss))
        writer.close()
    folders = sorted((tmp_path / "tensorboard").iterdir())
    curves = {owner(folder): folder.name for folder in folders}
    assert set(curves) == {str(tmp_path / "a" / "run"), str(tmp_path / "b" / "run")}
    found = event_files(tmp_path, curves[str(tmp_path / "a" / "run")]).Scalars("train/loss")
    assert [event.value for event in found] == [0.5, 0.25]


def test_figures_that_json_has_no_number_for_are_null(tmp_path):
    with open_in(tmp_path) as telemetry:
        telemetry.step(replace(RECORD, loss=math.nan, grad_norm=math.inf))
    (record,) = metrics(tmp_path)["steps"]
    assert (record["loss"], record["grad_norm"]) == (None, None)


def test_what_a_killed_training_left_half_written_is_no_hindrance(tmp_path):
    train(tmp_path, 0, 25)
    (tmp_path / "metrics.json.partial").write_text('{"steps": [')
    train(tmp_path, 25, 50)
    assert steps_in(tmp_path) == ([25, 50], [50])


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"steps": [1], "evaluations": []}'])
def test_a_history_that_cannot_be_read_is_named_and_kept(tmp_path, content):
    (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(UsageError, match=r"metrics\.json is not a history of training"):
        open_in(tmp_path, resumed_step=25)
    assert (tmp_path / "metrics.json").read_text() == content


def test_the_best_wer_names_step_and_normalisers_and_stays_until_a_better_one(tmp_path):
    with open_in(tmp_path) as telemetry:
        telemetry.evaluated(EVALUATION, best=True)
        telemetry.evaluated(replace(EVALUATION, step=75), best=False)
    assert (tmp_path / "best_wer.txt").read_text().splitlines() == [
        "step: 50",
        "WER raw: 12.70 %",
        "WER basic: 11.30 %",
        "CER raw: 5.00 %",
        "CER basic: 4.00 %",
        "clips: 512",
        "encoder context: own",
        f"run: {tmp_path / 'run'}",
    ]


def test_every_figure_of_a_step_has_a_tag_of_its_own():
    assert set(STEP_TAGS) == {field.name for field in fields(StepRecord)} - {"step"}
    assert len(set(STEP_TAGS.values())) == len(STEP_TAGS)


def test_tensorboard_shows_every_figure_at_its_step(tmp_path):
    train(tmp_path, 0, 50, ("tensorboard",))
    found = event_files(tmp_path)
    by_source = {f"eval_by_source/{source}/{rate}" for source in ("cv", "mls") for rate in ("wer_raw", "cer_basic")}
    assert {*STEP_TAGS.values(), "eval/wer_raw", "eval/wer_basic", "eval/cer_raw", "eval/rows", *by_source} <= set(
        found.Tags()["scalars"]
    )
    assert [(event.step, event.value) for event in found.Scalars("train/loss")] == [(25, 0.5), (50, 0.5)]
    assert found.Scalars("eval/wer_raw")[0].value == pytest.approx(0.127)
    assert found.Scalars("gpu/vram_bytes")[0].value == pytest.approx(12e9)


def test_tensorboard_shows_transcripts_and_warnings_as_they_are(tmp_path):
    with open_in(tmp_path, report_to=("tensorboard",)) as telemetry:
        telemetry.evaluated(EVALUATION, best=True)
        telemetry.warn(WARNING)
    found = event_files(tmp_path)
    (transcripts,) = found.Tensors("eval/transcripts/text_summary")
    (text,) = transcripts.tensor_proto.string_val
    assert "    row 7, cv\n    said  Guten Tag | *Zoë*\n    heard guten Tag\n" in text.decode()
    (warning,) = found.Tensors("warnings/data wait/text_summary")
    assert warning.step == 50
    assert b"raise --loader-threads" in warning.tensor_proto.string_val[0]


def test_tensorboard_shows_steps_that_are_made_again_once(tmp_path):
    train(tmp_path, 0, 100, ("tensorboard",), loss=0.5)
    train(tmp_path, 50, 75, ("tensorboard",), loss=0.25)
    found = event_files(tmp_path)
    assert [(event.step, event.value) for event in found.Scalars("train/loss")] == [(25, 0.5), (50, 0.5), (75, 0.25)]
    assert [event.step for event in found.Scalars("eval/wer_raw")] == [50]


def test_own_length_and_30_s_are_two_curves():
    own, window = (evaluation_scalars(replace(EVALUATION, padding=padding)) for padding in ("own", "window"))
    assert own["eval/wer_raw"] == window["eval_window/wer_raw"] == 0.127
    assert not set(own) & set(window)


def test_nothing_is_imported_that_was_not_asked_for(tmp_path):
    """`--report-to none` needs neither torch nor TensorBoard; wandb is imported by `--report-to wandb` alone."""
    program = (
        "import sys; from pathlib import Path; from rich.console import Console\n"
        "from trainer.telemetry.telemetry import open_telemetry\n"
        f"open_telemetry(log_dir=Path({str(tmp_path)!r}), run=Path('run'), report_to=('none',), resumed_step=None,"
        " max_steps=1, console=Console()).close()\n"
        "assert not {'torch', 'tensorboard', 'wandb', 'pynvml', 'ray'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_wandb_that_is_not_installed_is_refused_with_the_command_that_installs_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UsageError, match="-m pip install wandb"):
        open_in(tmp_path, report_to=("wandb",))


class Wandb:
    """As far as the module is used: `init` makes a run that writes down what it is told."""

    Error = RuntimeError

    def __init__(self, *, refuses=False):
        self.refuses = refuses
        self.asked, self.logged, self.summary, self.alerts, self.finished = [], [], {}, [], 0

    def init(self, **options):
        if self.refuses:
            raise RuntimeError("no API key")
        self.asked.append(options)
        return SimpleNamespace(
            id=options["id"] or "run1",
            log=lambda values, step: self.logged.append((step, values)),
            summary=self.summary,
            alert=lambda title, text: self.alerts.append((title, text)),
            finish=self._finish,
        )

    def _finish(self):
        self.finished += 1

    def Table(self, columns, data):  # noqa: N802 - wandb's name
        return (columns, data)


def test_wandb_gets_the_figures_that_tensorboard_gets(tmp_path):
    wandb = Wandb()
    with Telemetry([WandbWriter(tmp_path, tmp_path, None, wandb)]) as telemetry:
        telemetry.step(RECORD)
        telemetry.evaluated(EVALUATION, best=True)
        telemetry.warn(WARNING)
    (step, figures), (evaluation_step, rates) = wandb.logged
    assert (step, set(figures)) == (25, set(STEP_TAGS.values()))
    assert evaluation_step == 50
    assert evaluation_scalars(EVALUATION).items() <= rates.items()
    assert rates["eval/transcripts"][1][1] == [9, "mls", "Nein", "Ja"]
    assert wandb.summary["best/eval/wer_raw"] == 0.127
    assert wandb.alerts == [("data wait", "training waits -> raise --loader-threads")]
    assert wandb.finished == 1


@pytest.mark.parametrize(("resumed_step", "run_id"), [(50, "run1"), (None, None)])
def test_wandb_goes_on_with_the_run_that_is_resumed_and_with_no_other(tmp_path, resumed_step, run_id):
    wandb = Wandb()
    WandbWriter(tmp_path, tmp_path, None, wandb).close()
    WandbWriter(tmp_path, tmp_path, resumed_step, wandb).close()
    assert [options["id"] for options in wandb.asked] == [None, run_id]


@pytest.mark.parametrize("said", [True, False])
def test_wandbs_login_is_asked_for_before_the_work_and_none_is_needed_offline(said):
    asked = []
    require_login(SimpleNamespace(Error=RuntimeError, login=lambda **options: asked.append(options) or said))
    assert asked == [{"verify": True}]


def test_a_login_that_wandb_has_not_is_told_with_its_remedy():
    def login(**_):
        raise RuntimeError("No API key configured. Use `wandb login` to log in.\nand more")

    with pytest.raises(UsageError, match="--report-to wandb: No API key configured") as caught:
        require_login(SimpleNamespace(Error=RuntimeError, login=login))
    assert "WANDB_MODE=offline" in caught.value.remedy


def test_wandb_that_does_not_start_is_a_matter_of_settings(tmp_path):
    with pytest.raises(UsageError, match="no API key"):
        WandbWriter(tmp_path, tmp_path, None, Wandb(refuses=True))


class Recorder(Sink):
    """A sink that remembers; *fails* names what raises, and *error* is raised then."""

    def __init__(self, *fails, error=None):
        self.fails, self.error = fails, error or OSError(28, "No space left on device")
        self.heard = []

    def _hear(self, name, value=None):
        self.heard.append((name, value))
        if name in self.fails:
            raise self.error

    def step(self, record):
        self._hear("step", record.step)

    def event(self, text):
        self._hear("event", text)

    def close(self):
        self._hear("close")


def test_a_sink_that_cannot_write_is_given_up_and_the_others_are_told():
    broken, sound = Recorder("step", "event", "close"), Recorder()
    with Telemetry([broken, sound]) as telemetry:
        telemetry.step(RECORD)
        telemetry.step(replace(RECORD, step=50))
    told = ("event", "Recorder is given up, training goes on: [Errno 28] No space left on device")
    assert broken.heard == [("step", 25), ("close", None)]
    assert sound.heard == [told, ("step", 25), ("step", 50), ("close", None)]


def test_sinks_that_all_fail_end_no_training():
    sinks = [Recorder("step", "event", "close") for _ in range(3)]
    with Telemetry(sinks) as telemetry:
        telemetry.step(RECORD)
        telemetry.event("still here")
    assert all(sink.heard[-1] == ("close", None) for sink in sinks)


def test_a_bug_in_a_sink_goes_up_and_the_others_are_closed():
    sinks = [Recorder(), Recorder("step", error=KeyError("bug")), Recorder()]
    with pytest.raises(KeyError, match="bug"), Telemetry(sinks) as telemetry:
        telemetry.step(RECORD)
    assert all(sink.heard[-1] == ("close", None) for sink in sinks)


def test_a_sink_that_cannot_close_is_told_of_to_those_before_it():
    log = Recorder()
    with Telemetry([log, Recorder("close")]):
        pass
    assert log.heard[0][1].startswith("Recorder is given up")


def test_closing_twice_closes_once():
    sink = Recorder()
    with Telemetry([sink]) as telemetry:
        telemetry.close()
    assert sink.heard == [("close", None)]

"""The training of a check is a user's, and what it leaves is read as it is."""

import json

import pytest

from shared.command.cli import parse_settings
from tests.support.made_up_machines import MACHINE, examined, one_gpu
from trainer.checking.bench import LIMITS, Bench, complaint, training_facts, training_options
from trainer.checking.checks import CHECKS
from trainer.checking.observations import Training
from trainer.checking.scope import Scope
from trainer.checking.world import Outcome
from trainer.settings import TrainSettings

TURBO = Scope("large-v3-turbo", ranks=2, cuda=True, vram_bytes=16 << 30)
STEPS = ((3, 10.9, 4.0, 11 << 30, 1), (6, 10.8, 2.0, 12 << 30, 0), (9, 10.7, 1.0, 12 << 30, 0), (12, None, 3.0, 1, 0))


@pytest.fixture
def output(tmp_path):
    names = ("step", "loss", "seconds_per_step", "vram_bytes", "skipped_steps")
    steps = [dict(zip(names, values, strict=True)) for values in STEPS]
    checkpoint = tmp_path / "checkpoint-00000012"
    (checkpoint / "training").mkdir(parents=True)
    (tmp_path / "metrics.json").write_text(json.dumps({"steps": steps, "evaluations": []}))
    (checkpoint / "training" / "state.json").write_text('{"step": 12, "frames": 5600, "plain_frames": 0}')
    (checkpoint / "model.safetensors").write_bytes(b"x" * 1000)
    (tmp_path / "best").symlink_to(checkpoint.name)
    return tmp_path


def test_the_rate_is_that_of_all_records_but_the_first(output):
    found = Training(**training_facts(output, TURBO))
    assert found.samples_per_second == pytest.approx(48 / 2.0)
    assert (found.vram_bytes, found.skipped, found.frames, found.plain_frames) == (12 << 30, 1, 5600, 0)
    assert found.losses[:3] == [10.9, 10.8, 10.7]
    assert found.losses[3] != found.losses[3]


def test_the_checkpoint_is_weighed_with_all_of_its_files(output):
    found = Training(**training_facts(output, TURBO))
    assert found.checkpoint_step == 12
    assert found.checkpoint_bytes == 1000 + len('{"step": 12, "frames": 5600, "plain_frames": 0}')


def test_its_options_are_a_trainings_and_leave_no_trace_elsewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    options = training_options(TURBO, 12 << 30)
    found = parse_settings(TrainSettings, options, prog="train", about="")
    assert found.nproc_per_node == 2
    assert found.vram_budget == 12 << 30
    assert (found.optim, found.precision, found.metrics, found.report_to) == ("auto", "fp16", False, ("none",))
    assert found.max_steps == found.save_steps == 12
    assert found.output_folder.name == "output"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("step 1\nerror: no room\n  -> make some\nbye", ("no room", "make some")),
        ("error: first\n  -> do\nerror: second\n", ("second", "")),
        ("Traceback (most recent call last):\n", ("", "")),
        ("", ("", "")),
    ],
)
def test_what_a_command_complains_of_is_found_in_what_it_printed(text, found):
    assert complaint(text) == found


def test_every_probe_has_its_time():
    assert {check.probe for check in CHECKS if check.probe} <= set(LIMITS)


def test_a_users_settings_and_ranks_are_not_the_checks(monkeypatch, tmp_path):
    for name in ("TRAINER_STORE", "TRAINER_LEARNING_RATE", "LOG_DIR", "RANK", "WORLD_SIZE", "trainer_seed"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("HF_HOME", "/hf")
    environment = Bench(tmp_path / "folder").environment
    assert not {"TRAINER_STORE", "TRAINER_LEARNING_RATE", "LOG_DIR", "RANK", "WORLD_SIZE", "trainer_seed"} & set(
        environment
    )
    assert environment["HF_HOME"] == "/hf"


def test_a_training_that_says_why_it_failed_is_told_so(monkeypatch, tmp_path):
    monkeypatch.setattr("trainer.checking.bench.run_within", _failing)
    monkeypatch.setattr("trainer.checking.worker.Worker.ask", lambda *_: Outcome())
    found = Bench(tmp_path)("training", examined(one_gpu(), MACHINE)[0])
    assert (found.trouble, found.remedy) == ("no GPU memory", "take less")


def test_figures_that_are_not_there_are_trouble_and_no_traceback(monkeypatch, tmp_path):
    monkeypatch.setattr("trainer.checking.bench.run_within", lambda *_: 0)
    monkeypatch.setattr("trainer.checking.worker.Worker.ask", lambda *_: Outcome())
    for probe in ("training", "links"):
        found = Bench(tmp_path)(probe, examined(one_gpu(), MACHINE)[0])
        assert found.facts is None
        assert "it left no figures" in found.trouble


def _failing(_arguments, folder, _environment, _limit, log):
    log.write_text("error: no GPU memory\n  -> take less\n")
    assert folder.is_dir()
    return 3

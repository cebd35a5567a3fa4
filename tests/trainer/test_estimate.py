"""`python -m trainer.estimate`: its table, its advice, and the step that it measures."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from shared.cli import parse_settings, run_command
from shared.errors import UsageError
from trainer.estimate import ORDER, EstimateSettings, advice, choices, find_shape, main
from trainer.memory.activations import OPTIMISERS, StepOptions
from trainer.memory.footprint import dense_tokens, footprint
from trainer.model.shape import PUBLISHED, ModelShape
from trainer.settings import TrainSettings
from trainer.training.measured_step import take_steps

REPOSITORY = Path(__file__).parents[2]
TURBO = PUBLISHED["openai/whisper-large-v3-turbo"]
GB = 10**9


def settings_of(**given):
    return EstimateSettings(_env_file=None, **given)


def printed(capsys, monkeypatch, *argv, columns=80):
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(argv) == 0
    return capsys.readouterr().out


def test_every_optimiser_is_shown_with_and_without_checkpointing():
    assert set(ORDER) == set(OPTIMISERS)
    shown = [(choice.options.optimiser, choice.options.checkpointing) for choice in choices(TURBO, settings_of())]
    assert shown == [(optimiser, checkpointing) for optimiser in ORDER for checkpointing in (False, True)]


def test_the_table_is_of_the_micro_batch_that_was_asked_for():
    found = choices(TURBO, settings_of(clips=3, clip_seconds=4.5, freeze_encoder=True, world_size=2))
    tokens = dense_tokens(TURBO, 3 * 450)
    expected = StepOptions(frames=3 * 450, tokens=tokens, freeze_encoder=True, world_size=2)
    assert {replace(choice.options, optimiser="adamw-8bit", checkpointing=True) for choice in found} == {expected}
    assert all(choice.needed == footprint(TURBO, choice.options) for choice in found)


def test_an_odd_number_of_frames_becomes_even():
    assert settings_of(clip_seconds=0.03).clip_frames % 2 == 0
    assert settings_of(clip_seconds=0.001).clip_frames == 2


@pytest.mark.parametrize(
    ("vram", "words"),
    [
        (80 * GB, "use --optim adamw --gradient-checkpointing never: "),
        (24 * GB, "use --optim adamw --gradient-checkpointing auto: "),
        (16 * GB, "use --optim adamw-8bit --gradient-checkpointing auto: "),
        (11 * GB, "use --optim adafactor --gradient-checkpointing auto: "),
        (9 * GB, "use --optim adafactor --gradient-checkpointing auto: smaller micro-batches; "),
        (6 * GB, "nothing fits, "),
    ],
)
def test_the_advice_is_the_first_option_that_fits(vram, words):
    assert advice(choices(TURBO, settings_of(vram=vram))).startswith(words)


def test_a_frozen_encoder_lets_plain_adamw_fit():
    assert "--optim adamw " in advice(choices(TURBO, settings_of(freeze_encoder=True)))


def test_the_screen_has_one_line_for_each_option_and_one_of_advice(capsys, monkeypatch):
    lines = printed(capsys, monkeypatch, "--no-measure", "--vram", "16GB").splitlines()
    assert max(len(line) for line in lines[:-1]) <= 80
    rows = [line.split() for line in lines if line.startswith(OPTIMISERS)]
    assert [row[:2] for row in rows] == [[optimiser, when] for optimiser in ORDER for when in ("never", "always")]
    chosen = next(row for row in rows if row[:2] == ["adamw-8bit", "always"])
    assert " ".join(chosen[2:]) == "3.2 GB 3.2 GB 1.6 GB 2.2 GB 10.3 GB yes 48,942"
    assert lines[-1] == (
        "use --optim adamw-8bit --gradient-checkpointing auto: 10.3 GB; "
        "up to 4,488 frames kept, up to 48,942 frames recomputed"
    )


def test_no_figure_is_cut_short_on_a_narrow_screen(capsys, monkeypatch):
    said = printed(capsys, monkeypatch, "openai/whisper-tiny", "--no-measure", "--vram", "1000GB", columns=40)
    assert "…" not in said
    rows = [line.split() for line in said.splitlines() if line.startswith(OPTIMISERS)]
    assert {len(row) for row in rows} == {13 + 1}


def test_without_a_gpu_it_says_that_measuring_needs_one(capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "not measured: that needs a GPU" in printed(capsys, monkeypatch, "openai/whisper-tiny")


def test_published_models_need_no_hub_and_the_screen_says_so(capsys, monkeypatch):
    for model in PUBLISHED:
        assert "the Hub was not asked" in printed(capsys, monkeypatch, "--no-measure", "--model", model, columns=200)


def test_a_folder_is_read_by_its_config(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(TURBO.to_config()))
    assert find_shape(str(tmp_path)) == (TURBO, "sizes from its config.json")


def test_a_folder_without_config_is_a_wrong_usage(tmp_path, capsys):
    assert run_command(main, ["--no-measure", "--model", str(tmp_path)]) == 2
    assert "config.json" in capsys.readouterr().err


def test_the_memory_is_a_size_and_the_environment_has_the_trainers_prefix(monkeypatch):
    assert parse_settings(EstimateSettings, ["--vram", "24GiB"], prog="estimate", about="").vram == 24 * 2**30
    monkeypatch.setenv("TRAINER_VRAM", "12GB")
    assert parse_settings(EstimateSettings, [], prog="estimate", about="").vram == 12 * GB
    with pytest.raises(UsageError, match="--vram"):
        parse_settings(EstimateSettings, ["--vram", "much"], prog="estimate", about="")


@pytest.mark.parametrize("vram", ["16", " 24 ", "999999"])
def test_a_memory_whose_unit_was_forgotten_is_refused_with_an_example(vram, capsys):
    assert run_command(main, ["--no-measure", "--vram", vram]) == 2
    assert "give a unit, such as 16GB" in capsys.readouterr().err


def test_bytes_may_be_written_without_a_unit_where_they_can_be_meant():
    assert settings_of(vram="16000000000").vram == settings_of(vram=16 * GB).vram == 16 * GB


def test_a_training_asks_for_the_unit_too():
    with pytest.raises(UsageError, match="give a unit, such as 16GB"):
        parse_settings(TrainSettings, ["--store", "store", "--vram-budget", "14"], prog="train", about="")


def test_help_fits_80_columns_and_needs_no_torch(tmp_path):
    # What is imported is listed on stderr when the interpreter ends.
    script = (
        "import atexit, runpy, sys\n"
        "atexit.register(lambda: print('torch' in sys.modules, file=sys.stderr))\n"
        "sys.argv = ['estimate', '--help']\n"
        "runpy.run_module('trainer.estimate', run_name='__main__')"
    )
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "COLUMNS": "80"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "False\n")
    assert done.stdout.startswith("usage: python -m trainer.estimate")
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("freeze_encoder", [False, True])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_step_that_is_measured_has_the_shape_and_leaves_optimiser_state(checkpointing, freeze_encoder):
    shape = ModelShape(
        d_model=32,
        encoder_layers=2,
        decoder_layers=1,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        encoder_heads=2,
        decoder_heads=2,
        vocab_size=100,
        num_mel_bins=8,
        max_source_positions=50,
        max_target_positions=20,
    )
    options = StepOptions("adamw", checkpointing, frames=2 * 40, tokens=2 * 10, freeze_encoder=freeze_encoder)
    stepper = take_steps(shape, options, clips=2, device=torch.device("cpu"), dtype=torch.bfloat16)
    moments = sum(state["exp_avg"].numel() for state in stepper.optimiser.state.values())
    assert moments == shape.trained_count(freeze_encoder=freeze_encoder)
    assert sum(parameter.numel() for parameter in stepper.model.parameters()) == shape.parameter_count

"""`python -m trainer.estimate`: its table, its advice, and the step that it measures."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from shared.command.cli import parse_settings, run_command
from shared.errors import UsageError
from tests.support.card import Card
from tests.support.training import tiny_model, training_store
from trainer.estimate import EstimateSettings, find_shape, main
from trainer.memory.activations import OPTIMISERS, StepOptions
from trainer.memory.choices import ORDER, advice, any_fits, choices, way_out
from trainer.memory.footprint import dense_tokens, footprint
from trainer.model.shape import PUBLISHED, ModelShape
from trainer.settings import TrainSettings
from trainer.training import measured_step
from trainer.training.measured_step import measured_bytes, take_steps

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
    shown = [(choice.options.optimiser, choice.options.checkpointing) for choice in choices(TURBO, settings_of().need)]
    assert shown == [(optimiser, checkpointing) for optimiser in ORDER for checkpointing in (False, True)]


def test_the_table_is_of_the_micro_batch_that_was_asked_for():
    found = choices(TURBO, settings_of(clips=3, clip_seconds=4.5, freeze_encoder=True, world_size=2).need)
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
    ],
)
def test_the_advice_is_the_first_option_that_fits(vram, words):
    assert advice(choices(TURBO, settings_of(vram=vram).need)).startswith(words)


def test_a_frozen_encoder_lets_plain_adamw_fit():
    assert "--optim adamw " in advice(choices(TURBO, settings_of(freeze_encoder=True).need))


def test_the_screen_has_one_line_for_each_option_and_one_of_advice(capsys, monkeypatch):
    lines = printed(capsys, monkeypatch, "--no-measure", "--vram", "16GB").splitlines()
    assert max(len(line) for line in lines[:-2]) <= 80
    rows = [line.split() for line in lines if line.startswith(OPTIMISERS)]
    assert [row[:2] for row in rows] == [[optimiser, when] for optimiser in ORDER for when in ("never", "always")]
    chosen = next(row for row in rows if row[:2] == ["adamw-8bit", "always"])
    assert " ".join(chosen[2:]) == "3.2 GB 3.2 GB 1.6 GB 2.2 GB 10.3 GB yes 48,942"
    assert lines[-2] == (
        "use --optim adamw-8bit --gradient-checkpointing auto: 10.3 GB; "
        "up to 4,488 frames (45 s, 1 clip of 30 s) kept, up to 48,942 frames (8 min 09 s, 16 clips of 30 s) recomputed"
    )
    assert lines[-1].startswith("3 epochs of 1,000 h of audio in 720,000 clips on 1 x RTX 4060 Ti: ")
    assert lines[-1].endswith(" h, at 25 to 45 % of what the GPU can do")


@pytest.mark.parametrize("options", [(), ("--freeze-encoder",), ("--clip-seconds", "10"), ("--world-size", "4")])
def test_where_nothing_fits_the_table_is_shown_and_the_end_is_no_success(options, capsys):
    assert run_command(main, ["--no-measure", "--vram", "3GB", *options]) == 3
    out, err = capsys.readouterr()
    assert "adafactor" in out
    assert "use --optim" not in out
    assert "nothing fits into" in err
    assert "a smaller model: openai/whisper-" in err


def test_what_is_named_where_nothing_fits_does_fit():
    tight = settings_of(vram=6 * GB)
    assert not any_fits(choices(TURBO, tight.need))
    assert way_out(TURBO, tight.need).startswith("--freeze-encoder ")
    assert any_fits(choices(TURBO, settings_of(vram=6 * GB, freeze_encoder=True).need))
    name = way_out(TURBO, settings_of(vram=3 * GB).need).rpartition(": ")[2].removesuffix(" fits")
    assert any_fits(choices(PUBLISHED[name], settings_of(vram=3 * GB).need))
    assert way_out(TURBO, settings_of(vram=10_000_000).need) == "a GPU with more memory"


def hours(capsys, monkeypatch, *argv):
    line = printed(capsys, monkeypatch, "--no-measure", *argv, columns=400).splitlines()[-1]
    return line, float(re.search(r": ([\d.,]+) h to ", line)[1].replace(",", ""))


def test_hours_are_those_of_the_epochs_the_audio_and_the_gpus_asked_for(capsys, monkeypatch):
    _, one = hours(capsys, monkeypatch, "--num-epochs", "1", "--audio-hours", "10000")
    _, three = hours(capsys, monkeypatch, "--num-epochs", "3", "--audio-hours", "10000")
    line, shared = hours(capsys, monkeypatch, "--audio-hours", "10000", "--world-size", "2", "--gpu", "RTX 4090")
    assert three == pytest.approx(3 * one, rel=0.02)
    assert shared == pytest.approx(three / 2 * 44.1 / 165.2, rel=0.02)
    assert " on 2 x RTX 4090: " in line
    _, padded = hours(capsys, monkeypatch, "--audio-hours", "10000", "--full-context-share", "1")
    assert padded > 2 * three
    _, packed = hours(capsys, monkeypatch, "--audio-hours", "10000", "--pack-share", "1")
    # Six clips in a window take little more than each for itself, and less than where 15 % are padded.
    assert three / 2 < packed < 0.8 * three


def test_a_store_is_counted_clip_by_clip(capsys, monkeypatch, tmp_path):
    folder = tiny_model(tmp_path / "model")
    store = training_store(tmp_path / "store", folder, clips=48)
    line = printed(capsys, monkeypatch, "--no-measure", "--store", str(store), "--num-epochs", "1", columns=400)
    assert "1 epoch of " in line
    assert "of audio in 48 clips on 1 x RTX 4060 Ti: " in line


def test_a_gpu_that_is_not_known_is_refused_with_those_that_are(capsys):
    assert run_command(main, ["--no-measure", "--gpu", "Voodoo 2"]) == 2
    assert "RTX 4060 Ti" in capsys.readouterr().err


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


SMALL = ModelShape(
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


@pytest.mark.parametrize("freeze_encoder", [False, True])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_step_that_is_measured_has_the_shape_and_leaves_optimiser_state(checkpointing, freeze_encoder):
    options = StepOptions("adamw", checkpointing, frames=2 * 40, tokens=2 * 10, freeze_encoder=freeze_encoder)
    stepper = take_steps(SMALL, options, clips=2, device=torch.device("cpu"), dtype=torch.bfloat16)
    moments = sum(state["exp_avg"].numel() for state in stepper.optimiser.state.values())
    assert moments == SMALL.trained_count(freeze_encoder=freeze_encoder)
    assert sum(parameter.numel() for parameter in stepper.model.parameters()) == SMALL.parameter_count


@pytest.fixture
def card(monkeypatch):
    """A card in the CPU's place, of which torch says that it is the only GPU."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda _device: "NVIDIA GeForce RTX 4060 Ti")
    monkeypatch.setattr(measured_step, "current_gpu", lambda: torch.device("cpu"))
    return Card(1 << 30).installed(monkeypatch)


def test_what_a_card_took_is_measured_and_too_much_is_told(card):
    options = StepOptions("adamw", autocast=False, frames=2 * 40, tokens=2 * 10)
    with card:
        taken = measured_bytes(SMALL, options, 2, vram_bytes=1 << 29)
        assert measured_bytes(SMALL, options, 2, vram_bytes=taken // 2) is None
    # Weights, gradients and two moments, and what a step keeps on top.
    stays = 16 * SMALL.parameter_count
    assert stays < taken < 3 * stays
    assert card.limit == taken // 2
    assert card.emptied == 2

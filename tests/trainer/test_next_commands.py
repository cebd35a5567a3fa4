"""Each command names the one that comes after it, from the first look at a data set to a transcript."""

import importlib
import shlex
import subprocess
import sys

import pytest

from shared.command import training_command as next_training
from shared.command.cli import run_command
from shared.command.training_command import training_command
from shared.errors import ExitCode
from tests.support.inline_run import run_inline
from tests.support.samples import wav, write_source
from trainer.evaluation.inputs import EvaluationFacts, EvaluationRow, ModelTranscripts
from trainer.evaluation.next_step import export_command
from trainer.evaluation.results import evaluate_transcripts
from trainer.evaluation.settings import EvaluateSettings

ROWS = [(wav(16_000 + 1_600 * n, seed=n), f"{n}.wav", f"Satz {n}") for n in range(8)]
SMALL = {
    "trainer.train": (
        *("--max-steps", "1", "--global-batch-size", "4", "--eval-rows", "1", "--report-to", "none", "--no-metrics"),
    ),
    "trainer.evaluate": ("--silence-clips", "0", "--resamples", "100", "--device", "cpu"),
    # Half precision makes of an untrained model's noise other noise.
    "trainer.export": ("--quantization", "float32", "--device", "cpu"),
}
"""What a test adds, so that it takes seconds."""
WHOLE_WAY = [
    *("preprocess.plan", "preprocess.run", "preprocess.verify"),
    *("trainer.train", "trainer.evaluate", "trainer.export"),
]


def next_words(capsys, log=""):
    """The words of the command that was printed last, or that is in *log*."""
    said = capsys.readouterr().out + log
    return shlex.split(said.split("Next:")[-1].replace("\\\n", " ").splitlines()[0])


@pytest.mark.campaign
def test_the_next_lines_lead_from_a_data_set_to_a_transcript(tmp_path, demo_model, monkeypatch, capsys):
    for split, rows in {"train": ROWS, "test": ROWS[:2]}.items():
        write_source(tmp_path / f"a source/{split}.parquet", rows)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BASE_DIR", str(tmp_path / "base"))
    inspect = importlib.import_module("preprocess.inspect").main
    assert run_command(inspect, ["a source", "--model", str(demo_model)]) == ExitCode.DONE
    words = next_words(capsys)
    for expected in WHOLE_WAY:
        assert words[1:3] == ["-m", expected]
        if expected == "preprocess.run":
            assert run_inline(monkeypatch, *words[3:]) == ExitCode.DONE
        else:
            main = importlib.import_module(expected).main
            assert run_command(main, [*words[3:], *SMALL.get(expected, ())]) == ExitCode.DONE
        logs = [path.read_text() for path in tmp_path.rglob("training.log")] if expected == "trainer.train" else []
        words = next_words(capsys, *logs)
    (tmp_path / "recording.wav").write_bytes(ROWS[0][0])
    assert words[1] == "-c"
    done = subprocess.run([sys.executable, *words[1:]], capture_output=True, text=True, check=False, cwd=tmp_path)
    # The demo has too few words for faster-whisper to take it for a model of many languages, which it says.
    assert done.returncode == 0, done.stderr


@pytest.fixture
def store(tmp_path, demo_model, monkeypatch):
    source = write_source(tmp_path / "source/train.parquet", ROWS[:1]).parent
    assert run_inline(monkeypatch, "--source", source, "--model", demo_model, "--store", tmp_path / "its store") == 0
    return tmp_path / "its store"


def test_a_verified_store_is_trained_on_with_its_own_model_and_a_process_for_each_gpu(
    store, demo_model, tmp_path, monkeypatch
):
    command = ["-m", "trainer.train", "--store", str(store), "--model", str(demo_model)]
    monkeypatch.setattr(next_training, "_GPUS", tmp_path / "none")
    assert training_command(store)[1:] == [*command, "--output", "its store-training"]
    for gpu in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / "gpus" / gpu).mkdir(parents=True)
    monkeypatch.setattr(next_training, "_GPUS", tmp_path / "gpus")
    assert training_command(store)[3:5] == ["--nproc-per-node", "2"]


def test_a_store_without_settings_is_trained_on_with_a_model_of_its_mel_bins(store):
    (store / "settings.json").write_text("[")
    assert "openai/whisper-small" in training_command(store)


@pytest.fixture
def evaluated(tmp_path):
    """Two checkpoints of a training, an export, and a model of the Hub; `best` has fewest errors but for the Hub's."""
    for name in ("turbo/best", "turbo/checkpoint-2"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.json").write_text("{}")
    (tmp_path / "made").mkdir()
    for name in ("config.json", "model.bin"):
        (tmp_path / "made" / name).write_text("{}")
    heard = {"turbo/checkpoint-2": "nein", "turbo/best": "ja ja", "made": "ja", "openai/whisper-tiny": "ja"}
    models = [
        ModelTranscripts(str(tmp_path / name) if "openai" not in name else name, [text] * 2)
        for name, text in heard.items()
    ]
    rows = [EvaluationRow(number, "", "ja ja") for number in range(2)]
    return evaluate_transcripts(EvaluationFacts("t", rows, models, baseline="openai/whisper-tiny"), resamples=10)


def test_the_best_checkpoint_of_an_evaluation_is_exported(evaluated, tmp_path):
    settings = EvaluateSettings(store=(tmp_path / "s",), split="validation", baseline="openai/whisper-tiny")
    assert export_command(evaluated, settings)[1:] == [
        *("-m", "trainer.export", "--checkpoint", str(tmp_path / "turbo/best"), "--output", "turbo-ct2"),
        *("--store", str(tmp_path / "s"), "--split", "validation"),
    ]


def test_an_evaluation_of_what_cannot_be_exported_names_no_command(tmp_path):
    rows = [EvaluationRow(0, "", "ja")]
    result = evaluate_transcripts(EvaluationFacts("t", rows, [ModelTranscripts("openai/x", ["ja"])]), resamples=10)
    assert export_command(result, EvaluateSettings(store=(tmp_path,))) == []

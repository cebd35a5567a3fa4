"""`python -m trainer.evaluate`: transformers and CTranslate2 folders alike, ready tables, checkpoints as they come."""

import json
import re
import shlex
import shutil
import subprocess
import sys
import time
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from ctranslate2.converters import TransformersConverter
from tokenizers import Tokenizer

from shared.command.cli import run_command
from shared.command.terminal import Screen
from shared.errors import UsageError
from shared.models.model_files import model_file
from shared.store import open_split
from shared.text import Labeller, tokenizer_fingerprint
from tests.support.samples import feature_row, make_store, quarantined_row
from tests.support.training import ROOT, SPEC, Training, tiny_model, training_store
from trainer.checkpoints.checkpoint import checkpoints
from trainer.evaluate import main
from trainer.evaluation.settings import EvaluateSettings
from trainer.evaluation.transcribe import transcribed, windows
from trainer.evaluation.transcribers import longest_text, open_transcriber, words
from trainer.train import main as train


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A store, a model, and the same model as CTranslate2 has it."""
    folder = tmp_path_factory.mktemp("evaluate")
    tiny_model(folder / "model")
    training_store(folder / "store", folder / "model", test_clips=6)
    converter = TransformersConverter(str(folder / "model"), copy_files=["tokenizer.json", "preprocessor_config.json"])
    converter.convert(str(folder / "converted"))
    return folder


def run(folder, *arguments):
    return run_command(main, ["--store", str(folder / "store"), *arguments])


def test_a_transformers_and_a_ctranslate2_folder_say_the_same(folder, capsys, tmp_path):
    names = [str(folder / name) for name in ("model", "converted")]
    assert (
        run(folder, "--model", names[0], "--baseline", names[1], "--output", str(tmp_path), "--resamples", "200") == 0
    )
    said = capsys.readouterr().out
    assert all(normaliser in said for normaliser in ("raw", "basic", "basic+ss"))
    value = json.loads((tmp_path / "metrics.json").read_text())
    assert len(value["models"]) == 2
    assert "<html" in (tmp_path / "evaluation.html").read_text()
    texts = [
        open_transcriber(name, language="de", beam_size=1, device=torch.device("cpu"))(log_mel, max_length=24)
        for name in names
        for log_mel in [windows(open_split(folder / "store", "test"), range(4))]
    ]
    assert texts[0] == texts[1]


def test_rows_come_once_each_with_their_own_reference(folder):
    split = open_split(folder / "store", "test")
    settings = EvaluateSettings(beam_size=2, silence_clips=2, device="cpu")
    facts = transcribed([folder / "store"], [str(folder / "model")], settings, Screen(stderr=True))
    assert sorted(row.row_id for row in facts.rows) == list(range(len(split)))
    assert facts.decoding.startswith("beam of 2, ")
    assert facts.decoding.endswith(", 30 s window")
    assert facts.models[0].silence.clips == 2
    texts = dict(zip((row.row_id for row in facts.rows), facts.rows, strict=True))
    labels = [split.labels(row).tolist() for row in range(len(split))]
    assert len({tuple(ids) for ids in labels}) == len({row.reference for row in texts.values()})


def test_what_the_models_see_is_whispers_window(folder):
    split = open_split(folder / "store", "test")
    log_mel = windows(split, [0])
    frames = int(split.num_frames[0])
    assert log_mel.shape == (1, 3_000, 80)
    np.testing.assert_array_equal(log_mel[0, :frames], split.log_mel(0))
    np.testing.assert_array_equal(log_mel[0, frames:], split.floor[0])


def test_a_clip_gets_more_labels_than_anybody_speaks_and_no_more_than_the_decoder_has():
    assert longest_text(1) < longest_text(10) < longest_text(30) == longest_text(300) == 448


def test_published_transcripts_are_scored_without_any_model(tmp_path):
    """And without torch: a table is scored on any machine."""
    table = tmp_path / "table.csv"
    table.write_text("said,heard\nguten Tag,guten Tag\nauf Wiedersehen,auf Widersehen\n")
    program = (
        "import sys; from shared.command.cli import run_command; from trainer.evaluate import main; "
        "code = run_command(main); assert 'torch' not in sys.modules; sys.exit(code)"
    )
    arguments = ["--hypotheses", str(table), "--reference-column", "said", "--hypothesis-column", "heard"]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "25.00 %" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "nothing to evaluate was named"),
        (("--model", "nowhere/at-all/x"), "cannot read config.json"),
        (("--watch", "/nonexistent"), "--watch needs --store"),
    ],
)
def test_what_is_missing_is_said(folder, capsys, arguments, said):
    assert run(folder, *arguments) == 2
    assert said in capsys.readouterr().err


def test_a_split_without_rows_is_a_wrong_usage(folder, tmp_path, capsys):
    make_store(tmp_path / "store", {"test": [[quarantined_row(0)]]}, SPEC)
    assert run_command(main, ["--store", str(tmp_path / "store"), "--model", str(folder / "model")]) == 2
    assert f"test of {tmp_path / 'store'} has no rows to evaluate" in flat(capsys.readouterr().err)


def flat(said):
    """What was said, however the lines were broken."""
    return " ".join(said.split())


def long_store(root, model, test_frames):
    """A store whose first clip to train on is longer than 30 s, with clips of *test_frames* in `validation`."""
    tokenizer_json = (model / "tokenizer.json").read_text()
    labels = Labeller(tokenizer_json)("Guten Tag.")
    splits = {
        name: [[feature_row(number, count, SPEC, labels=labels, floor=-1.5) for number, count in enumerate(frames)]]
        for name, frames in {"train": (3_100, 200, 100, 90), "validation": test_frames}.items()
    }
    make_store(root, splits, SPEC, tokenizer=tokenizer_fingerprint(tokenizer_json))
    return root


def test_the_command_that_a_training_ends_with_works_also_where_clips_are_over_30_s(folder, tmp_path, capsys):
    store, output = long_store(tmp_path / "its store", folder / "model", (3_200, 150)), tmp_path / "out"
    options = (
        *("--store", str(store), "--model", str(folder / "model"), "--output", str(output), "--allow-long-context"),
        *("--max-steps", "1", "--global-batch-size", "4", "--eval-rows", "1", "--report-to", "none"),
    )
    assert run_command(train, options) == 0
    (printed,) = re.findall("Next: (.*)", (output / "training.log").read_text())
    _, flag, module, *options = shlex.split(printed)
    assert [flag, module] == ["-m", "trainer.evaluate"]
    capsys.readouterr()
    assert run_command(main, [*options, "--silence-clips", "0"]) == 0
    said = capsys.readouterr()
    assert "left out: 1 of 2 clips, longer than the window of 30 s" in flat(said.err)
    assert "without 1 over 30 s: 1 row" in flat(said.out)


def test_a_split_whose_clips_are_all_over_30_s_is_a_wrong_usage(folder, tmp_path, capsys):
    store = long_store(tmp_path / "store", folder / "model", (3_001, 3_002))
    arguments = ["--store", str(store), "--split", "validation", "--model", str(folder / "model")]
    assert run_command(main, arguments) == 2
    assert "all 2 are longer than the window of 30 s" in flat(capsys.readouterr().err)


def test_an_output_that_cannot_be_written_to_is_found_before_anything_is_transcribed(
    folder, tmp_path, capsys, monkeypatch
):
    (tmp_path / "file").write_text("here")
    monkeypatch.setattr("trainer.evaluation.transcribe.transcribed", lambda *_, **__: pytest.fail("transcribed"))
    assert run(folder, "--model", str(folder / "model"), "--output", str(tmp_path / "file" / "out")) == 2
    assert "cannot write to" in capsys.readouterr().err


def test_a_missing_shard_is_found_before_a_model_is_opened(folder, tmp_path, capsys):
    store = shutil.copytree(folder / "store", tmp_path / "store")
    shard = next((store / "data").glob("test-00001*"))
    shard.unlink()
    assert run_command(main, ["--store", str(store), "--model", "nowhere/at-all/x"]) == 1
    assert shard.name in capsys.readouterr().err


def test_watching_where_nothing_is_trained_says_what_to_do(folder, tmp_path, capsys):
    assert run(folder, "--watch", str(tmp_path)) == 2
    said = capsys.readouterr().err
    assert "has no checkpoint, and no training writes to it" in said
    assert "start the training first" in said
    assert list(tmp_path.iterdir()) == []


def test_a_model_of_other_mel_bins_is_refused(folder, tmp_path, capsys):
    tiny_model(tmp_path / "wide", num_mel_bins=128)
    assert run(folder, "--model", str(tmp_path / "wide")) == 2
    assert "takes 128 mel bins, the store has 80" in capsys.readouterr().err


def test_watch_scores_every_checkpoint_of_a_training_and_ends_with_it(folder, capsys, tmp_path):
    options = (
        *("--store", str(folder / "store"), "--model", str(folder / "model"), "--max-steps", "3", "--save-steps", "1"),
        *("--global-batch-size", "4", "--eval-steps", "99", "--eval-rows", "1", "--eval-padding", "own"),
        *("--full-context-share", "0", "--report-to", "none", "--keep-latest", "9"),
    )
    training = Training(tmp_path / "out", options)
    process = training.start()
    while process.poll() is None and not checkpoints(training.output):
        time.sleep(0.05)
    assert (
        run(folder, "--watch", str(training.output), "--rows", "2", "--silence-clips", "0", "--resamples", "100") == 0
    )
    assert process.wait(60) == 0
    said = capsys.readouterr().out
    for step, path in checkpoints(training.output):
        (line,) = [line for line in said.splitlines() if line.startswith(f"checkpoint-{step:08d}: ")]
        assert re.search(r": WER [0-9.]+ % raw, [0-9.]+ % basic, [0-9.]+ % basic\+ss; 2 clips of test", line)
        assert (training.output / "evaluations" / path.name / "metrics.json").exists()
    assert len(checkpoints(training.output)) == 3
    assert f"all checkpoints are scored, see {training.output / 'evaluations'}" in said


def test_points_in_time_are_no_words(folder):
    """Tokenizers hold them for ordinary ones."""
    tokenizer = Tokenizer.from_file(str(folder / "model" / "tokenizer.json"))
    ids = tokenizer.encode("eins zwei", add_special_tokens=False).ids
    moment = tokenizer.token_to_id("<|6.06|>")
    assert words(tokenizer, [*ids, moment, *ids]) == words(tokenizer, [*ids, *ids])


def test_a_trainings_history_is_not_written_over(folder, tmp_path, capsys):
    (tmp_path / "metrics.json").write_text('{"run": "out",\n"steps": [],\n"evaluations": []}')
    assert run(folder, "--model", str(folder / "model"), "--output", str(tmp_path)) == 2
    assert "is a training's history" in flat(capsys.readouterr().err)
    assert '"steps"' in (tmp_path / "metrics.json").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--watch", "out", "--store", "s", "--model", "m"), "--model has no effect beside --watch"),
        (("--hypotheses", "t.csv", "--rows", "1", "--store=s"), "--rows, --store has no effect beside --hypotheses"),
        (("--hypotheses", "t.csv", "--generation-config=model"), "--generation-config has no effect beside"),
        (("--long", "t.jsonl", "--model", "m", "--store", "s"), "--store has no effect beside --long"),
        (("--long", "t.jsonl", "--model", "m", "--resamples", "200"), "--resamples has no effect beside --long"),
        (("--store", "s", "--model", "m", "--language", "en"), "--language has no effect beside --store"),
        (("--long", "t.jsonl", "--model", "m", "--language", "xx"), "does not know the language 'xx'"),
        (("--long", "t.jsonl"), "--long names recordings, and no model hears them"),
        (("--store", "s", "--model", "m", "--source-column", "c"), "--source-column has no effect beside --store"),
    ],
)
def test_options_that_would_do_nothing_or_cannot_be_are_refused(arguments, said, capsys):
    assert run_command(main, arguments) == 2
    assert said in flat(capsys.readouterr().err)


@pytest.mark.parametrize(
    ("makes", "said"),
    [
        ("best/config.json", "its best model is"),
        ("model.bin", "that is a CTranslate2 export"),
        ("store.json", "that is a feature store"),
        ("README.md", "check the name"),
    ],
)
def test_what_is_no_model_is_told_what_it_is(tmp_path, makes, said):
    (tmp_path / "given" / makes).parent.mkdir(parents=True)
    (tmp_path / "given" / makes).write_text("{}")
    with pytest.raises(UsageError) as error:
        model_file(str(tmp_path / "given"), "tokenizer.json")
    assert said in str(error.value)


@pytest.mark.parametrize("columns", [30, 60, 200])
def test_no_figure_is_cut_short_on_a_narrow_screen(tmp_path, capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    table = tmp_path / "table.csv"
    table.write_text("reference,hypothesis,other,src\nguten Tag,guten Tag,gut,a\nauf Wieder,auf Widder,auf,b\n")
    columns = ["--hypothesis-column", "hypothesis", "--hypothesis-column", "other", "--source-column", "src"]
    assert run_command(main, ["--hypotheses", str(table), *columns, "--baseline", "other"]) == 0
    said = capsys.readouterr().out
    assert "…" not in said
    assert all(word in said for word in ("hypothesis", "other", "WER", "CER", "25.00 %", "difference"))


def test_a_checkpoint_that_was_scored_with_other_settings_is_scored_again(folder, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    shutil.copytree(folder / "model", tmp_path / "out" / "checkpoint-00000001")
    watch = ("--watch", str(tmp_path / "out"), "--silence-clips", "0", "--resamples", "100")
    for rows, scored in [("1", True), ("1", False), ("2", True)]:
        assert run(folder, *watch, "--rows", rows) == 0
        assert ("checkpoint-00000001: WER" in capsys.readouterr().out) is scored


def test_several_stores_are_test_sets_of_one_evaluation(folder, tmp_path, capsys):
    other = shutil.copytree(folder / "store", tmp_path / "mls")
    arguments = [
        "--model",
        str(folder / "model"),
        "--rows",
        "2",
        "--silence-clips",
        "0",
        "--output",
        str(tmp_path / "o"),
    ]
    assert run(folder, "--store", str(other), *arguments) == 2
    assert "is named twice, or beside a copy of it" in flat(capsys.readouterr().err)
    for name in ("store.json", "COMPLETE"):
        (other / name).write_text(json.dumps(json.loads((other / name).read_text()) | {"uuid": "another"}))
    assert run(folder, "--store", str(other), *arguments) == 0
    (model,) = json.loads((tmp_path / "o" / "metrics.json").read_text())["models"]
    assert model["by_set"].keys() == {"store", "mls"}
    assert [scores["raw"]["rows"] for scores in model["by_set"].values()] == [2, 2]
    assert model["overall"]["raw"]["rows"] == 4
    assert model["by_set"]["store"] == model["by_set"]["mls"]


def test_in_float16_as_on_a_gpu_a_model_says_what_it_says_in_float32(folder, monkeypatch):
    heard, log_mel = [], windows(open_split(folder / "store", "test"), [0])[:, :200]
    for context in (lambda _device: nullcontext(), lambda _device: torch.autocast("cpu", torch.float16)):
        monkeypatch.setattr("trainer.evaluation.transcribers.half_on_gpu", context)
        model = open_transcriber(str(folder / "model"), language="de", beam_size=1, device=torch.device("cpu"))
        heard.append(model(log_mel, max_length=12))
    assert heard[0] == heard[1]

"""`python -m trainer.export`: what it makes says what the original says, and what does not is caught and named."""

import json
import shutil

import numpy as np
import pytest
from faster_whisper import BatchedInferencePipeline, WhisperModel
from safetensors.torch import load_file, save_file

from shared.command.cli import run_command
from shared.store import open_split
from shared.text import tokenizer_fingerprint
from tests.support.push_hub import push_hub
from tests.support.samples import make_store, quarantined_row, wav
from tests.support.training import SPEC, tiny_model, training_store
from trainer.evaluate import main as evaluate
from trainer.export import main
from trainer.exporting.conversion import convert, export_folders
from trainer.exporting.files import RECORD, Checkpoint, file_digest
from trainer.exporting.problems import file_problems
from trainer.exporting.settings import spread_quantizations
from trainer.gate.apart import ExportApart
from trainer.gate.exported import load_export
from trainer.gate.measure import Candidate, gate_rows, run_gate
from trainer.gate.original import OriginalModel
from trainer.gate.realtimestt import RealtimeSTTModel, WholeCall
from trainer.gate.whole_calls import check_calls
from trainer.train import main as train

pytestmark = pytest.mark.usefixtures("one_thread")
ROWS = 3


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The output of a training: a tiny model that has learned to come to an end."""
    folder = tmp_path_factory.mktemp("export")
    model = tiny_model(folder / "model")
    training_store(folder / "store", model, test_clips=8)
    options = ["--store", str(folder / "store"), "--model", str(model), "--output", str(folder / "out")]
    steps = ["--max-steps", "30", "--global-batch-size", "4", "--learning-rate", "1e-2", "--warmup-steps", "5"]
    rest = ["--eval-rows", "2", "--full-context-share", "0", "--report-to", "none", "--eval-steps", "30"]
    assert train([*options, *steps, *rest]) == 0
    return folder


def export(trained, folder, *options):
    arguments = ["--checkpoint", str(trained / "out" / "best"), "--output", str(folder), "--threads", "1"]
    return run_command(main, [*arguments, "--gate-rows", str(ROWS), *options])


@pytest.fixture(scope="module")
def good(trained, tmp_path_factory):
    """A float16 export that passed."""
    folder = tmp_path_factory.mktemp("good") / "out"
    assert export(trained, folder) == 0
    return folder


@pytest.fixture
def broken(good, tmp_path):
    """A copy of it, to be broken by the test."""
    return shutil.copytree(good, tmp_path / "broken")


@pytest.fixture
def sound(tmp_path):
    path = tmp_path / "sound.wav"
    path.write_bytes(wav(16_000))
    return path


def edited(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def signed_again(folder):
    """The record of *folder* says that its files are what was exported: only what the model does can tell."""
    digests = {name: file_digest(folder / name) for name in json.loads((folder / RECORD).read_text())["digests"]}
    edited(folder / RECORD, digests=digests)


def with_other_weights(trained, folder, change):
    """*folder* with the weights of a model that *change* was done to."""
    other = folder.parent / "changed"
    shutil.copytree((trained / "out" / "best").resolve(), other, ignore=shutil.ignore_patterns("training"))
    weights = load_file(other / "model.safetensors")
    change(weights)
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    stored = json.loads((folder / RECORD).read_text())["quantization"]
    convert(Checkpoint.read(other), folder.parent / "converted", stored)
    shutil.copy(folder.parent / "converted" / "model.bin", folder / "model.bin")


def test_the_training_names_the_store_so_that_checkpoint_and_output_are_enough(good, trained):
    assert file_problems(good, Checkpoint.read(trained / "out" / "best")) == []
    assert f"on {ROWS} clips of `test`" in (good / "README.md").read_text()


def test_faster_whisper_transcribes_with_the_export_as_realtimestt_calls_it(good, sound):
    model = WhisperModel(str(good), device="cpu", cpu_threads=1)
    call = {"language": "de", "beam_size": 5, "initial_prompt": None, "suppress_tokens": [-1], "vad_filter": True}
    for engine, more in ((model, {"word_timestamps": True}), (BatchedInferencePipeline(model), {"batch_size": 16})):
        segments, info = engine.transcribe(str(sound), **call, **more)
        assert info.duration == 1.0
        assert all(0 <= segment.start <= segment.end for segment in segments)


def test_an_export_hears_a_long_recording_in_both_ways_and_what_it_gets_wrong_is_written(good, tmp_path, capsys):
    (tmp_path / "long.wav").write_bytes(wav(31 * 16_000))
    segments = [{"start": 0.0, "end": 31.0, "text": "Das sind vier Worte"}]
    (tmp_path / "table.jsonl").write_text(json.dumps({"audio": "long.wav", "segments": segments}))
    options = ["--long", str(tmp_path / "table.jsonl"), "--model", str(good), "--output", str(tmp_path / "found")]
    assert run_command(evaluate, options) == 0
    assert "RealtimeSTT" in capsys.readouterr().out
    found = json.loads((tmp_path / "found" / "long.json").read_text())
    assert [each["way"] for each in found] == ["timestamps", "RealtimeSTT"]
    for each in found:
        errors = each["errors"]
        assert errors["words"] == 4
        wrong = sum(errors[name] for name in ("substitutions", "deletions", "insertions", "repeats"))
        assert each["wer"] == wrong / 4 > 0
    assert run_command(evaluate, ["--long", str(tmp_path / "table.jsonl"), "--model", str(tmp_path)]) == 2
    assert "is no export" in capsys.readouterr().err


def test_a_float32_export_says_word_for_word_what_the_original_says_under_both_decodings(trained, tmp_path):
    """So that what another type says otherwise is that type's doing, not the comparison's."""
    checkpoint = Checkpoint.read(trained / "out" / "best")
    convert(checkpoint, tmp_path / "out", "float32")
    split = open_split(trained / "store", "test")
    original = OriginalModel(checkpoint.folder, "cpu")
    candidates = [Candidate(tmp_path / "out", "float32")]
    run = run_gate(original, candidates, split, gate_rows(split, 8), language="de", threads=1)
    (found,) = run.exports
    assert [(each.equal, each.rows, each.difference) for each in found.verdict.agreements] == [(8, 8, 0.0)] * 3
    assert found.verdict.figures.encoder_error < 1e-5
    assert found.verdict.figures.divergence < 1e-9
    assert found.verdict.figures.same_tokens == 1
    assert found.speed > 0


def test_whatever_a_model_says_its_float32_export_says_token_for_token(trained, tmp_path):
    """Untrained weights, which say something else in every language and never end; cut off after 20 tokens."""
    checkpoint = Checkpoint.read(tiny_model(tmp_path / "model"))
    convert(checkpoint, tmp_path / "out", "float32")
    labels = open_split(trained / "store", "test").labels(0).tolist()
    features = np.random.default_rng(0).uniform(-1.5, 0.5, (80, 3_000)).astype(np.float32)
    models = OriginalModel(checkpoint.folder, "cpu"), load_export(tmp_path / "out", "cpu", 1)
    for model in models:
        model.max_length = 40
    said = set()
    for language in ("de", "en", "fr", "ja"):
        original, export = (RealtimeSTTModel(model, language).hear(features, labels) for model in models)
        assert original.tokens == export.tokens
        np.testing.assert_allclose(original.next_tokens, export.next_tokens, atol=1e-3)
        said |= {tuple(tokens) for tokens in original.tokens.values()}
    assert {len(tokens) for tokens in said} == {20}
    assert len(said) > 4


def test_a_batch_of_clips_is_heard_as_each_of_them_alone(trained):
    original = OriginalModel(trained / "out" / "best", "cpu")
    log_mel = np.random.default_rng(0).uniform(-1.5, 0.5, (2, 80, 3_000)).astype(np.float32)
    prompt = open_split(trained / "store", "test").labels(0)[:4].tolist()
    together = original.model.generate(original.encode(log_mel), [prompt, prompt], max_length=60)
    alone = [original.model.generate(original.encode(each), [prompt], max_length=60)[0] for each in log_mel]
    assert [found.sequences_ids for found in together] == [found.sequences_ids for found in alone]
    score = original.model.score(
        original.encode(log_mel[0]),
        prompt,
        alone[0].sequences_ids[0],
        suppress_blank=True,
        suppress_tokens=[],
        max_initial_timestamp_index=50,
    )
    assert score == pytest.approx(alone[0].scores[0], abs=1e-4)


def test_several_types_lie_side_by_side_and_their_sizes_are_shown(trained, tmp_path, capsys):
    types = ["float16", "int8_float16", "int8"]
    assert export(trained, tmp_path, "--quantization", *types) == 0
    said = capsys.readouterr().out
    for name, folder in export_folders(tmp_path, types).items():
        WhisperModel(str(folder), device="cpu", cpu_threads=1)
        (line,) = [line for line in said.splitlines() if line.startswith(f"{name} ") and " MB " in line]
        assert "s/s" in line
    assert "int8_float16: this device lacks it and computed int8_float32" in said
    assert "float16: 97 % of transcripts have to be equal or as good, WERs within 0.1 points" in said
    assert "int8: 80 % of transcripts have to be equal or as good, WERs within 1.0 points" in said
    assert f"{ROWS} of them also as sound: VAD filter, realtime lane, word timestamps" in said


def test_the_types_may_follow_one_option_or_repeat_it():
    twice = ["--quantization", "float16", "--quantization", "int8", "--threads", "1"]
    assert spread_quantizations(["--quantization", "float16", "int8", "--threads", "1"]) == twice
    assert spread_quantizations(twice) == twice
    assert spread_quantizations(["--quantization=int8", "--output", "a"]) == ["--quantization=int8", "--output", "a"]


def test_an_unknown_type_is_refused(trained, tmp_path, capsys):
    assert export(trained, tmp_path / "out", "--quantization", "int4") == 2
    assert "int4: not among float16" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("config.json", {"alignment_heads": [[99, 0]]}, "alignment heads [[99, 0]] are not in a decoder of 2 layers"),
        ("config.json", {"alignment_heads": [[1, 0]]}, "1 alignment head [[1, 0]], the checkpoint has 2"),
        ("preprocessor_config.json", {"feature_size": 128}, "feature_size is 128, the model takes 80"),
    ],
)
def test_a_wrong_entry_fails_the_export_and_is_named(trained, broken, capsys, name, changes, words):  # noqa: PLR0917 - pytest's fixtures and parameters
    edited(broken / name, **changes)
    signed_again(broken)
    assert export(trained, broken) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "float16: FAILED" in said
    assert f"{name}: {words}" in said
    assert "This export failed its check" in (broken / "README.md").read_text()


def test_another_tokenizer_fails_the_export_and_the_rows_that_it_spells_otherwise_are_named(trained, broken, capsys):
    path = broken / "tokenizer.json"
    value = json.loads(path.read_text())
    vocabulary = value["model"]["vocab"]
    letters = {token: number for token, number in vocabulary.items() if number < 1_700}
    vocabulary |= dict(zip(letters, reversed(letters.values()), strict=True))
    path.write_text(json.dumps(value))
    signed_again(broken)
    assert export(trained, broken) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "tokenizer.json: not the checkpoint's" in said
    assert f"{ROWS} of {ROWS} transcripts (no timestamps) differ, at most 3 % may; most in rows" in said
    assert "original (no timestamps):" in said


def test_a_tokenizer_without_whispers_tokens_fails_the_export(trained, broken, capsys):
    path = broken / "tokenizer.json"
    value = json.loads(path.read_text())
    path.write_text(json.dumps(value | {"added_tokens": []}))
    assert export(trained, broken) == 1
    assert "tokenizer.json: not the checkpoint's" in capsys.readouterr().out


def _negate_the_filters(weights):
    weights["model.encoder.conv1.weight"] *= -1


def _raise_one_weight(weights):
    weights["model.encoder.layers.0.fc1.weight"][0, 0] += 20


def _raise_one_weight_of_the_decoder(weights):
    weights["model.decoder.layer_norm.weight"][0] += 5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_negate_the_filters, "the encoder's output is off by"),
        (_raise_one_weight, "the encoder's output is off by"),
        (_raise_one_weight_of_the_decoder, "the next token's probabilities diverge by"),
    ],
)
def test_a_changed_weight_is_caught_by_what_the_export_computes(trained, broken, capsys, change, words):
    """Its files are whole and say that they are what was exported."""
    with_other_weights(trained, broken, change)
    signed_again(broken)
    assert export(trained, broken) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert words in said
    assert "; most in rows" in said


def test_one_flipped_bit_is_caught_whatever_it_does(trained, broken, capsys):
    content = bytearray((broken / "model.bin").read_bytes())
    content[len(content) // 2] ^= 1
    (broken / "model.bin").write_bytes(content)
    assert export(trained, broken) == 1
    assert "model.bin: its content is not what was exported" in capsys.readouterr().out


def test_an_export_that_cannot_be_loaded_fails_with_the_reason(trained, broken, capsys):
    (broken / "model.bin").write_bytes((broken / "model.bin").read_bytes()[:1_000])
    assert export(trained, broken) == 1
    assert "faster-whisper cannot load it" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"alignment_heads": [[-1, 0]]}, "word timestamps) with row"),
        ({"suppress_ids_begin": [-5]}, "faster-whisper ended with SIGSEGV"),
    ],
)
def test_what_ends_faster_whisper_with_a_segmentation_fault_is_a_verdict(trained, broken, capsys, changes, words):
    edited(broken / "config.json", **changes)
    signed_again(broken)
    assert export(trained, broken) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "faster-whisper ended with SIGSEGV" in said
    assert words in said
    assert "float16: FAILED" in said
    assert "This export failed its check" in (broken / "README.md").read_text()


def test_an_export_that_says_otherwise_of_sound_fails_the_whole_calls(trained, good, monkeypatch):
    split = open_split(trained / "store", "test")
    reference = RealtimeSTTModel(OriginalModel(trained / "out" / "best", "cpu"), "de")
    with ExportApart(good, "de", device="cpu", threads=1, max_length=448) as export:
        assert not list(check_calls(reference, [export, None], split, [0, 1]))
        monkeypatch.setattr(RealtimeSTTModel, "transcribe", lambda *_: "etwas ganz anderes")
        ((place, problem),) = check_calls(reference, [export], split, [0, 1])
        assert place == 0
        assert "the long recording of 3" in problem
        assert "are others than the original's 3, at most half may" in problem
        monkeypatch.setattr(RealtimeSTTModel, "whole_call", lambda *_: WholeCall("etwas anderes", [], 1.0))
        ((place, problem),) = check_calls(reference, [export], split, [0, 1])
        assert place == 0
        assert "it says otherwise in 2 of 2 clips" in problem


def test_a_sample_is_transcribed_from_its_sound_by_the_original_and_every_export(trained, good, sound, capsys):
    assert export(trained, good, "--sample", str(sound)) == 0
    said = dict(
        line.removeprefix("sample, ").split(": ", 1)
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("sample, ")
    )
    assert said.keys() == {"original", "float16"}
    assert said["original"] == said["float16"]


def test_a_sample_that_is_not_there_or_no_sound_is_refused_before_anything_is_converted(trained, tmp_path, capsys):
    (tmp_path / "text.wav").write_text("no sound")
    assert export(trained, tmp_path / "out", "--sample", str(tmp_path / "none.wav")) == 2
    assert export(trained, tmp_path / "out", "--sample", str(tmp_path / "text.wav")) == 2
    said = capsys.readouterr().err
    assert "there is no such file" in said
    assert "text.wav cannot be read" in said
    assert not (tmp_path / "out").exists()


def test_without_a_store_nothing_is_exported_unless_the_files_alone_are_to_be_checked(tmp_path, capsys):
    arguments = ["--checkpoint", str(tiny_model(tmp_path / "model")), "--output", str(tmp_path / "out")]
    assert run_command(main, arguments) == 2
    assert "--store STORE" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert run_command(main, [*arguments, "--gate-rows", "0"]) == 0
    assert "its transcripts were not checked" in " ".join(capsys.readouterr().out.split())
    assert "not checked against the original" in (tmp_path / "out" / "README.md").read_text()


def test_a_split_without_clips_is_refused_before_anything_is_converted(trained, tmp_path, capsys):
    tokenizer = tokenizer_fingerprint((trained / "model" / "tokenizer.json").read_text())
    make_store(tmp_path / "store", {"test": [[quarantined_row(0)]]}, SPEC, tokenizer=tokenizer)
    assert export(trained, tmp_path / "out", "--store", str(tmp_path / "store")) == 2
    assert "split 'test' has no clip of at most 30 s to check the export on" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_missing_shard_is_found_before_anything_is_converted(trained, tmp_path, capsys):
    store = shutil.copytree(trained / "store", tmp_path / "store")
    shard = next((store / "data").glob("test-00001*"))
    shard.unlink()
    assert export(trained, tmp_path / "out", "--store", str(store)) == 1
    assert shard.name in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_store_of_another_model_is_refused(trained, tmp_path, capsys):
    tiny_model(tmp_path / "wide", num_mel_bins=128)
    arguments = ["--checkpoint", str(tmp_path / "wide"), "--output", str(tmp_path / "o")]
    assert run_command(main, [*arguments, "--store", str(trained / "store")]) == 2
    assert "mel bins" in capsys.readouterr().err


def test_it_uploads_when_asked_to_and_only_then_and_never_what_failed(trained, good, broken, monkeypatch, capsys):
    with push_hub(monkeypatch) as hub:
        assert export(trained, good) == 0
        assert not hub.asked
        edited(broken / "config.json", alignment_heads=[])
        assert export(trained, broken, "--push-to-hub", "deutsch") == 1
        assert hub.models == {"anna/deutsch": {}}
        assert export(trained, good, "--push-to-hub", "deutsch") == 0
        assert hub.models["anna/deutsch"].keys() == {path.name for path in good.iterdir()}
    assert "uploaded to http" in " ".join(capsys.readouterr().out.split())


def test_of_several_types_in_a_folder_of_mine_only_they_are_uploaded(trained, tmp_path, monkeypatch):
    (tmp_path / "thesis.txt").write_text("years of work")
    with push_hub(monkeypatch) as hub:
        assert export(trained, tmp_path, "--quantization", "float32", "int8", "--push-to-hub", "deutsch") == 0
        (files,) = hub.models.values()
    assert {name.partition("/")[0] for name in files} == {"float32", "int8"}
    assert "float32/README.md" in files


def test_an_upload_that_cannot_be_is_told_before_anything_is_converted(trained, tmp_path, monkeypatch, capsys):
    with push_hub(monkeypatch, "hf_read"):
        assert export(trained, tmp_path / "out", "--push-to-hub", "anna/deutsch") == 2
    assert "only reads" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_language_that_the_model_does_not_know_is_refused_before_anything_is_converted(trained, tmp_path, capsys):
    assert export(trained, tmp_path / "out", "--language", "xx") == 2
    assert "does not know the language 'xx'" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()

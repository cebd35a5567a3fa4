"""A model's own generation settings are followed, or refused in a line that names file and entry."""

import json

import pytest
import torch
from tokenizers import Tokenizer

from shared.command.terminal import Screen
from shared.errors import UsageError
from tests.support.training import tiny_model, training_store
from tests.unit.model.test_generation import heard
from trainer.evaluation.settings import EvaluateSettings
from trainer.evaluation.transcribe import transcribed
from trainer.evaluation.transcribers import open_transcriber
from trainer.exporting.files import Checkpoint
from trainer.exporting.remarks import remarks
from trainer.model.files import ModelFiles
from trainer.model.generation import Decoding
from trainer.model.loading import read_model
from trainer.model.own_settings import read_own_settings
from trainer.model.whisper import load_model

pytestmark = pytest.mark.usefixtures("one_thread")
SAMPLED = {"do_sample": True}


@pytest.fixture
def folder(tmp_path):
    return tiny_model(tmp_path / "model")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("own") / "model")


def edited(folder, name="generation_config.json", **entries):
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))
    return folder


WRONG = [
    {"num_beams": 0},
    {"num_beams": "3"},
    {"num_beams": 2.5},
    {"do_sample": "yes"},
    {"temperature": "hot"},
    {"repetition_penalty": -1},
    {"repetition_penalty": float("nan")},
    {"top_p": 3},
    {"top_k": -1},
    {"typical_p": 0},
    {"early_stopping": "maybe"},
    {"no_repeat_ngram_size": -2},
    {"bad_words_ids": "shit"},
    {"bad_words_ids": [3]},
    {"bad_words_ids": [[99_999]]},
    {"sequence_bias": {"[5]": 1.0}},
    {"suppress_tokens": "all"},
    {"suppress_tokens": 5},
    {"suppress_tokens": [10**30]},
    {"suppress_tokens": list(range(4_000))},
    {"max_length": 2},
    {"max_length": True},
    {"max_new_tokens": 0},
    {"min_length": -1},
    {"forced_bos_token_id": 99_999},
    {"forced_eos_token_id": "x"},
    {"exponential_decay_length_penalty": [1]},
    {"temperature": 0, **SAMPLED},
]


@pytest.mark.parametrize("entries", WRONG, ids=str)
def test_a_setting_that_cannot_be_followed_is_refused_with_its_file_and_entry(folder, entries):
    edited(folder, **entries)
    with pytest.raises(UsageError, match=rf"generation_config\.json of .*{next(iter(entries))}") as error:
        read_own_settings(str(folder))
    assert "\n" not in error.value.message
    # Where nobody asks for them they change nothing, but for what is also said of tokens.
    if not entries.keys() & {"suppress_tokens"}:
        read_model(str(folder), print)


@pytest.mark.parametrize(
    "entries",
    [
        {"repetition_penalty": 2},
        {"temperature": 0},
        {"temperature": 2, **SAMPLED},
        {"top_k": 1, "num_beams": 3, **SAMPLED},
        {"top_p": 0, "typical_p": 1, **SAMPLED},
        {"min_length": 4_000},
        {"min_new_tokens": 4_000},
        {"max_length": 5},
        {"sequence_bias": [[[5, 6], 1]]},
        {"exponential_decay_length_penalty": [0, 2]},
        {"forced_eos_token_id": [3, 4]},
        {"suppress_tokens": [-1], "begin_suppress_tokens": None},
        {"num_beams": 2, "early_stopping": "never", "length_penalty": -2},
    ],
    ids=str,
)
def test_what_can_be_followed_is(whole, folder, entries, recwarn):
    own = read_own_settings(str(edited(folder, **entries)))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert len(heard(load_model(str(whole)).eval(), tokenizer, Decoding.of(tokenizer, own=own), length=8)) == 2
    assert not [warning for warning in recwarn if "length" in str(warning.message)]


def test_memory_that_runs_out_meanwhile_is_no_matter_of_settings(whole, folder, monkeypatch):
    def full(*_arguments, **_named):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("trainer.model.generation.generate_stated", full)
    tokenizer = Tokenizer.from_file(str(whole / "tokenizer.json"))
    own = read_own_settings(str(edited(folder, num_beams=2)))
    with pytest.raises(torch.OutOfMemoryError):
        heard(load_model(str(whole)).eval(), tokenizer, Decoding.of(tokenizer, own=own))


def test_what_nobody_could_have_seen_in_them_is_told_when_it_shows(whole):
    tokenizer = Tokenizer.from_file(str(whole / "tokenizer.json"))
    everything = list(range(tokenizer.get_vocab_size()))
    own = {"do_sample": True, "suppress_tokens": everything, "bad_words_ids": [[token] for token in everything]}
    with pytest.raises(UsageError, match=r"own generation settings .* cannot be followed"):
        heard(load_model(str(whole)).eval(), tokenizer, Decoding.of(tokenizer, own=own | {"begin_suppress_tokens": []}))


@pytest.mark.parametrize(
    "entries",
    [{"pad_token_id": "x"}, {"lang_to_id": []}, {"suppress_tokens": 5}, {"eos_token_id": {}}],
    ids=str,
)
@pytest.mark.parametrize("read", [ModelFiles.read, lambda name: read_model(name, print)], ids=["files", "weights"])
def test_what_is_said_wrongly_of_tokens_is_refused_before_anything_is_trained(folder, read, entries):
    edited(folder, **entries)
    with pytest.raises(UsageError, match=rf"generation_config\.json of .* {next(iter(entries))} is"):
        read(str(folder))


def test_settings_of_a_model_of_before_2023_are_those_in_its_config(folder):
    """transformers put them into a file of their own from 4.26 on, and reads config.json where that is not there."""
    edited(folder, "config.json", no_repeat_ngram_size=1, num_beams=2, max_length=30)
    assert "no_repeat_ngram_size" not in read_own_settings(str(folder))
    (folder / "generation_config.json").unlink()
    own = read_own_settings(str(folder))
    assert own["no_repeat_ngram_size"] == 1
    model = open_transcriber(str(folder), language="de", beam_size=1, device=torch.device("cpu"), own_settings=True)
    assert "no_repeat_ngram_size 1" in model.decoding.words
    assert "num_beams 2" in model.decoding.words
    assert ModelFiles.read(str(folder)).generation["max_length"] == 30
    (note,) = remarks(Checkpoint.read(folder))
    assert "no_repeat_ngram_size 1, num_beams 2" in note
    edited(folder, "config.json", num_beams="two")
    with pytest.raises(UsageError, match=r"config\.json of .* num_beams is \"two\""):
        read_own_settings(str(folder))


def test_settings_of_all_models_are_looked_at_before_the_first_is_transcribed(whole, folder, tmp_path, monkeypatch):
    store = training_store(tmp_path / "store", whole, clips=2, test_clips=2)
    monkeypatch.setattr("trainer.evaluation.transcribe.open_transcriber", lambda *_, **__: pytest.fail("opened"))
    settings = EvaluateSettings(generation_config="model", split="test", device="cpu")
    with pytest.raises(UsageError, match="num_beams is 0"):
        transcribed([store], [str(whole), str(edited(folder, num_beams=0))], settings, Screen(stderr=True))

"""What is found is what the weights say: a stranger's generation settings change nothing unless they are asked for."""

import json

import pytest
import torch
from tokenizers import Tokenizer
from transformers import GenerationConfig

from tests.support.training import tiny_model
from trainer.model.generation import PLAIN, Decoding, describe, foreign_settings, search
from trainer.model.whisper import encoder_outputs, load_model

LENGTH = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("generation") / "model")


@pytest.fixture(scope="module")
def tokenizer(folder):
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


@pytest.fixture(scope="module")
def model(folder):
    return load_model(str(folder)).eval()


FOREIGN = {
    "no_repeat_ngram_size": 2,
    "repetition_penalty": 3.0,
    "max_new_tokens": 3,
    "max_length": 7,
    "min_length": 20,
    "num_beams": 3,
    "num_return_sequences": 2,
    "do_sample": True,
    "temperature": 5.0,
    "return_dict_in_generate": True,
    "output_scores": True,
    "suppress_tokens": list(range(300, 900)),
    "begin_suppress_tokens": [5],
    "forced_decoder_ids": [[1, 50259], [2, 50359]],
    "forced_eos_token_id": 40,
    "bad_words_ids": [[300]],
    "eos_token_id": 300,
    "length_penalty": -2.0,
    "exponential_decay_length_penalty": [5, 2.0],
}


def heard(model, tokenizer, decoding, length=LENGTH):
    features = torch.randn(2, 64, 80, generator=torch.Generator().manual_seed(3))
    prompt = [
        [tokenizer.token_to_id(f"<|{name}|>") for name in ("startoftranscript", "de", "transcribe", "notimestamps")]
    ]
    encoded = encoder_outputs(model, features, torch.zeros(2))
    with torch.no_grad():
        return search(model, encoded, torch.tensor(prompt * 2), decoding=decoding, max_length=length).tolist()


def argmax(model, tokenizer):
    """Greedy as everyone writes it down: the likeliest token of those that may be said, again and again."""
    features = torch.randn(2, 64, 80, generator=torch.Generator().manual_seed(3))
    hidden = encoder_outputs(model, features, torch.zeros(2)).last_hidden_state
    names = ("startoftranscript", "translate", "transcribe", "startoflm", "startofprev", "nospeech")
    never = [tokenizer.token_to_id(f"<|{name}|>") for name in names]
    end, blank = tokenizer.token_to_id("<|endoftext|>"), tokenizer.token_to_id("Ġ")
    prompt = [tokenizer.token_to_id(f"<|{n}|>") for n in ("startoftranscript", "de", "transcribe", "notimestamps")]
    rows = []
    for row in hidden:
        ids = list(prompt)
        while len(ids) < LENGTH and ids[-1] != end:
            with torch.no_grad():
                output = model.model.decoder(input_ids=torch.tensor([ids]), encoder_hidden_states=row[None])
                logits = model.proj_out(output.last_hidden_state[0, -1])
            logits[never + ([end, blank] if len(ids) == len(prompt) else [])] = -torch.inf
            ids.append(int(logits.argmax()))
        rows.append(ids)
    return rows


def test_greedy_is_the_likeliest_token_again_and_again(model, tokenizer):
    assert heard(model, tokenizer, Decoding.of(tokenizer)) == argmax(model, tokenizer)


@pytest.mark.parametrize("name", FOREIGN)
def test_no_setting_of_the_models_own_changes_what_is_found(model, tokenizer, name, monkeypatch):
    expected = argmax(model, tokenizer)
    settings = GenerationConfig()
    # Not by its maker, which refuses some of what files hold.
    setattr(settings, name, FOREIGN[name])
    monkeypatch.setattr(model, "generation_config", settings)
    assert heard(model, tokenizer, Decoding.of(tokenizer)) == expected
    assert getattr(model.generation_config, name) == FOREIGN[name]


def test_all_of_them_in_a_models_file_change_nothing(tokenizer, tmp_path):
    folder = tiny_model(tmp_path / "model")
    path = folder / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | FOREIGN))
    model = load_model(str(folder)).eval()
    assert heard(model, tokenizer, Decoding.of(tokenizer)) == argmax(model, tokenizer)


def test_the_models_own_settings_hold_where_they_are_asked_for_and_are_said(model, tokenizer):
    plain = heard(model, tokenizer, Decoding.of(tokenizer))
    own = {"no_repeat_ngram_size": 1, "max_new_tokens": 9, "num_return_sequences": 2, "return_dict_in_generate": True}
    decoding = Decoding.of(tokenizer, own=own | {"num_beams": 2})
    found = heard(model, tokenizer, decoding)
    assert found != plain
    assert [len(ids) for ids in found] == [13, 13]
    assert all(len(set(ids)) == len(ids) for ids in found)
    assert "no_repeat_ngram_size 1, max_new_tokens 9" in decoding.words


def test_the_models_own_length_holds_and_no_more_than_ours_is_asked_of_it(model, tokenizer):
    own = {"max_length": 10, "min_length": 10}
    assert {len(ids) for ids in heard(model, tokenizer, Decoding.of(tokenizer, own=own))} == {10}
    own = {"max_new_tokens": 400, "min_length": 12}
    assert {len(ids) for ids in heard(model, tokenizer, Decoding.of(tokenizer, own=own), length=12)} == {12}


def test_what_faster_whisper_will_not_do_is_told_and_only_that():
    usual = {"max_length": 448, "suppress_tokens": [1, 2], "begin_suppress_tokens": [220], "return_timestamps": False}
    assert foreign_settings(usual, 448) == {}
    assert foreign_settings({**PLAIN, **usual}, 448) == {}
    asked = {"no_repeat_ngram_size": 3, "repetition_penalty": 1.2, "max_new_tokens": 128, "num_beams": 5}
    assert foreign_settings(usual | asked, 448) == asked
    assert describe(usual | asked).endswith(
        "no_repeat_ngram_size 3, repetition_penalty 1.2, max_new_tokens 128, num_beams 5"
    )


def test_the_rules_are_stated_in_words(tokenizer):
    assert Decoding.of(tokenizer).words.startswith("greedy, no penalties")
    assert Decoding.of(tokenizer, 5).words.startswith("beam of 5")

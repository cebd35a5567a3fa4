"""The demo model: `transformers` opens it like a real Whisper, with the real special tokens in the real order."""

import json

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import WhisperForConditionalGeneration, WhisperProcessor, WhisperTokenizerFast
from transformers.models.whisper import tokenization_whisper

from preprocess.demo.build import build_demo
from preprocess.demo.model import build_model
from shared.errors import UsageError
from shared.models.whisper_tokens import LANGUAGES, SPECIAL_TOKENS, TIMESTAMPS

TEXT = "Schöne Grüße aus Köln: Größe 7, ÄÖÜ, 17 Uhr 45!"
PROMPT = ["<|startoftranscript|>", "<|de|>", "<|transcribe|>", "<|notimestamps|>"]


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("demo") / "model"
    build_model(path)
    return path


@pytest.fixture(scope="module")
def tokenizer(directory):
    return WhisperTokenizerFast.from_pretrained(directory, language="german", task="transcribe")


@pytest.fixture(scope="module")
def model(directory):
    return WhisperForConditionalGeneration.from_pretrained(directory)


def test_languages_are_those_of_large_v3():
    assert tuple(tokenization_whisper.LANGUAGES) == LANGUAGES
    assert len(LANGUAGES) == 100


def test_special_tokens_follow_the_text_tokens_in_whispers_order(directory):
    vocabulary = Tokenizer.from_file(str(directory / "tokenizer.json")).get_vocab()
    ids = [vocabulary[token] for token in (*SPECIAL_TOKENS, *TIMESTAMPS)]
    assert ids == list(range(len(vocabulary) - len(ids), len(vocabulary)))
    assert len(SPECIAL_TOKENS) == 50_365 - 50_257
    assert len(TIMESTAMPS) == 51_866 - 50_365
    assert (TIMESTAMPS[0], TIMESTAMPS[1], TIMESTAMPS[-1]) == ("<|0.00|>", "<|0.02|>", "<|30.00|>")


def test_text_with_umlauts_survives_encoding_and_decoding(tokenizer):
    labels = tokenizer(TEXT).input_ids
    assert tokenizer.convert_ids_to_tokens(labels[:4]) == PROMPT
    assert tokenizer.convert_ids_to_tokens(labels[-1:]) == ["<|endoftext|>"]
    assert tokenizer.decode(labels, skip_special_tokens=True) == TEXT


@pytest.mark.parametrize("text", ["日本語 🎉", "naïve café", "  doppelte  Leerzeichen ", "Zeile\nzwei"])
def test_any_text_survives_though_training_never_saw_it(tokenizer, text):
    assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == text


def test_the_plain_tokenizer_and_transformers_agree(directory):
    plain = Tokenizer.from_file(str(directory / "tokenizer.json"))
    reference = WhisperTokenizerFast.from_pretrained(directory)
    assert plain.encode(TEXT).ids == reference(TEXT).input_ids
    assert plain.get_vocab() == reference.get_vocab()


def test_common_german_words_are_few_tokens(tokenizer):
    text = " Wir treffen uns am Montag um 17 Uhr in der Bahnhofstraße."
    assert len(tokenizer(text, add_special_tokens=False).input_ids) < len(text) / 3


def test_timestamps_decode_as_times(tokenizer):
    ids = tokenizer("<|0.00|> Hallo<|1.20|>", add_special_tokens=False).input_ids
    assert tokenizer.decode(ids, decode_with_timestamps=True) == "<|0.00|> Hallo<|1.20|>"
    assert tokenizer.decode(ids, skip_special_tokens=True) == " Hallo"


def test_every_weight_is_there_and_none_is_too_many(directory, model, tokenizer):
    _, loading = WhisperForConditionalGeneration.from_pretrained(directory, output_loading_info=True)
    assert not any(loading.values())
    assert model.config.vocab_size == len(tokenizer)
    assert (model.config.max_source_positions, model.config.max_target_positions) == (1500, 448)


def test_encoder_positions_are_whispers_sinusoids(model):
    fresh = WhisperForConditionalGeneration(model.config)
    torch.testing.assert_close(
        model.model.encoder.embed_positions.weight, fresh.model.encoder.embed_positions.weight, atol=2e-4, rtol=0
    )


def test_generate_starts_with_the_german_prompt_and_gives_a_few_tokens(directory, model):
    processor = WhisperProcessor.from_pretrained(directory)
    features = processor(np.zeros(16_000, np.float32), sampling_rate=16_000, return_tensors="pt").input_features
    assert features.shape == (1, 80, 3000)
    scores = model(input_features=features, decoder_input_ids=torch.tensor([[1, 2, 3]])).logits
    assert torch.isfinite(scores).all()
    ids = model.generate(
        features,
        language="de",
        task="transcribe",
        max_new_tokens=5,
        return_dict_in_generate=True,
        force_unique_generate_call=True,
    ).sequences[0]
    assert processor.tokenizer.convert_ids_to_tokens(ids[:4]) == PROMPT
    assert 4 < len(ids) <= 9


def test_a_model_for_128_mel_bins_takes_128(tmp_path):
    build_model(tmp_path / "model", num_mel_bins=128)
    processor = WhisperProcessor.from_pretrained(tmp_path / "model")
    model = WhisperForConditionalGeneration.from_pretrained(tmp_path / "model")
    assert processor.feature_extractor.feature_size == model.config.num_mel_bins == 128
    assert model(input_features=torch.zeros(1, 128, 3000), decoder_input_ids=torch.tensor([[1]])).logits.shape[1] == 1


def test_the_same_model_is_made_every_time_and_not_twice(directory, tmp_path):
    build_model(tmp_path / "again")
    files = sorted(path.name for path in directory.iterdir())
    assert [(directory / name).read_bytes() for name in files] == [
        (tmp_path / "again" / name).read_bytes() for name in files
    ]
    before = (directory / "model.safetensors").stat().st_mtime_ns
    build_model(directory)
    assert (directory / "model.safetensors").stat().st_mtime_ns == before


def test_no_mel_bins_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="0 mel bins"):
        build_model(tmp_path / "model", num_mel_bins=0)


def test_a_demo_has_a_model_of_its_own_for_each_number_of_mel_bins(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr("preprocess.demo.build.build_corpus_visibly", made.append)
    assert build_demo(tmp_path, None) == (tmp_path / "corpus", tmp_path / "model-80")
    assert build_demo(tmp_path, 128) == (tmp_path / "corpus", tmp_path / "model-128")
    assert made == [tmp_path / "corpus"] * 2
    configs = [json.loads((tmp_path / f"model-{bins}" / "config.json").read_text()) for bins in (80, 128)]
    assert [config["num_mel_bins"] for config in configs] == [80, 128]

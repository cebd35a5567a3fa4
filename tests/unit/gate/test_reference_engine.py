"""The original decodes by its tokenizer's numbers, as CTranslate2 does, whatever its config.json says of them."""

import json

import numpy as np
import pytest
from tokenizers import Tokenizer

from shared.errors import UsageError
from tests.support.training import tiny_model
from trainer.gate.reference_engine import OriginalEngine
from trainer.model.loading import read_model

pytestmark = pytest.mark.usefixtures("one_thread")
NAMES = ("startoftranscript", "de", "transcribe", "notimestamps")


@pytest.fixture
def folder(tmp_path):
    return tiny_model(tmp_path / "model")


def heard(folder, tokenizer):
    """Tokens and the probability of silence, of one clip of noise."""
    engine = OriginalEngine(read_model(str(folder), print), tokenizer, "cpu")
    features = np.random.default_rng(0).normal(0, 1, (1, 80, 3_000)).astype(np.float32)
    prompt = [tokenizer.token_to_id(f"<|{name}|>") for name in NAMES]
    (found,) = engine.generate(engine.encode(features), [prompt], beam_size=2, max_length=24)
    return found.sequences_ids, found.scores, found.no_speech_prob


@pytest.mark.parametrize(
    "wrong", [{"eos_token_id": 300, "decoder_start_token_id": 7}, {"eos_token_id": [300, 301]}, {"eos_token_id": None}]
)
def test_the_numbers_of_another_model_in_config_change_nothing(folder, wrong):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    expected = heard(folder, tokenizer)
    for name in ("config.json", "generation_config.json"):
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | wrong))
    assert heard(folder, tokenizer) == expected


def without(folder, token):
    value = json.loads((folder / "tokenizer.json").read_text().replace(f"<|{token}|>", "<|gone|>"))
    return Tokenizer.from_str(json.dumps(value))


def test_a_tokenizer_that_knows_no_silence_hears_none_and_one_without_an_end_is_refused(folder):
    *_, silence = heard(folder, without(folder, "nospeech"))
    assert silence == 0.0
    with pytest.raises(UsageError, match=r"tokenizer has no <\|endoftext\|>"):
        heard(folder, without(folder, "endoftext"))

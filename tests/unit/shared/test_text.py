"""Labels are what Whisper's own tokenizer gives, and a transcript is text whatever it spells."""

import json

import pytest
from tokenizers import Tokenizer
from transformers import WhisperTokenizerFast

from shared.errors import RowRejectedError, UsageError
from shared.schema import MAX_LABELS
from shared.text import Labeller, normalise_transcript, tokenizer_fingerprint


@pytest.fixture(scope="module")
def tokenizer_json(demo_model):
    return (demo_model / "tokenizer.json").read_text()


@pytest.fixture(scope="module")
def labeller(tokenizer_json):
    return Labeller(tokenizer_json)


@pytest.fixture(scope="module")
def reference(demo_model):
    return WhisperTokenizerFast.from_pretrained(demo_model, language="de", task="transcribe", predict_timestamps=False)


@pytest.mark.parametrize(
    "text",
    ["Guten Morgen!", "Größe 7, Straße 17b, 3,50 €", "ÄÖÜ äöü ß ẞ", "x", "日本語 🎉", "Um 17:45 Uhr in Köln, bitte."],
)
def test_labels_are_those_of_transformers(labeller, reference, text):
    assert labeller(text) == reference(text).input_ids


def test_labels_of_another_language_differ_in_the_language_token_alone(tokenizer_json, reference):
    english, german = Labeller(tokenizer_json, "en")("Hallo"), reference("Hallo").input_ids
    assert english[1] == reference.convert_tokens_to_ids("<|en|>")
    assert english[:1] + english[2:] == german[:1] + german[2:]


@pytest.mark.parametrize("spelled", ["<|endoftext|>", "<|de|>", "<|notimestamps|>", "<|0.00|>", "<|30.00|>"])
def test_a_transcript_that_spells_a_token_is_text(labeller, tokenizer_json, spelled):
    tokenizer, text = Tokenizer.from_str(tokenizer_json), f"Er sagte {spelled} dazu"
    ids = labeller(text)[4:-1]
    assert tokenizer.token_to_id(spelled) not in ids
    assert tokenizer.decode(ids, skip_special_tokens=False) == text


def test_448_labels_are_accepted_and_449_are_not(labeller):
    words = "ja"
    while len(labeller(words)) < MAX_LABELS:
        words += "!?"[len(words) % 2]
    assert len(labeller(words)) == MAX_LABELS
    with pytest.raises(RowRejectedError, match="449 labels") as caught:
        labeller(words + "!?"[len(words) % 2])
    assert caught.value.reason == "too_many_labels"


def test_a_transcript_that_no_448_labels_can_hold_is_rejected_without_being_tokenised(labeller, monkeypatch):
    monkeypatch.setattr(labeller, "_tokenizer", None)
    with pytest.raises(RowRejectedError, match="10000000 characters"):
        labeller("x" * 10_000_000)


def test_a_tokenizer_that_truncates_or_pads_gives_all_labels_and_no_more(tokenizer_json, labeller):
    value = json.loads(tokenizer_json)
    value["truncation"] = {"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0}
    value["padding"] = {
        "strategy": {"Fixed": 99},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "<|endoftext|>",
    }
    text = "Ein Satz, der länger ist als acht Wörter und Zeichen."
    assert Labeller(json.dumps(value))(text) == labeller(text)


@pytest.mark.parametrize("text", ["", " \t\n", "\u200b\ufeff"])
def test_an_empty_transcript_is_rejected(labeller, text):
    with pytest.raises(RowRejectedError) as caught:
        labeller(normalise_transcript(text))
    assert caught.value.reason == "empty_transcript"


def test_a_language_that_the_tokenizer_lacks_is_a_usage_error(tokenizer_json):
    with pytest.raises(UsageError, match=r"<\|tlh\|>"):
        Labeller(tokenizer_json, "tlh")


@pytest.mark.parametrize("content", ["", "{", "{}", "[1]", '{"added_tokens": []}'])
def test_a_file_that_is_no_tokenizer_is_a_usage_error(content):
    with pytest.raises(UsageError, match=r"tokenizer\.json"):
        Labeller(content)


def test_the_fingerprint_follows_the_content(tokenizer_json):
    assert tokenizer_fingerprint(tokenizer_json) == tokenizer_fingerprint(tokenizer_json)
    assert tokenizer_fingerprint(tokenizer_json) != tokenizer_fingerprint(tokenizer_json + " ")

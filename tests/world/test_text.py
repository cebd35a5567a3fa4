"""Text as the world writes it. Right values are Unicode's own data (regex, idna, unicodedata) and transformers'."""

import unicodedata

import idna
import pytest
import regex
from transformers import WhisperTokenizerFast

from preprocess.features.transcript import stored_transcript
from shared.errors import RowRejectedError
from shared.text import Labeller, normalise_transcript

SPELLED = {
    "Persian, ZWNJ": "می\u200cخواهم کتاب\u200cها و خانه\u200cی تنماهی\u200cها",
    "Persian, ZWJ at a word's end": "سال ۱۳۵۷ ه\u200d.ش",
    "Urdu": "علم\u200cدان",
    "Kurdish": "ڕۆژ\u200cنامە",
    "Hindi, ZWJ and ZWNJ after a virama": "क्\u200dष क्\u200cष ज्ञान्\u200c",
    "Bengali, ZWJ before ya-phalaa": "র\u200d্যাব",
    "Malayalam, chillu by ZWJ": "അവന്\u200d",
    "Sinhala": "ශ්\u200dරී ලංකා",
    "Khmer, words by ZWSP": "ខ្ញុំ\u200bស្រឡាញ់\u200bភាសា",
    "Thai, words by ZWSP": "ภาษา\u200bไทย",
    "Burmese, words by ZWSP": "မြန်မာ\u200bစာ",
    "Mongolian, vowel separator": "ᠬᠠᠷ\u180eᠠ",
    "Arabic, tatweel and vowels": "مـــرحبا مُحَمَّدٌ",
    "Arabic, end of ayah": "قُلْ هُوَ ٱللَّهُ أَحَدٌ \u06dd١",
    "Hebrew, points": unicodedata.normalize("NFC", "שָׁלוֹם"),
    "emoji, variation selectors and ZWJ": "❤\ufe0f\u200d🔥 👨\u200d👩\u200d👧",
    "Japanese, ideographic variant": "葛\U000e0100城市",
    "Korean": "각 한국어",
    "Turkish": "İIıi ğ",
    "Vietnamese": "Việt Nam",
    "Greek": "ὀξύς",
}


@pytest.mark.parametrize("language", SPELLED)
def test_what_is_spelling_stays_in_every_language(language):
    text = SPELLED[language]
    assert normalise_transcript(text) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize("text", ["می\u200cخواهم", "क्\u200cष", "क्\u200dष", "ශ්\u200dරී", "Auf\u200clage", "a\u200db"])
def test_a_joiner_between_two_letters_stays_where_domain_names_may_have_it(text):
    place = next(place for place, letter in enumerate(text) if letter in "\u200c\u200d")
    assert (normalise_transcript(text) == text) == idna.valid_contextj(text, place)


def test_only_what_unicode_calls_ignorable_is_ever_removed_and_no_sign_that_is_seen():
    every = (chr(code) for code in (*range(0xD800), *range(0xE000, 0x20000), *range(0xE0000, 0xE0200)))
    removed = [a for a in every if a not in "\u200b\u200c\u200d" and not normalise_transcript(f"ب{a}ب")[1:-1]]
    ignorable = regex.compile(r"[\p{Default_Ignorable_Code_Point}\ufff9-\ufffb]")
    spelled = regex.compile(r"[\p{Join_Control}\p{Prepended_Concatenation_Mark}\p{L}\p{M}\p{Variation_Selector}]")
    assert "\u00ad" in removed
    assert [letter for letter in removed if not ignorable.match(letter) or spelled.match(letter)] == []


@pytest.mark.parametrize(
    "mark", "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u00ad\ufeff\u2060"
)
@pytest.mark.parametrize("word", ["Straße", "שלום", "سلام", "भाषा"])
def test_marks_of_direction_line_breaks_and_byte_order_are_no_spelling_anywhere(mark, word):
    assert normalise_transcript(f"{mark}{word[:2]}{mark}{word[2:]}{mark}") == word


@pytest.mark.parametrize(
    "word",
    ["क़लम", "\u0958लम", "ড়", "\u09dc", "ਸ਼", "\u0a36", "שׁ", "\ufb2a", "\u0f43", "Ａ", "神", "\ufa19", "Å", "\u212b"],
)
def test_letters_that_unicode_never_composes_are_equal_however_they_were_written(word):
    found = normalise_transcript(word)
    assert found == unicodedata.normalize("NFC", word)
    assert unicodedata.normalize("NFD", found) == unicodedata.normalize("NFD", word)


def test_no_character_loses_more_than_canonical_equivalence_allows():
    visible = regex.compile(r"[^\p{C}\p{Z}\p{Default_Ignorable_Code_Point}]")
    letters = [letter for letter in map(chr, range(0x30000)) if visible.match(letter)]
    assert [a for a in letters if normalise_transcript(f"ب{a}ب") != unicodedata.normalize("NFC", f"ب{a}ب")] == []


@pytest.fixture(scope="module")
def tokenizer(demo_model):
    return WhisperTokenizerFast.from_pretrained(demo_model, language="de", task="transcribe")


@pytest.mark.parametrize(
    "text",
    [
        "<|0.00|> Hallo<|2.00|>",
        "<|0.00|> Bien, bon je m'ai reçu.<|1.00|><|1.00|> Non, c'est bon.<|4.00|>",
        "<|0.00|>你好<|2.00|><|2.00|>世界<|4.00|>",
    ],
)
def test_timestamps_are_refused_or_stripped_as_transformers_decodes_them(tokenizer, text):
    with pytest.raises(RowRejectedError) as caught:
        stored_transcript(text)
    assert caught.value.reason == "timestamps"
    ids = tokenizer(text, add_special_tokens=False).input_ids
    expected = tokenizer.decode(ids, skip_special_tokens=True)
    assert "|" not in expected
    assert stored_transcript(text, strip_timestamps=True) == " ".join(expected.split())


@pytest.mark.parametrize("name", ["startoftranscript", "de", "transcribe", "notimestamps", "startofprev", "nospeech"])
def test_a_transcript_with_any_special_token_of_the_model_is_refused(tokenizer, name):
    token = f"<|{name}|>"
    assert token in tokenizer.get_added_vocab()
    with pytest.raises(RowRejectedError) as caught:
        stored_transcript(f"{token} Hallo")
    assert caught.value.reason == "special_tokens"


@pytest.mark.parametrize("language", ["fa", "hi", "th", "ar"])
def test_labels_of_what_is_spelled_decode_to_what_was_written(demo_model, language):
    labeller = Labeller((demo_model / "tokenizer.json").read_text(), language)
    tokenizer = WhisperTokenizerFast.from_pretrained(demo_model)
    for text in SPELLED.values():
        stored = normalise_transcript(text)
        assert tokenizer.decode(labeller(stored)[4:-1], skip_special_tokens=False) == stored

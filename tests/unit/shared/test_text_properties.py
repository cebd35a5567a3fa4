"""Text as it is stored and as it is shown: what is kept, what is removed, and that once is enough."""

import re
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from shared.text import LONG_CHARACTERS, normalise_transcript, one_line

ANY_TEXT = st.text(st.characters())
GERMAN = st.text("aäoöuüßAÄOÖUÜẞ0123456789.,;:!?-„“'€%", min_size=1)
INVISIBLE = st.sampled_from("\u200b\u200c\u200d\u2060\ufeff\u00ad\u200e\u202e")


@given(ANY_TEXT)
def test_normalising_twice_changes_nothing_more(text):
    once = normalise_transcript(text)
    assert normalise_transcript(once) == once


@given(ANY_TEXT)
def test_the_result_is_nfc_without_control_characters(text):
    found = normalise_transcript(text)
    assert unicodedata.is_normalized("NFC", found)
    assert not {unicodedata.category(character) for character in found} & {"Cc", "Cs"}


@given(st.text(st.sampled_from("aक\u093c\u0301\u094d\u200b\u200c\u200d\u00ad\u3000 \u06dd.٣")))
def test_normalising_joiners_twice_changes_nothing_more(text):
    once = normalise_transcript(text)
    assert normalise_transcript(once) == once


@given(ANY_TEXT)
def test_white_space_is_single_blanks_between_words(text):
    found = normalise_transcript(text)
    assert found == " ".join(found.split())


@given(ANY_TEXT)
def test_the_result_can_be_stored_as_utf_8(text):
    found = normalise_transcript(text)
    assert found.encode().decode() == found


@given(st.lists(GERMAN))
def test_german_words_digits_case_and_punctuation_stay(words):
    assert normalise_transcript("\t" + "  \n".join(words) + "\r\n") == " ".join(words)


@given(GERMAN)
def test_decomposed_umlauts_become_whole_letters(word):
    assert normalise_transcript(unicodedata.normalize("NFD", word)) == word


@given(GERMAN, INVISIBLE, GERMAN)
def test_an_invisible_character_neither_splits_nor_stays(left, invisible, right):
    assert normalise_transcript(f"{left}{invisible}{right}") == left + right


@given(ANY_TEXT)
def test_what_is_shown_is_one_line_without_control_characters_and_once_is_enough(text):
    shown = one_line(text)
    assert re.sub("[\u200b-\u200d]", "", shown).isprintable()
    assert one_line(shown) == shown == " ".join(shown.split())


def test_joiners_are_shown_where_they_are_spelling_and_seen_where_they_are_not():
    assert one_line("می\u200cخواهم") == "می\u200cخواهم"
    assert one_line("Auf\u200clage") == "Auf\N{REPLACEMENT CHARACTER}lage"


def test_an_escape_sequence_or_a_turned_direction_is_seen_and_not_obeyed():
    assert one_line("a\x1b[31m\tb\u202ec") == "a\N{REPLACEMENT CHARACTER}[31m b\N{REPLACEMENT CHARACTER}c"


@given(
    st.text(st.sampled_from("aẹu\u0301\u0323\u0344\u0316각ᄀ"), min_size=LONG_CHARACTERS, max_size=LONG_CHARACTERS + 20)
)
def test_long_texts_are_brought_into_the_same_form_as_short_ones(text):
    assert normalise_transcript(text) == unicodedata.normalize("NFC", text)


def test_a_transcript_of_unordered_combining_marks_ends():
    # Python's own normalisation takes six minutes for these.
    assert normalise_transcript("u" + "\u0301\u0323" * 100_000) == "ụ" + "\u0323" * 99_999 + "\u0301" * 100_000

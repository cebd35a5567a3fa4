"""What a source writes between the words is left out or refused, never learned; what is spelling stays."""

import pytest

from preprocess.features.transcript import stored_transcript
from shared.errors import RowRejectedError

TIMES = [
    "<|0.00|>", "<|30|>", "<| 1.5 |>", "<|0.0|><|2.00|>", "[00:00.000 --> 00:02.000]", "[0.00s -> 2.00s]",
    "00:00:00.000 --> 00:00:02.000 align:start position:0%", "WEBVTT 00:00.000 --> 00:02.000", "<00:00:01.000>",
    "[ 00:00:03.344 --> 00:00:05.123]", "[00:12.34]", "[01:02:03]", "1\n00:00:00,000 --> 00:00:02,000\n", "<|०.५०|>",
]  # fmt: skip


@pytest.mark.parametrize("times", TIMES)
def test_times_are_refused_by_their_name_or_left_out(times):
    text = f"{times} Guten Morgen"
    with pytest.raises(RowRejectedError, match="--strip-timestamps") as caught:
        stored_transcript(text)
    assert caught.value.reason == "timestamps"
    assert stored_transcript(text, strip_timestamps=True) == "Guten Morgen"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<|0.00|> Hallo<|2.00|><|2.00|> Welt.<|4.00|>", "Hallo Welt."),
        ("<|0.00|>Hallo<|2.00|><|2.00|>Welt.<|4.00|>", "Hallo Welt."),
        ("Hallo<|2.00|>, Welt<|4.00|>!", "Hallo, Welt!"),
        ("<|0.00|>你好<|2.00|><|2.00|>世界<|4.00|>", "你好世界"),
        ("สวัสดี<|2.00|>ครับ", "สวัสดีครับ"),
        ("1\n00:00:00,000 --> 00:00:02,000\nHaus 5\n\n2\n00:00:02,000 --> 00:00:04,000\nist rot", "Haus 5 ist rot"),
        ("\u200e<|0.00|>\u200e Hallo", "Hallo"),
        ("<|0.00|><|2.00|>", ""),
    ],
)
def test_words_keep_their_blanks_where_times_were(text, words):
    assert stored_transcript(text, strip_timestamps=True) == words


@pytest.mark.parametrize("token", ["<|de|>", "<|startoftranscript|>", "<|endoftext|>", "<|nospeech|>", "<|im_start|>"])
@pytest.mark.parametrize("strip", [False, True])
def test_other_special_tokens_are_refused_whatever_is_stripped(token, strip):
    with pytest.raises(RowRejectedError, match=r"special tokens, such as <\|") as caught:
        stored_transcript(f"{token}Hallo", strip_timestamps=strip)
    assert caught.value.reason == "special_tokens"


@pytest.mark.parametrize(
    "text",
    ["Um 17:45 Uhr, nicht 17:30.", "3 < 5 | 7 > 2", "A -> B", "Matthäus 5,3 [sic]", "1:0 [lacht]", "x |0.00| y", "<3"],
)
@pytest.mark.parametrize("strip", [False, True])
def test_what_people_write_stays(text, strip):
    assert stored_transcript(text, strip_timestamps=strip) == text


@pytest.mark.parametrize("text", ["1" * 300_000, "00:00:00" * 40_000, "<|1" * 100_000, "[1:00 -->" * 40_000])
def test_what_only_begins_like_a_timestamp_is_passed_over_however_often(text):
    """A pattern that went back for each of them would not come to the end."""
    assert stored_transcript(text, strip_timestamps=True) == text

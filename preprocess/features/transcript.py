"""A source's transcript to the text that is stored, or the reason why not: marks of other software are no words.

How text is written (blanks, Unicode) is `shared.text`'s; how it becomes labels is `Labeller`'s, to whom all is text.
"""

import re
import unicodedata

from shared.errors import RowRejectedError
from shared.schema import QuarantineReason
from shared.text import normalise_transcript

_CLOCK = r"(?:\d{1,3}:)?\d{1,2}:\d{2}(?:[.,]\d{1,3})?"
_SUBRIP = r"\d{1,3}:\d{2}:\d{2},\d{3}"
_SECONDS = r"\d{1,6}(?:[.,]\d{1,3})?"
_ARROW = " ?-{1,2}> ?"
_CUE = "(?: (?:align|line|position|region|size|vertical):[^ ]{1,40}){0,6}"
_TIMESTAMP = "|".join(
    (
        rf"<\| ?{_SECONDS} ?\|>",  # Whisper's: <|0.00|>
        rf"(?:(?<!\S)\d{{1,6}} )?{_SUBRIP}{_ARROW}{_SUBRIP}",  # SubRip's, after its number
        rf"\[ ?{_CLOCK}{_ARROW}{_CLOCK} ?\]",  # whisper's, whisper.cpp's, pyannote's: [00:00.000 --> 00:02.000]
        rf"(?:^WEBVTT )?{_CLOCK}{_ARROW}{_CLOCK}{_CUE}",  # WebVTT's
        rf"\[{_SECONDS}s?{_ARROW}{_SECONDS}s?\]",  # faster-whisper's: [0.00s -> 2.00s]
        rf"<{_CLOCK}>|\[{_CLOCK}\]",  # WebVTT's within a line, and LRC's
    )
)
"""Times in the notations of software; a clock time in words ("um 17:45 Uhr") is none. \\d is any script's digit."""
TIMESTAMPS = re.compile(f"(?:{_TIMESTAMP})(?: ?(?:{_TIMESTAMP}))*")
"""One or several in a row, in a normalised text."""
_SPECIAL_TOKEN = re.compile(r"<\|[^|<>]{1,64}\|>")
"""What Whisper and others write between words: <|de|>, <|startoftranscript|>, <|nospeech|>."""
_CLOSING = frozenset(",.;:!?…)]}%،؛؟。、")


def stored_transcript(text: str, *, strip_timestamps: bool = False) -> str:
    """*text* as it is stored; *strip_timestamps* leaves timestamps out.

    Raises RowRejectedError where it has timestamps otherwise, or special tokens such as `<|de|>`: as labels they would
    be spelled letter by letter, and learned.
    """
    found = normalise_transcript(text)
    if strip_timestamps:
        found = normalise_transcript(TIMESTAMPS.sub(_between, found))
    if mark := TIMESTAMPS.search(found):
        message = f"the transcript has timestamps, such as {mark[0][:40]}: --strip-timestamps leaves them out"
        raise RowRejectedError(QuarantineReason.TIMESTAMPS, message)
    if mark := _SPECIAL_TOKEN.search(found):
        raise RowRejectedError(QuarantineReason.SPECIAL_TOKENS, f"the transcript has special tokens, such as {mark[0]}")
    return found


def _between(mark: re.Match[str]) -> str:
    """What stands in place of *mark*: a blank, but none before what closes, nor within scripts without blanks."""
    text, start, end = mark.string, mark.start(), mark.end()
    before, after = text[max(0, start - 1) : start], text[end : end + 1]
    return "" if after in _CLOSING or (_without_blanks(before) and _without_blanks(after)) else " "


def _without_blanks(character: str) -> bool:
    """Whether *character*, or "", is of a script that puts no blanks between words."""
    scripts = ("CJK", "HIRAGANA", "KATAKANA", "IDEOGRAPHIC", "FULLWIDTH", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")
    return bool(character) and unicodedata.name(character, "").startswith(scripts)

"""A transcript's words, as places where it may be cut, and how they and a decoding are compared. Pure."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

_EACH = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Kana and ideographs, which are written without blanks."""
_HANGING = "ーっゃゅょッャュョぁぃぅぇぉァィゥェォ、。！？…」』）"  # noqa: RUF001 - what no line of Japanese or Chinese begins with
_WORD = re.compile(rf"[{_EACH}][{_HANGING}]*|[^\s{_EACH}]+")


@dataclass(frozen=True, slots=True)
class Word:
    """Characters *start* to *stop* of a transcript, never apart; *heard* is what of them can be heard."""

    start: int
    stop: int
    heard: str


def words_of(transcript: str) -> list[Word]:
    """The words of *transcript*, in order; all of its characters but blanks are in exactly one.

    What cannot be heard by itself, as a dash between blanks, belongs to the word before it, or else to the one after.
    """
    found: list[Word] = []
    for match in _WORD.finditer(transcript):
        word = Word(match.start(), match.end(), heard(match[0]))
        blank = transcript[match.end() : match.end() + 1] in {"", " "}
        if word.heard and found and not found[-1].heard.strip():
            found[-1] = Word(found[-1].start, word.stop, word.heard + " " * blank)
        elif word.heard or not found:
            found.append(Word(word.start, word.stop, word.heard + " " * blank))
        else:
            found[-1] = Word(found[-1].start, word.stop, found[-1].heard)
    return found


def heard(text: str) -> str:
    """*text* as two writings of one speech agree in it: letters and digits, without case and accents, single blanks."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    kept = "".join(
        letter if letter.isalnum() else "" if unicodedata.combining(letter) or letter in "'’" else " "  # noqa: RUF001
        for letter in plain
    )
    return " ".join(kept.split())


def texts_of(transcript: str, words: Sequence[Word], bounds: Sequence[int]) -> list[str]:
    """The parts of *transcript* between *bounds*: numbers of words, the first 0 and the last all of them."""
    parts = []
    for first, stop in pairwise(bounds):
        parts.append(transcript[words[first].start : words[stop - 1].stop] if stop > first else "")
    return parts

"""German sentences from templates: times, dates, places, prices and everyday speech, with umlauts and ß.

A sentence belongs to the train or the test split by its own hash, so no test sentence is ever trained on.
"""

import random
import re
import zlib
from collections.abc import Iterator
from typing import Literal

from preprocess.demo.phrases import PHRASES, TEMPLATES

Split = Literal["train", "test"]

_UNITS = (
    "null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "zehn", "elf", "zwölf",
    "dreizehn", "vierzehn", "fünfzehn", "sechzehn", "siebzehn", "achtzehn", "neunzehn",
)  # fmt: skip
_TENS = ("", "", "zwanzig", "dreißig", "vierzig", "fünfzig", "sechzig", "siebzig", "achtzig", "neunzig")
_SLOT = re.compile(r"\{(\w+)\}")
_TEST_SHARE = 8
"""One sentence in this many is a test sentence."""


def number_words(number: int) -> str:
    """*number* (0 to 999,999) as German writes it out, e.g. 1234 -> 'eintausendzweihundertvierunddreißig'."""
    if number < len(_UNITS):
        return _UNITS[number]
    if number < 100:  # noqa: PLR2004 - the decimal system
        tens, unit = divmod(number, 10)
        return f"{_joined(unit)}und{_TENS[tens]}" if unit else _TENS[tens]
    base, name = (1000, "tausend") if number >= 1000 else (100, "hundert")  # noqa: PLR2004 - the decimal system
    count, rest = divmod(number, base)
    return f"{_joined(count)}{name}{number_words(rest) if rest else ''}"


def _joined(number: int) -> str:
    words = number_words(number)
    return words.removesuffix("s") if words.endswith("eins") else words


def split_of(sentence: str) -> Split:
    """The split that *sentence* belongs to, on every machine and for every seed."""
    return "test" if zlib.crc32(sentence.encode()) % _TEST_SHARE == 0 else "train"


def sentences(rng: random.Random, split: Split) -> Iterator[str]:
    """Endless different sentences of *split*, each ending with a full stop, a question or an exclamation mark."""
    seen: set[str] = set()
    while True:
        sentence = _sentence(rng)
        if sentence not in seen and split_of(sentence) == split:
            seen.add(sentence)
            yield sentence


def _sentence(rng: random.Random) -> str:
    text = _SLOT.sub(lambda slot: _phrase(slot[1], rng), rng.choice(TEMPLATES))
    return text[0].upper() + text[1:]


def _phrase(slot: str, rng: random.Random) -> str:
    numbers = {
        "zahl": lambda: number_words(rng.randint(2, 99)),
        "grad": lambda: number_words(rng.randint(2, 35)),
        "grosse_zahl": lambda: number_words(rng.randint(100, 99_999)),
        "jahr": lambda: str(rng.randint(1850, 2030)),
        "ziffern": lambda: str(rng.randint(2, 950)),
        "prozent": lambda: f"{rng.randint(1, 99)} Prozent",
        "uhrzeit": lambda: _time_of_day(rng),
        "datum": lambda: f"{rng.randint(1, 28)}. {rng.choice(PHRASES['monat'])}",
        "preis": lambda: f"{rng.randint(2, 99)} Euro {rng.choice((20, 50, 80, 95))}",
    }
    return numbers[slot]() if slot in numbers else rng.choice(PHRASES[slot])


def _time_of_day(rng: random.Random) -> str:
    hour, minute = rng.randint(2, 23), rng.randint(0, 59)
    if rng.random() < 0.5:  # noqa: PLR2004 - digits and words are equally common
        return f"{hour} Uhr {minute}" if minute else f"{hour} Uhr"
    return f"{number_words(hour)} Uhr {number_words(minute)}" if minute else f"{number_words(hour)} Uhr"

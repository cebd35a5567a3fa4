"""What a sample of a data set says before an expensive run: spreads, rows at their ends, odd characters. Pure."""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

USUAL_SIGNS = frozenset(
    " .,;:!?'\"-()%&/\u2026\u2013\u2014\u2019\u2018\u201a\u201c\u201d\u201e\u00ab\u00bb\u2039\u203a"
    "\u00bf\u00a1\u060c\u061b\u061f\u06d4\u0964\u3002\u3001\uff1f\uff01\u30fb\u30fc"
)
"""Signs that transcripts have in one language or another, besides letters and digits."""
_MAIN_SCRIPT_SHARE = 0.05
_FASTER, _SLOWER = 2.5, 0.4
"""Times the median pace from which on a transcript is hardly that of its clip."""
_MOST_CLIPPED, _MOST_SILENT, _QUIETEST_DB = 0.001, 0.7, -50.0


@dataclass(frozen=True, slots=True)
class Heard:
    """One sampled row. *seconds* of sound at *level_db*; *clipped* and *silent* are shares of it; *pace* is labels (or
    letters) a second, None where the row has none. *text* is the source's own.
    """

    row_id: int
    seconds: float
    sampling_rate: int
    level_db: float
    clipped: float
    silent: float
    pace: float | None
    text: str


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure's lowest, median and highest value among the rows, and the rows of the two ends."""

    name: str
    lowest: float
    median: float
    highest: float
    lowest_row: int
    highest_row: int


@dataclass(frozen=True, slots=True)
class OddCharacter:
    """A character in words (`U+0430 CYRILLIC SMALL LETTER A`), in how many rows it occurs, and the first of them."""

    name: str
    rows: int
    first_row: int


@dataclass(frozen=True, slots=True)
class WorstRow:
    """A row that wants a look, and why."""

    row_id: int
    why: str


@dataclass(frozen=True, slots=True)
class SampleFacts:
    """*rates* and *sources* count rows by sampling rate and origin; *clipped* rows have cut-off tops."""

    rows: int
    pace_of: str
    spreads: Sequence[Spread]
    rates: Sequence[tuple[int, int]]
    sources: Sequence[tuple[str, int]]
    clipped: int
    odd: Sequence[OddCharacter]
    worst: Sequence[WorstRow]


def sample_facts(heard: Sequence[Heard], sources: Iterable[str], pace_of: str) -> SampleFacts:
    """The facts of the rows *heard*; their pace counts *pace_of* (labels or letters) a second."""
    figures: dict[str, Callable[[Heard], float | None]] = {
        "length (s)": lambda row: row.seconds,
        "level (dB)": lambda row: row.level_db,
        "silence (%)": lambda row: 100 * row.silent,
        "clipped (%)": lambda row: 100 * row.clipped,
        f"{pace_of} a second": lambda row: row.pace,
    }
    spreads = (_spread(name, [(value, row.row_id) for row in heard if (value := figure(row)) is not None])
               for name, figure in figures.items())  # fmt: skip
    return SampleFacts(
        rows=len(heard),
        pace_of=pace_of,
        spreads=[spread for spread in spreads if spread is not None],
        rates=Counter(row.sampling_rate for row in heard).most_common(),
        sources=Counter(sources).most_common(),
        clipped=sum(row.clipped > _MOST_CLIPPED for row in heard),
        odd=odd_characters([(row.row_id, row.text) for row in heard]),
        worst=_worst(heard, pace_of),
    )


def _spread(name: str, values: Sequence[tuple[float, int]]) -> Spread | None:
    if not values:
        return None
    (lowest, first), (highest, last) = min(values), max(values)
    return Spread(name, lowest, median(value for value, _ in values), highest, first, last)


def odd_characters(texts: Sequence[tuple[int, str]]) -> list[OddCharacter]:
    """Characters of *texts*, (row id, text), that are no letters of the texts' main scripts, digits or usual signs.

    Those in most rows come first.
    """
    letters = Counter(script for _, text in texts for letter in text if (script := _script(letter)))
    main = {script for script, count in letters.items() if count >= _MAIN_SCRIPT_SHARE * letters.total()}
    found: defaultdict[str, list[int]] = defaultdict(list)
    for row_id, text in texts:
        for letter in sorted(set(text)):
            if not (_script(letter) in main or letter.isdigit() or letter in USUAL_SIGNS):
                found[letter].append(row_id)
    common = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    return [OddCharacter(_in_words(letter), len(rows), rows[0]) for letter, rows in common]


def _script(letter: str) -> str:
    """The first word of the name of a letter or mark, which is its script's; '' for what is neither."""
    if unicodedata.category(letter)[0] not in "LM":
        return ""
    first = unicodedata.name(letter, "").split(" ")[0]
    # Kana stand beside Han in one text; a combining accent is the script's that it stands on.
    return {"HIRAGANA": "CJK", "KATAKANA": "CJK"}.get(first, "LATIN" if first == "COMBINING" else first)


def _in_words(letter: str) -> str:
    return f"U+{ord(letter):04X} {unicodedata.name(letter, 'control character')}"


def _worst(heard: Sequence[Heard], pace_of: str) -> list[WorstRow]:
    """Rows whose text can hardly be that of their sound first, then those that can hardly be heard."""
    usual = median([row.pace for row in heard if row.pace] or [0.0])
    found = [(*objection, row.row_id) for row in heard for objection in _objections(row, usual, pace_of)]
    return [WorstRow(row_id, why) for _, why, row_id in sorted(found, key=lambda item: (-item[0], item[2]))]


def _objections(row: Heard, usual: float, pace_of: str) -> Iterable[tuple[float, str]]:
    """(how bad, why)."""
    if row.pace is not None and usual:
        times = row.pace / usual
        if times > _FASTER or times < _SLOWER:
            words = f"{row.pace:.1f} {pace_of} a second, {usual:.1f} are usual: another clip's text?"
            yield 10 * max(times, 1 / max(times, 0.01)), words
    if row.level_db < _QUIETEST_DB:
        yield -row.level_db / 10, f"barely audible: {row.level_db:.0f} dB"
    if row.clipped > _MOST_CLIPPED:
        yield 3 + row.clipped, f"clipped: {100 * row.clipped:.1f} % of it at full scale"
    if row.silent > _MOST_SILENT:
        yield 2 + row.silent, f"{100 * row.silent:.0f} % silence"

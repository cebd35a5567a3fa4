"""One entry a row: which file, which words, and what of the file they are spoken in. All readers make these."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from operator import attrgetter

import pyarrow as pa

from shared.errors import SourceError
from shared.units import format_counted

_CLOCK = re.compile(r"(?:(\d{1,4}):)?(\d{1,4}):(\d{1,2}(?:[.,]\d{0,40})?)")
# No exponent of more than two digits: `1e999999999` is a number that takes the memory of the machine.
_NUMBER = re.compile(r"[+-]?(\d{1,20}([.,]\d{0,40})?|[.,]\d{1,40})(e[+-]?\d{1,2})?", re.IGNORECASE)
SHOWN_ROWS = 3
_SHOWN_LETTERS = 80
_MOST_SECONDS = 10_000_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One row. *start* and *stop* are seconds as an exact decimal or fraction, *channel* counts from 0; '' where all is
    meant. *problem* says why the row cannot be used, with the line where it stands; '' where it can.
    """

    file: str
    text: str
    source: str = ""
    start: str = ""
    stop: str = ""
    channel: str = ""
    problem: str = ""


# `dataclasses.astuple` copies every value, which for a million rows is a minute.
_VALUES = attrgetter(*(field.name for field in fields(Entry)))
ENTRY_SCHEMA = pa.schema([(field.name, pa.string()) for field in fields(Entry)])


def entry_table(entries: Iterable[Entry]) -> pa.Table:
    """A table of `ENTRY_SCHEMA`; a lone surrogate, which is a byte that could not be read, is a row's problem."""
    rows = [_printable(entry) for entry in entries]
    names = [field.name for field in fields(Entry)]
    columns = zip(*map(_VALUES, rows), strict=True) if rows else [[] for _ in names]
    return pa.table([pa.array(column, pa.string()) for column in columns], schema=ENTRY_SCHEMA)


def seconds_of(value: object) -> Fraction | None:
    """*value* in exact seconds: a number, its text (also with a decimal comma) or `1:02:03.5`; None where empty.

    Raises ValueError where it is no time.
    """
    text = "" if value is None else str(value).strip()
    if not text:
        return None
    if clock := _CLOCK.fullmatch(text):
        hours, minutes, seconds = (Fraction((part or "0").replace(",", ".")) for part in clock.groups())
        return hours * 3600 + minutes * 60 + seconds
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{text[:_SHOWN_LETTERS]!r} is no time in seconds")
    found = Fraction(text.replace(",", "."))
    if abs(found) > _MOST_SECONDS:
        raise ValueError(f"{text!r} s is no time in a recording")
    return found


def span(start: Fraction | None, duration: Fraction | None, stop: Fraction | None) -> tuple[str, str]:
    """`Entry`'s start and stop of what begins at *start* and lasts *duration*, or ends at *stop*.

    Raises ValueError where that is nothing.
    """
    begin = start or Fraction(0)
    if stop is None and duration is not None:
        stop = begin + duration
    if begin < 0 or (stop is not None and stop <= begin):
        raise ValueError(f"nothing lies from {float(begin):g} s to {float(stop or 0):g} s")
    return str(begin), "" if stop is None else str(stop)


def as_read(rows: Sequence[Sequence[str]], first_line: int = 1) -> str:
    """Three *rows* for a message, each as its cells."""
    shown = []
    for number, row in enumerate(rows[:SHOWN_ROWS], first_line):
        cells = " | ".join(map(repr, row))
        shown.append(f"line {number}: {cells[:_SHOWN_LETTERS]}{'…' if len(cells) > _SHOWN_LETTERS else ''}")
    return "; ".join(shown)


def refuse_mostly_bad(path: object, entries: Sequence[Entry], remedy: str) -> None:
    """Raises SourceError where more rows of *path* than not could not be read: then it was read wrongly."""
    problems = [entry.problem for entry in entries if entry.problem]
    if len(problems) * 2 > len(entries):
        told = "; ".join(problems[:SHOWN_ROWS])
        raise SourceError(
            f"{path}: {len(problems)} of {format_counted(len(entries), 'row')} cannot be used as read: {told}", remedy
        )


def _printable(entry: Entry) -> Entry:
    values = _VALUES(entry)
    try:
        "".join(values).encode()
    except UnicodeEncodeError:
        clean = Entry(*(value.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for value in values))
        return replace(clean, problem=clean.problem or f"bytes that are no UTF-8 in this row: {clean.text[:60]!r}")
    return entry

"""How a table is written: its separator, its quotes, its records with their lines. Pure.

A record that does not fit is one row's problem and hides no other: after a stray quote the next line is read anew.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shared.errors import SourceError

SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
_QUOTE = '"'
_NEEDS_QUOTES = ',;\t|"\n\r'
_MOST_LINES = 50
"""Lines in one cell; more are a quote that was never closed."""
_MAX_CELL = 1 << 24
_SNIFFED = 400
_SHOWN = 60
_MARK = "sep="


@dataclass(frozen=True, slots=True)
class Dialect:
    """*separator* is one letter; *quoted* says that cells may stand in double quotes."""

    separator: str
    quoted: bool

    @property
    def words(self) -> str:
        """For people: `separator ';', quoted`."""
        name = next((name for name, letter in SEPARATORS.items() if letter == self.separator), repr(self.separator))
        return f"{name}-separated"


@dataclass(frozen=True, slots=True)
class Record:
    """The cells of one record, which begins on *line* (from 1); *problem* where they cannot be told apart."""

    line: int
    cells: tuple[str, ...]
    problem: str = ""


def lines_of(text: str) -> list[str]:
    """The lines of *text* without their ends. A lone CR ends a line only where no LF does, as on old Macs."""
    if "\n" not in text:
        return text.split("\r")
    return [line.removesuffix("\r") for line in text.split("\n")]


def separator_named(name: str) -> str:
    """The letter that `--separator` *name* means. Raises SourceError where it is none."""
    letter = SEPARATORS.get(name.lower(), "\t" if name == r"\t" else name)
    if len(letter) != 1 or letter in '"\r\n':
        raise SourceError(f"{name!r} is not a separator", f"--separator takes {', '.join(SEPARATORS)} or one letter")
    return letter


def marked_separator(lines: Sequence[str]) -> str:
    """The separator that Excel's own first line `sep=;` states; '' where there is none."""
    first = lines[0].strip('"') if lines else ""
    return first[len(_MARK)] if first.lower().startswith(_MARK) and len(first) == len(_MARK) + 1 else ""


def dialect_of(lines: Sequence[str], separator: str) -> Dialect:
    """That of *lines* under *separator*: quoted where quotes are a program's and not the transcript's own."""
    sample = lines[:_SNIFFED]
    if not any(_QUOTE in line for line in sample):
        return Dialect(separator, quoted=any(_QUOTE in line for line in lines))
    if separator in ",;":
        return Dialect(separator, quoted=True)
    raw, quoted = (list(records(sample, Dialect(separator, quoted=way))) for way in (False, True))
    if not _fits(quoted):
        return Dialect(separator, quoted=False)
    return Dialect(separator, quoted=not _fits(raw) or _is_programs(sample, separator))


def _is_programs(lines: Sequence[str], separator: str) -> bool:
    """Whether whole cells in quotes are so for a reason: they hold what needs quotes, or all are."""
    cells = [cell for line in lines for cell in line.split(separator) if cell]
    inside = [cell[1:-1] for cell in cells if len(cell) > 1 and cell[0] == cell[-1] == _QUOTE]
    needed = [cell for cell in inside if any(letter in cell for letter in _NEEDS_QUOTES)]
    return bool(inside) and (len(needed) == len(inside) or len(inside) == len(cells))


def _fits(found: Sequence[Record]) -> bool:
    return not any(record.problem for record in found) and len({len(record.cells) for record in found}) == 1


def records(lines: Sequence[str], dialect: Dialect) -> Iterator[Record]:
    """The records of *lines*; empty lines are none."""
    if dialect.quoted:
        yield from _quoted_records(lines, dialect.separator)
        return
    for number, line in enumerate(lines, 1):
        if line.strip():
            problem = f"line {number}: a CR in the middle of it" if "\r" in line else ""
            yield Record(number, tuple(line.split(dialect.separator)), problem)


def _quoted_records(lines: Sequence[str], separator: str) -> Iterator[Record]:
    csv.field_size_limit(_MAX_CELL)
    at = 0
    while at < len(lines):
        if _QUOTE not in lines[at] and "\r" not in lines[at]:
            # By far the most lines, and many times faster.
            if lines[at].strip():
                yield Record(at + 1, tuple(lines[at].split(separator)))
            at += 1
            continue
        end, record = _one_quoted(lines, at, separator)
        yield record
        at = end


def _one_quoted(lines: Sequence[str], at: int, separator: str) -> tuple[int, Record]:
    """The record that begins at line *at* (from 0) and where the next one begins."""
    # Nearly every record is one line; only a cell with a line's end in it takes more.
    for taken in (lines[at : at + 1], lines[at : at + _MOST_LINES]):
        reader = csv.reader((f"{line}\n" for line in taken), delimiter=separator, strict=True)
        try:
            cells = tuple(next(reader))
        except csv.Error:
            continue
        return at + reader.line_num, Record(at + 1, cells)
    problem = f"line {at + 1}: quotes that do not enclose a cell: {lines[at][:_SHOWN]!r}"
    return at + 1, Record(at + 1, tuple(lines[at].split(separator)), problem)

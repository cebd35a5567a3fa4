"""Tables with a clip a row, as records: their separator, their header or that they have none, their columns' names."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from preprocess.sources.base import Columns
from preprocess.sources.confine import spread
from preprocess.sources.manifests.dialect import (
    SEPARATORS,
    Dialect,
    Record,
    dialect_of,
    lines_of,
    marked_separator,
    records,
    separator_named,
)
from preprocess.sources.manifests.entries import as_read
from preprocess.sources.manifests.places import AUDIO_SUFFIXES
from preprocess.sources.manifests.roles import TableHead, is_header
from preprocess.sources.manifests.table_text import TableText, read_table_text
from shared.errors import SourceError
from shared.units import format_counted

SUFFIXES = (".csv", ".tsv", ".tab", ".psv", ".txt")
_SNIFFED_LINES = 200
_HEAD_ROWS = 50
LJSPEECH = ("id", "text", "normalized_text")
"""What LJSpeech's columns are called here, since the file does not say."""
CELLS_REMEDY = (
    "name the separator with --separator (comma, semicolon, tab, pipe or a letter), the encoding with --encoding"
)


@dataclass(frozen=True, slots=True)
class Table:
    """A table's *names* and its *rows*, and in *words* how it is written. Without a header columns are numbered."""

    path: Path
    names: tuple[str, ...]
    rows: Sequence[Record]
    words: str
    headed: bool

    def head(self) -> TableHead:
        """What the choice of columns looks at."""
        whole = [row.cells for row in self.rows if not row.problem]
        sample = [whole[at] for at in spread(len(whole), _HEAD_ROWS)]
        return TableHead(str(self.path), self.names, sample, 2 if self.headed else 1)


def read_table(path: Path, columns: Columns) -> Table:
    """The table at *path*, its separator and header recognised unless *columns* say them.

    Raises SourceError where it cannot be read, or where that is not safe to tell.
    """
    text = read_table_text(path, columns.encoding)
    lines = lines_of(text.text)
    marked = marked_separator(lines)
    if marked:
        lines = ["", *lines[1:]]
    if not any(line.strip() for line in lines):
        raise SourceError(f"{path} is empty", "write the table again")
    separator = separator_named(columns.separator) if columns.separator else marked or _separator(text, lines)
    dialect = dialect_of(lines, separator)
    found = list(records(lines, dialect))
    return _headed(text, dialect, found, columns)


def _headed(text: TableText, dialect: Dialect, found: list[Record], columns: Columns) -> Table:
    first = tuple(cell.strip() for cell in found[0].cells)
    named = {columns.audio, columns.text} - {Columns().audio, Columns().text}
    # A row of a table without a header names a file; a header does not.
    headed = is_header(first) or bool(named & set(first)) or not any(looks_like_audio(cell) for cell in first)
    if not is_header(first) and (_is_ljspeech(text.path, found) or any(name.isdecimal() for name in named - {*first})):
        headed = False
    while headed and len(first) > 1 and not first[-1]:
        first = first[:-1]
    width = len(first) if headed else _usual_width(found)
    names = first if headed else _numbered(width, text.path, found)
    rows = [_checked(row, width) for row in (found[1:] if headed else found)]
    told = f"{dialect.words}, {text.encoding}{'' if headed else ', without a header'}"
    return Table(text.path, names, rows, told, headed)


def _numbered(width: int, path: Path, found: Sequence[Record]) -> tuple[str, ...]:
    if _is_ljspeech(path, found):
        return LJSPEECH[:width]
    return tuple(str(number) for number in range(1, width + 1))


def _is_ljspeech(path: Path, found: Sequence[Record]) -> bool:
    """`metadata.csv` of `id|text` or `id|text|normalized text` without a header, beside `wavs/`."""
    if _usual_width(found) not in {2, 3} or not path.with_name("wavs").is_dir():
        return False
    return (path.parent / "wavs" / f"{found[0].cells[0].strip()}.wav").is_file()


def _usual_width(found: Sequence[Record]) -> int:
    widths = [len(row.cells) for row in found if not row.problem] or [1]
    return max(set(widths), key=widths.count)


def _checked(row: Record, width: int) -> Record:
    """*row* with exactly *width* cells; one with fewer, or with more that are not empty, has a problem."""
    cells = row.cells
    while len(cells) > width and not cells[-1].strip():
        cells = cells[:-1]
    if row.problem or len(cells) == width:
        return row if cells is row.cells else Record(row.line, cells, row.problem)
    seen = as_read([row.cells], row.line)
    return Record(
        row.line,
        cells,
        f"{seen}: {format_counted(len(cells), 'cell')}, where the table has {format_counted(width, 'column')}",
    )


def _separator(text: TableText, lines: Sequence[str]) -> str:
    """The one separator under which *lines* are a table with a file a row. Raises SourceError where that is not one."""
    sample = [line for line in lines[:_SNIFFED_LINES] if line.strip()]
    heads = {letter: next(records(sample, dialect_of(sample, letter))).cells for letter in SEPARATORS.values()}
    named = [letter for letter, cells in heads.items() if len(cells) > 1 and is_header(cells)]
    if len(named) == 1:
        return named[0]
    if _is_ljspeech(text.path, list(records(sample, Dialect("|", quoted=False)))):
        return "|"
    fits = [letter for letter in named or heads if _is_even(sample, letter)]
    if len(fits) > 1:
        fits = [letter for letter in fits if any(looks_like_audio(cell) for cell in heads[letter])] or fits
    usual = {".tsv": "\t", ".tab": "\t", ".psv": "|"}.get(Path(text.path.name.removesuffix(".gz")).suffix)
    if usual in fits:
        return usual
    if len(fits) == 1:
        return fits[0]
    why = "no separator divides it into columns" if not fits else "several separators divide it into columns"
    rows = as_read([[line] for line in sample])
    raise SourceError(f"{text.path} ({text.encoding}): {why}. As read: {rows}", CELLS_REMEDY)


def _is_even(sample: Sequence[str], letter: str) -> bool:
    """Whether nearly all records have the same number of cells, two at least."""
    widths = [len(row.cells) for row in records(sample, dialect_of(sample, letter))]
    usual = max(set(widths), key=widths.count)
    return usual > 1 and widths.count(usual) * 10 >= len(widths) * 9


def looks_like_audio(cell: str) -> bool:
    """Whether *cell* ends as an audio file's name does."""
    return cell.strip().lower().endswith(AUDIO_SUFFIXES)

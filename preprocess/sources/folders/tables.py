"""Tables of text, read line by line where need be: a line that cannot be read is one row's problem, not the table's.

Arrow reads a table at once, or not at all. Where it does not, each line is read by itself: a row that cannot be is kept
in its place with the file, the line and what was seen there, and is quarantined. Where most lines are like that, the
file is something else than it is taken for, and is refused.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.json as pajson

from preprocess.sources.manifests.table_text import read_table_text
from shared.errors import SourceError
from shared.system.read_errors import refuse_unreadable
from shared.units import format_counted

PROBLEM = " problem"
"""The column that says what is wrong with a row's line, '' where nothing is; no column of a data set has this name."""
_MAX_LINE_BYTES = 16 * 1024**2
_HEADER_LINES = 100
_NOT_UTF8 = "is not UTF-8"
_FEW = 0.05
"""The share of lines in another encoding above which all of the table is taken to be in that one."""
_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
# Sentences hold raw quotes, and a quote that opened a field would swallow the lines up to the next one.
_TSV = pacsv.ParseOptions(delimiter="\t", quote_char=False, double_quote=False, newlines_in_values=False)
_CSV = pacsv.ParseOptions(newlines_in_values=True)
_REMEDIES = {
    ".tsv": "separate its columns with TAB, and save it as UTF-8 or name its encoding with --encoding",
    ".csv": "put values that have a comma in double quotes, and save it as UTF-8 or name its encoding with --encoding; "
    "or write metadata.jsonl",
    ".jsonl": "write one JSON object a line, in UTF-8, or name its encoding with --encoding",
}
_Read = Callable[[pa.Buffer, list[str]], pa.Table]
_Lines = Iterator[tuple[int, dict[str, str] | str]]
"""Line numbers, each with the row's values or with what is wrong with it."""


def column_names(path: Path, encoding: str = "") -> list[str]:
    """The columns of the table at *path* (.tsv, .csv or .jsonl), from its first lines alone.

    Raises:
        OSError, ValueError: it cannot be read.
        SourceError: *encoding* was named, and is not its.
    """
    # A name in quotes may have several lines; more than these none has.
    if encoding:
        lines = read_table_text(path, encoding).text.split("\n", _HEADER_LINES)[:_HEADER_LINES]
        head = "\n".join(lines).encode()
    else:
        with path.open("rb") as file:
            head = _as_utf8(b"".join(file.readline(_MAX_LINE_BYTES) for _ in range(_HEADER_LINES)))
    return _keys(head) if path.suffix == ".jsonl" else _header(head, path.suffix)


def read_table(path: Path, wanted: list[str], encoding: str = "") -> pa.Table:
    """The columns *wanted* of the table at *path*, as text, and `PROBLEM`; a row for each line that has one.

    It is UTF-8, or UTF-16 with a byte order mark, unless *encoding* is named.

    Raises:
        SourceError: it is damaged, or most of its lines are not what they should be; the message names one.
    """
    try:
        content = pa.py_buffer(read_table_text(path, encoding).text.encode()) if encoding else _content(path)
        try:
            table = _AT_ONCE[path.suffix](content, wanted)
        except pa.ArrowException:
            return _line_by_line(path, content, wanted)
    except (OSError, ValueError, csv.Error) as error:
        refuse_unreadable(path, error)
        raise SourceError(f"{path} cannot be read: {error}", _REMEDIES[path.suffix]) from error
    return table.append_column(PROBLEM, pa.repeat(pa.scalar(""), table.num_rows))


def _content(path: Path) -> pa.Buffer:
    """The content of *path*, mapped, without a byte order mark; as UTF-8 where it was UTF-16 with one."""
    if path.stat().st_size == 0:
        raise ValueError("it is empty")
    mapped = pa.memory_map(str(path)).read_buffer()
    start = mapped.slice(0, min(3, mapped.size)).to_pybytes()
    if start[:2] in _UTF16:
        return pa.py_buffer(_as_utf8(mapped.to_pybytes()))
    return mapped.slice(len(_BOM)) if start == _BOM else mapped


def _as_utf8(content: bytes) -> bytes:
    if content[:2] in _UTF16:
        # A part of a file may end within a character.
        return content.decode("utf-16", "replace").encode("utf-8", "replace")
    return content.removeprefix(_BOM)


def _header(content: bytes, suffix: str) -> list[str]:
    line = re.split(rb"\r\n|\n|\r", content, maxsplit=1)[0]
    if suffix == ".tsv":
        return line.decode("utf-8", "replace").split("\t")
    return next(csv.reader(io.StringIO(content.decode("utf-8", "replace"), newline="")), [])


def _keys(content: bytes) -> list[str]:
    records = [record for _, record in _json_lines(content) if isinstance(record, dict)]
    if content.strip() and not records:
        raise ValueError("a line is not a JSON object")
    return list(dict.fromkeys(name for record in records for name in record))


def _convert(wanted: list[str]) -> pacsv.ConvertOptions:
    # Everything is text: a transcript that says 'null', '1.0' or '2024-05-01' must stay what it is.
    return pacsv.ConvertOptions(
        include_columns=wanted, column_types=dict.fromkeys(wanted, pa.string()), strings_can_be_null=False
    )


def _read_tsv(content: pa.Buffer, wanted: list[str]) -> pa.Table:
    return pacsv.read_csv(pa.BufferReader(content), parse_options=_TSV, convert_options=_convert(wanted))


def _read_csv(content: pa.Buffer, wanted: list[str]) -> pa.Table:
    table = pacsv.read_csv(pa.BufferReader(content), parse_options=_CSV, convert_options=_convert(wanted))
    for column in table.columns:
        broken = column.filter(pc.match_substring(column, "\n"))
        if len(broken) and content.to_pybytes().count(b'"') % 2:
            # Arrow takes the lines up to the next quote, or all that are left, for one value.
            raise ValueError(f"a quote in it is opened and never closed, perhaps at {broken[0].as_py()[:40]!r}")
    return table


def _read_jsonl(content: pa.Buffer, wanted: list[str]) -> pa.Table:
    schema = pa.schema([(name, pa.string()) for name in wanted])
    parse = pajson.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    return pajson.read_json(pa.BufferReader(content), pajson.ReadOptions(block_size=_MAX_LINE_BYTES), parse)


_AT_ONCE: dict[str, _Read] = {".tsv": _read_tsv, ".csv": _read_csv, ".jsonl": _read_jsonl}


def _line_by_line(path: Path, content: pa.Buffer, wanted: list[str]) -> pa.Table:
    columns: dict[str, list[str]] = {name: [] for name in (*wanted, PROBLEM)}
    bad: list[str] = []
    for number, found in _LINES[path.suffix](content.to_pybytes()):
        values, problem = ({}, found) if isinstance(found, str) else _texts(found, wanted)
        if problem:
            problem = f"{path.name}, line {number}: {problem}"
            bad.append(problem)
        for name in wanted:
            columns[name].append("" if problem else values.get(name, ""))
        columns[PROBLEM].append(problem)
    _check_share(bad, columns)
    return pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})


def _check_share(bad: list[str], columns: dict[str, list[str]]) -> None:
    """Raises ValueError where so many rows are *bad* that it is the table that is."""
    total = len(columns[PROBLEM])
    if bad and 2 * len(bad) >= total:
        raise ValueError(f"{len(bad):,} of its {format_counted(total, 'line')} cannot be read; {bad[0]}")
    foreign = [problem for problem in bad if problem.endswith(_NOT_UTF8)]
    rows = zip(*columns.values(), strict=True)
    spelled = sum(not problem and not "".join(values).isascii() for *values, problem in rows)
    if len(foreign) > max(spelled, total * _FEW):
        of = format_counted(total, "line")
        raise ValueError(f"{len(foreign):,} of its {of} are not UTF-8, most of those with umlauts: {foreign[0]}")


def _texts(found: dict[str, Any], wanted: list[str]) -> tuple[dict[str, str], str]:
    """The values *wanted*, and what is wrong with them ('' where nothing is)."""
    values: dict[str, str] = {}
    for name in wanted:
        value = found.get(name)
        if value is not None and not isinstance(value, str):
            return {}, f"{name!r} is no text: {str(value)[:80]}"
        values[name] = value or ""
        if not _is_utf8(values[name]):
            return {}, f"{name!r} {_NOT_UTF8}"
    return values, ""


def _is_utf8(text: str) -> bool:
    # What could not be decoded was kept as half of a surrogate pair, which no text can have.
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)


def _tsv_lines(content: bytes) -> _Lines:
    names = _header(content, ".tsv")
    for number, line in enumerate(content.split(b"\n"), 1):
        text = line.rstrip(b"\r").decode("utf-8", "surrogateescape")
        if number == 1 or not text:
            continue
        fields = text.split("\t")
        if "\r" in text:
            yield number, f"a CR (carriage return) within the line: {text[:80]!r}"
        elif len(fields) != len(names):
            found = format_counted(len(fields), "field")
            yield number, f"{found}, not {len(names)}: a TAB or a line break too many? {text[:80]!r}"
        else:
            yield number, dict(zip(names, fields, strict=True))


def _csv_lines(content: bytes) -> _Lines:
    reader = csv.reader(io.StringIO(content.decode("utf-8", "surrogateescape"), newline=""))
    names = next(reader, [])
    number = reader.line_num + 1
    for fields in reader:
        if len(fields) != len(names) and reader.line_num > number:
            # The lines up to the next quote, or to the end of the file, are in here.
            raise ValueError(f"line {number}: a quote that is opened and not closed in its line")
        if fields and len(fields) != len(names):
            found, shown = format_counted(len(fields), "field"), ",".join(fields)[:80]
            yield number, f"{found}, not {len(names)}: a comma without quotes around the value? {shown!r}"
        elif fields:
            yield number, dict(zip(names, fields, strict=True))
        number = reader.line_num + 1


def _json_lines(content: bytes) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(content.split(b"\n"), 1):
        # Files that were joined have a mark at each one's beginning.
        if not (text := line.removeprefix(_BOM).strip()):
            continue
        try:
            # A transcript that is a number stays as it is written.
            record = json.loads(text, parse_int=str, parse_float=str)
        except (ValueError, RecursionError) as error:
            yield number, f"no JSON: {error}"
            continue
        yield number, record if isinstance(record, dict) else f"no JSON object: {str(record)[:80]}"


_LINES: dict[str, Callable[[bytes], _Lines]] = {".tsv": _tsv_lines, ".csv": _csv_lines, ".jsonl": _json_lines}

"""The text of a table or list that a person's program wrote, in the encoding that its bytes tell.

UTF-8 with or without a BOM, UTF-16 and UTF-32, and Windows-1252 as German Excel writes it. Where the bytes leave it
open, a wrong guess would spoil every umlaut silently: then it stops and shows the readings.
"""

import codecs
import gzip
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

from shared.errors import SourceError
from shared.system.read_errors import refuse_unreadable
from shared.units import format_bytes

_MAX_BYTES = 1024**3
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WORKBOOKS = {b"PK\x03\x04": "a ZIP, as .xlsx and .ods are", b"\xd0\xcf\x11\xe0": "an Excel workbook"}
_MULTIBYTE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_HIGH = re.compile(rb"[\x80-\xff]")
# What stands inside a word in no language that is written in Windows-1252: signs of cp850, Mac Roman and others.
_MISPLACED = re.compile(r"(?<=[A-Za-z])[€‚ƒ„†‡ˆ‰‹‘“”•—˜™›¡-¿×÷ŠŽŸŒ](?=[a-z])")  # noqa: RUF001 - these very signs
_MOST_FOREIGN, _MOST_FOREIGN_OF_FEW, _FEW_LETTERS = 0.35, 0.5, 40
"""Share of letters beyond ASCII above which Latin text is something else; a few words may have more."""
_CANDIDATES = ("cp1252", "cp850", "mac-roman", "cp1251")
_SHOWN = 3
_SHOWN_LETTERS = 60


@dataclass(frozen=True, slots=True)
class TableText:
    """*text* of the file at *path*, read as *encoding*; bytes that are none of it are lone surrogates."""

    path: Path
    text: str
    encoding: str


def read_table_text(path: Path, encoding: str = "") -> TableText:
    """The text of *path* (unpacked where its name ends in .gz), in *encoding* or in what its bytes tell.

    Raises SourceError where it cannot be read, is no text, or its encoding is not safe to guess.
    """
    return as_text(path, _content(path), encoding)


def as_text(path: Path, content: bytes, encoding: str = "") -> TableText:
    """*content* of the file *path* as text. Raises as `read_table_text`."""
    for magic, kind in _WORKBOOKS.items():
        if content.startswith(magic):
            raise SourceError(f"{path} is {kind}, not text", "save the sheet as 'CSV UTF-8' and name that file")
    try:
        if encoding:
            return TableText(path, content.decode(encoding).removeprefix("\ufeff"), encoding)
        found = encoding_of(content)
        if found is None:
            raise _unsafe(path, content)
        return TableText(path, content.decode(found, "surrogateescape").removeprefix("\ufeff"), found)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        seen = content[max(0, error.start - 20) : error.start + 20]
        message = f"{path}, line {line}: {seen!r} cannot be read as {error.encoding}"
        raise SourceError(message, "name the encoding that it has with --encoding, such as cp1252 or utf-16") from error
    except (LookupError, ValueError) as error:
        raise SourceError(f"{encoding!r} is not a text encoding", "--encoding takes utf-8, utf-16, cp1252 …") from error


def encoding_of(content: bytes) -> str | None:
    """Python's name for the encoding of *content*; None where that is not safe to say.

    UTF-8 with some broken bytes among more good ones is UTF-8: read otherwise, every umlaut would become two signs.
    """
    for bom, name in _BOMS:
        if content.startswith(bom):
            return name
    if b"\0" in content:
        return _utf16(content)
    good = len(_MULTIBYTE.findall(content))
    bad = len(_HIGH.findall(_MULTIBYTE.sub(b"", content)))
    if good > bad or not bad:
        return "utf-8"
    return "cp1252" if good <= bad // 20 and _is_cp1252(content) else None


def _utf16(content: bytes) -> str | None:
    """UTF-16 without a BOM has a zero beside nearly every letter of a Latin text, always on the same side."""
    half = max(1, len(content) // 2)
    even, odd = content[0::2].count(0) / half, content[1::2].count(0) / half
    if max(even, odd) < 0.3 or min(even, odd) > 0.05:  # noqa: PLR2004 - nearly all of one side, nearly none of the other
        return None
    return "utf-16-le" if odd > even else "utf-16-be"


def _is_cp1252(content: bytes) -> bool:
    try:
        text = content.decode("cp1252")
    except UnicodeDecodeError:
        return False
    letters = [letter for letter in text if letter.isalpha()]
    foreign = sum(letter > "\x7f" for letter in letters)
    most = _MOST_FOREIGN if len(letters) > _FEW_LETTERS else _MOST_FOREIGN_OF_FEW
    return not _MISPLACED.search(text) and foreign <= most * len(letters)


def _content(path: Path) -> bytes:
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            content = bytes(file.read(_MAX_BYTES + 1))
    except (OSError, EOFError, zlib.error) as error:
        refuse_unreadable(path, error)
        raise SourceError(f"{path} cannot be read: {error}", "copy the file again, or name another") from error
    if len(content) > _MAX_BYTES:
        raise SourceError(f"{path} has more than {format_bytes(_MAX_BYTES)} of text", "divide it into several files")
    return content


def _unsafe(path: Path, content: bytes) -> SourceError:
    """Three lines with what is in question, each as the likely encodings would have it."""
    lines = [line for line in content.split(b"\n") if _HIGH.search(line) or b"\0" in line][:_SHOWN]
    readings = [
        f"{name}: " + ", ".join(repr(line.decode(name, "replace").strip()[:_SHOWN_LETTERS]) for line in lines)
        for name in _CANDIDATES
    ]
    message = f"{path}: its encoding cannot be guessed safely. Lines as read with {'; with '.join(readings)}"
    return SourceError(message, "name the one that reads correctly, such as --encoding cp850")

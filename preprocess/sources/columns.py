"""Does a data set have the columns that its settings name? Pure checks on an Arrow schema or a list of names.

Looking for `text` where the data says `transkription` is the classic mistake, so each message names what was found.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from preprocess.sources.base import Columns
from shared.errors import SourceError

_TEXT_NAMES = ("transkription", "text", "transcription", "sentence", "transcript", "normalized_text", "raw_text")
_EMBEDDED_REMEDY = (
    "the column has to be the Hub's struct<bytes, path>: dataset.cast_column('{audio}', datasets.Audio()) before saving"
)


def check_embedded_columns(schema: pa.Schema, columns: Columns, where: str) -> None:
    """Pass where *schema* has the transcript, an `audio` struct and, if it was named, the source column.

    Raises:
        SourceError: a column is missing or of the wrong type; the message names *where* and the columns found.
    """
    check_names(schema.names, columns, where)
    if columns.audio not in schema.names:
        raise SourceError(_missing(columns.audio, schema.names, where), _audio_remedy(schema))
    _check_audio_type(schema.field(columns.audio).type, columns.audio, where)
    for name in text_columns(schema.names, columns):
        _check_text_type(schema.field(name).type, name, where)


def check_names(names: Sequence[str], columns: Columns, where: str) -> None:
    """Pass where *names* has the transcript column and, if the user named one, the source column.

    A missing source column is tolerated under its default name only: rows then carry the data set's name.

    Raises:
        SourceError: a column is missing; the message names *where* and the columns found.
    """
    if columns.text not in names:
        raise SourceError(_missing(columns.text, names, where), _text_remedy(names))
    if columns.source not in names and columns.source != Columns().source:
        raise SourceError(
            _missing(columns.source, names, where),
            "leave --source-column out, and every row carries the data set's name, or name one of the columns above",
        )


def check_file_names(names: Sequence[str], file_column: str, where: str) -> None:
    """Pass where a table of clips has the column that names their files.

    Raises:
        SourceError: it has not; the message names *where* and the columns found.
    """
    if file_column not in names:
        raise SourceError(_missing(file_column, names, where), f"name each clip's file in a column {file_column!r}")


def suggested_columns(schema: pa.Schema, columns: Columns) -> Columns:
    """*columns*, with the first one that *schema* lacks replaced by what is likely meant; the same where none is."""
    text, audio = _text_candidates(schema.names), _audio_candidates(schema)
    if columns.text not in schema.names and text:
        return replace(columns, text=text[0])
    if columns.audio not in schema.names and audio:
        return replace(columns, audio=audio[0])
    return columns


def text_columns(names: Sequence[str], columns: Columns) -> list[str]:
    """The transcript's and the source's column as far as *names* has them."""
    return [name for name in (columns.text, columns.source) if name in names]


def _missing(name: str, names: Sequence[str], where: str) -> str:
    return f"{where} has no column {name!r}; its columns are {', '.join(names) or '(none)'}"


def _text_candidates(names: Sequence[str]) -> list[str]:
    lower = {name.lower(): name for name in reversed(names)}
    return [lower[name] for name in _TEXT_NAMES if name in lower]


def _text_remedy(names: Sequence[str]) -> str:
    found = _text_candidates(names)
    return f"pass --text-column {found[0]}" if found else "name the transcript's column with --text-column"


def _audio_candidates(schema: pa.Schema) -> list[str]:
    return [field.name for field in schema if pa.types.is_struct(field.type) and _children(field.type) & {"bytes"}]


def _audio_remedy(schema: pa.Schema) -> str:
    found = _audio_candidates(schema)
    return f"pass --audio-column {found[0]}" if found else "name the clips' column with --audio-column"


def _check_audio_type(kind: pa.DataType, name: str, where: str) -> None:
    """Arrow's null type fits everywhere: a file has it for whatever none of its rows has."""
    if pa.types.is_null(kind):
        return
    remedy = _EMBEDDED_REMEDY.format(audio=name)
    if not pa.types.is_struct(kind) or not _children(kind) & {"bytes", "path"}:
        raise SourceError(f"column {name!r} of {where} is {kind}, not a struct of bytes and path", remedy)
    for child, fits in (("bytes", _is_binary), ("path", _is_text)):
        if child in _children(kind) and not (fits(kind.field(child).type) or pa.types.is_null(kind.field(child).type)):
            raise SourceError(f"{name}.{child} of {where} is {kind.field(child).type}", remedy)


def _check_text_type(kind: pa.DataType, name: str, where: str) -> None:
    value: pa.DataType = kind.value_type if isinstance(kind, pa.DictionaryType) else kind
    if not _is_text(value) and not pa.types.is_null(value):
        raise SourceError(
            f"column {name!r} of {where} is {kind}, not text", "name a column of strings, or cast this one to string"
        )


def _children(kind: pa.DataType) -> set[str]:
    fields: list[pa.Field[Any]] = [kind.field(index) for index in range(kind.num_fields)]
    return {field.name for field in fields}


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))

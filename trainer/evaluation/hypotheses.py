"""Published transcripts, scored like our own: reads a ready table of references and hypotheses.

CSV, TSV, JSON lines and Parquet, told apart by the file's ending. A table is read through pyarrow, and only the columns
that are named. Every transcript must be there; an empty one is an empty text, not a gap.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.json as pajson
import pyarrow.parquet as pq

from shared.errors import UsageError
from shared.system.read_errors import refuse_unreadable
from shared.units import format_counted
from trainer.evaluation.inputs import EvaluationFacts, EvaluationRow, ModelTranscripts

_COMMA = pacsv.ParseOptions(newlines_in_values=True)
# As Common Voice writes it: sentences hold raw quotes, and one that opened a field would swallow the lines after it.
_TAB = pacsv.ParseOptions(delimiter="\t", quote_char=False, double_quote=False, newlines_in_values=False)
_ROWS_NAMED = 5


def read_hypotheses(
    path: Path,
    *,
    reference_column: str,
    hypothesis_columns: Sequence[str],
    source_column: str | None = None,
    duration_column: str | None = None,
    baseline: str | None = None,
) -> EvaluationFacts:
    """The table at *path* as facts: every hypothesis column is a model of that name, a row's id its place from 0 on.

    *duration_column* is in seconds; a gap in it is an unknown length, one in *source_column* a source without a name.
    *baseline* is one of *hypothesis_columns*. Raises UsageError for a file that cannot be read as its ending says, for
    a column that is missing (naming those there are), is not text (numbers for durations) or, among the transcripts,
    has gaps, and for a table without rows.
    """
    transcripts = [reference_column, *hypothesis_columns]
    wanted = dict.fromkeys([*transcripts, *([source_column] if source_column else [])], pa.string())
    if duration_column:
        wanted[duration_column] = pa.float64()
    table = _read(path, wanted)
    for name in transcripts:
        _check_whole(path, name, table.column(name))
    references = table.column(reference_column).to_pylist()
    sources = table.column(source_column).fill_null("").to_pylist() if source_column else [""] * len(references)
    durations = table.column(duration_column).to_pylist() if duration_column else [None] * len(references)
    return EvaluationFacts(
        title=str(path),
        rows=[EvaluationRow(*row) for row in zip(range(len(references)), sources, references, durations, strict=True)],
        models=[ModelTranscripts(name, table.column(name).to_pylist()) for name in hypothesis_columns],
        baseline=baseline,
    )


def _read(path: Path, wanted: Mapping[str, pa.DataType]) -> pa.Table:
    """The columns *wanted*, of just these types."""
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise UsageError(f"{path} is not a table of a known kind", f"give it one of the endings {', '.join(_READERS)}")
    try:
        table = reader(path, wanted)
        return table.cast(pa.schema(list(wanted.items())))
    except (OSError, pa.ArrowException) as error:
        refuse_unreadable(path, error)
        remedy = "check the file, its ending, and that transcripts are text and durations numbers"
        raise UsageError(f"{path} cannot be read: {error}", remedy) from error


def _read_csv(path: Path, wanted: Mapping[str, pa.DataType], parse: pacsv.ParseOptions) -> pa.Table:
    with pacsv.open_csv(path, parse_options=parse) as opened:
        _check_columns(path, opened.schema.names, wanted)
    convert = pacsv.ConvertOptions(column_types=dict(wanted), include_columns=list(wanted))
    return pacsv.read_csv(path, parse_options=parse, convert_options=convert)


def _read_json(path: Path, wanted: Mapping[str, pa.DataType]) -> pa.Table:
    # With types given, a transcript that reads like a date stays text.
    only = pajson.ParseOptions(explicit_schema=pa.schema(list(wanted.items())), unexpected_field_behavior="ignore")
    table = pajson.read_json(path, parse_options=only)
    # A name that no line has comes as a column of gaps; what the lines do have, only a reading without types tells.
    if any(table.column(name).null_count == len(table) for name in wanted):
        _check_columns(path, pajson.read_json(path).column_names, wanted)
    return table.select(list(wanted))


def _read_parquet(path: Path, wanted: Mapping[str, pa.DataType]) -> pa.Table:
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        _check_columns(path, schema.names, wanted)
        for name, kind in wanted.items():
            # A cast would make text of numbers too, and score it.
            if pa.types.is_string(kind) and not _is_text(schema.field(name).type):
                raise UsageError(f"{path}: column {name!r} holds {schema.field(name).type}, not text", "name another")
        return file.read(list(wanted)).select(list(wanted))


_READERS: dict[str, Callable[[Path, Mapping[str, pa.DataType]], pa.Table]] = {
    ".csv": partial(_read_csv, parse=_COMMA),
    ".tsv": partial(_read_csv, parse=_TAB),
    ".jsonl": _read_json,
    ".ndjson": _read_json,
    ".json": _read_json,
    ".parquet": _read_parquet,
}


def _is_text(kind: Any) -> bool:
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(plain) or pa.types.is_large_string(plain) or pa.types.is_string_view(plain))


def _check_columns(path: Path, found: Sequence[str], wanted: Mapping[str, pa.DataType]) -> None:
    for name in wanted:
        if found.count(name) != 1:
            problem = "has no column" if name not in found else "has more than one column"
            raise UsageError(f"{path} {problem} {name!r}", f"its columns are {', '.join(map(repr, found))}")


def _check_whole(path: Path, name: str, column: pa.ChunkedArray) -> None:
    if gaps := column.null_count:
        places = pc.indices_nonzero(pc.is_null(column))[:_ROWS_NAMED].to_pylist()
        more = " …" if gaps > len(places) else ""
        of, which = format_counted(len(column), "row"), ", ".join(map(str, places))
        raise UsageError(
            f"{path}: column {name!r} is null in {gaps} of {of} ({which}{more})",
            'write "" where a transcript is empty, and leave out rows without one',
        )

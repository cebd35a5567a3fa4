"""The cuts of one split, as one Parquet file of the store that is made once and never replaced.

A row for each piece, with the columns of `shared.schema.CUTS_SCHEMA`; `start` and `stop` are samples at 16 kHz. A
recording that cannot be split has one, with its problem. What it was made for stands in the file's own metadata.
"""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from preprocess.alignment.cuts import pieces_of
from preprocess.alignment.recording import RowCuts
from shared.errors import StoreError, StoreMismatchError
from shared.schema import CUTS_SCHEMA, digest_of
from shared.system.durable import DurableFile
from shared.system.read_errors import refuse_unreadable

_MADE_FOR = b"made_for"
_REMEDY = "restore it from a copy, or remove it and everything made with it, and run python -m preprocess.align again"


@dataclass(frozen=True, slots=True)
class CutPlan:
    """All recordings of a split that are too long, by row id in order; *made_for* says of which split and by what.

    *digest* is the file's.
    """

    made_for: Mapping[str, Any]
    rows: Mapping[int, RowCuts]
    digest: str

    @property
    def num_pieces(self) -> Mapping[int, int]:
        """Of each recording that is split: in how many."""
        return {row_id: len(cuts.texts) for row_id, cuts in self.rows.items() if not cuts.problem}


def write_cut_plan(path: Path, partial: Path, made_for: Mapping[str, Any], rows: Sequence[RowCuts]) -> None:
    """Commits the plan of *rows* at *path*, durably. Raises StoreMismatchError where another plan was first."""
    content = _content(made_for, rows)
    with DurableFile(partial) as durable:
        durable.file.write(content)
        durable.seal()
        won = durable.publish(path)
    if not won and path.read_bytes() != content:
        raise StoreMismatchError(f"{path} holds other cuts, which stay", "use them, or name another --store")


def _content(made_for: Mapping[str, Any], rows: Sequence[RowCuts]) -> bytes:
    metadata = {_MADE_FOR: json.dumps(made_for, sort_keys=True, ensure_ascii=False)}
    table = pa.Table.from_pylist([line for row in rows for line in _lines(row)], CUTS_SCHEMA.with_metadata(metadata))
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    return buffer.getvalue()


def _lines(row: RowCuts) -> Iterator[dict[str, Any]]:
    for piece, (start, stop) in enumerate(pieces_of(row.stops)):
        yield {
            "row_id": row.row_id,
            "piece": piece,
            "start": start,
            "stop": stop,
            "text": "" if row.problem else row.texts[piece],
            "cer": row.cer,
            "margin": row.margin,
            "problem": row.problem,
        }


def read_cut_plan(path: Path, digest: str = "") -> CutPlan | None:
    """The plan at *path*; None where there is none. Raises StoreError where it is damaged or not *digest*'s."""
    try:
        content = path.read_bytes()
        found = digest_of(content)
        if digest and found != digest:
            raise StoreError(f"{path} is not the cut plan that the store was planned with", _REMEDY)
        file = pq.ParquetFile(io.BytesIO(content), page_checksum_verification=True)
        made_for = json.loads((file.schema_arrow.metadata or {})[_MADE_FOR])
        lines = file.read().cast(CUTS_SCHEMA).to_pylist()
        rows = {row_id: _row(list(group)) for row_id, group in groupby(lines, key=lambda line: line["row_id"])}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        refuse_unreadable(path, error)
        raise StoreError(f"{path} is damaged: {error}", _REMEDY) from error
    return CutPlan(made_for, rows, found)


def _row(lines: Sequence[Mapping[str, Any]]) -> RowCuts:
    """Raises ValueError where the pieces do not tile their recording."""
    first = lines[0]
    if [(line["piece"], line["start"]) for line in lines] != [
        (piece, start) for piece, (start, _) in enumerate(pieces_of([line["stop"] for line in lines]))
    ]:
        raise ValueError(f"the pieces of row {first['row_id']} do not follow each other")
    texts = () if first["problem"] else tuple(line["text"] for line in lines)
    stops = tuple(line["stop"] for line in lines)
    return RowCuts(first["row_id"], stops, texts, round(first["cer"], 4), first["margin"], first["problem"])

"""Rows that a training leaves out, as a table names them: `trainer.audit` writes such tables, people may too."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from shared.errors import UsageError
from shared.store import StoreSplit
from shared.system.read_errors import refuse_unreadable
from shared.units import format_counted

ROW_ID, PIECE, STORE, SPLIT = "row_id", "piece", "store", "split"
_TYPES = {ROW_ID: pa.int64(), PIECE: pa.int64(), STORE: pa.string(), SPLIT: pa.string()}
_REMEDY = (
    "give a Parquet or CSV table with a column row_id, and piece where recordings were cut into pieces; store (its "
    "uuid) and split say which rows of several are meant"
)
_PIECES = 1 << 15
"""More pieces than a row can have: a pair becomes one number by it."""


@dataclass(frozen=True, slots=True)
class Exclusion:
    """The rows of the table at *path*: *columns* of one length, `row_id` and what else of the four it has."""

    path: Path
    columns: dict[str, NDArray[Any]]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises UsageError for a file that is no such table, one without row_id, and for gaps in these columns."""
        reader = _READERS.get(path.suffix.lower())
        if reader is None:
            raise UsageError(f"--exclude-rows {path}: its ending is not one of {', '.join(_READERS)}", _REMEDY)
        try:
            table = reader(path)
            if ROW_ID not in table.column_names:
                raise UsageError(f"--exclude-rows {path} has no column row_id", _REMEDY)
            columns = {name: _whole(path, table, name) for name in _TYPES if name in table.column_names}
        except (OSError, KeyError, pa.ArrowException) as error:
            refuse_unreadable(path, error)
            raise UsageError(f"--exclude-rows {path} cannot be read: {error}", _REMEDY) from error
        return cls(path, columns)

    def __len__(self) -> int:
        return len(self.columns[ROW_ID])

    def left_out(self, splits: Sequence[StoreSplit]) -> list[NDArray[np.bool_]]:
        """bool[rows] for each of *splits*: the rows that the table names. Some may be of another split.

        Raises UsageError where all are, for a row that none of *splits* has, for a store that is none of theirs, and
        where nobody can tell which of several stores, or which pieces of a recording, are meant.
        """
        meant = np.ones(len(self), np.bool_)
        if SPLIT in self.columns:
            meant = self.columns[SPLIT] == splits[0].name
        if len(self) and not meant.any():
            raise UsageError(f"{self.path} has no row of the split {splits[0].name!r}", "name the table of this split")
        if STORE in self.columns:
            self._require_known({split.record.uuid for split in splits}, meant)
        elif splits[1:]:
            message = f"{self.path} does not say which of {len(splits)} stores its rows belong to"
            raise UsageError(message, f"add a column {STORE} with the uuid of store.json")
        return [self._of(split, meant) for split in splits]

    def _require_known(self, uuids: set[str], meant: NDArray[np.bool_]) -> None:
        for uuid in sorted(set(self.columns[STORE][meant]) - uuids)[:1]:
            message = f"{self.path} has rows of a store {uuid}, which is none of those trained on"
            raise UsageError(message, f"theirs are {', '.join(sorted(uuids))}; leave other stores' rows out of it")

    def _of(self, split: StoreSplit, meant: NDArray[np.bool_]) -> NDArray[np.bool_]:
        if STORE in self.columns:
            meant = meant & (self.columns[STORE] == split.record.uuid)
        row_ids = self.columns[ROW_ID][meant]
        if PIECE not in self.columns:
            if len(row_ids) and split.piece.any():
                message = f"{self.path} has no column piece, and {split.root} has recordings that were cut into pieces"
                raise UsageError(message, "add the column piece, as the store's index has it")
            pieces = np.zeros(len(row_ids), np.int64)
        else:
            pieces = self.columns[PIECE][meant]
        return self._found(split, row_ids, pieces)

    def _found(self, split: StoreSplit, row_ids: NDArray[np.int64], pieces: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which rows of *split* are among these pairs, all of which it must have."""
        own = split.row_id.astype(np.int64) * _PIECES + split.piece
        possible = (row_ids >= 0) & (row_ids < 1 << 40) & (pieces >= 0) & (pieces < _PIECES)
        wanted = np.where(possible, row_ids, 0) * _PIECES + np.where(possible, pieces, 0)
        for place in np.flatnonzero(~possible | ~np.isin(wanted, own))[:1].tolist():
            message = f"{self.path} names row {row_ids[place]}, piece {pieces[place]}, which {split.name!r} of"
            raise UsageError(
                f"{message} {split.root} does not have",
                "give the table that was made for this store and split, without rows that were quarantined",
            )
        return np.isin(own, wanted)


def _whole(path: Path, table: pa.Table, name: str) -> NDArray[Any]:
    """The column with *name*. Raises UsageError where it has gaps, ArrowInvalid where it is of another kind."""
    column = table[name].cast(_TYPES[name])
    if column.null_count:
        raise UsageError(
            f"{path}: column {name} has {format_counted(column.null_count, 'gap')}", "remove the rows that lack it"
        )
    values: NDArray[Any] = column.to_numpy()
    return values


def _read_csv(path: Path) -> pa.Table:
    return pacsv.read_csv(path, convert_options=pacsv.ConvertOptions(column_types=_TYPES))


def _read_parquet(path: Path) -> pa.Table:
    with pq.ParquetFile(path) as file:
        return file.read(columns=[name for name in file.schema_arrow.names if name in _TYPES])


_READERS: dict[str, Callable[[Path], pa.Table]] = {".parquet": _read_parquet, ".csv": _read_csv}

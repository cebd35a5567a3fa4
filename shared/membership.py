"""Whether a committed shard is the one that its name says, and holds the rows that the plan gives its unit.

Together with its quarantine file: every row of the plan stands in exactly one of the two, in order, and no other row.
Payloads and checksums are `verification`'s. Memory is that of one unit's row ids.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from shared.errors import SpeechPrepError, StoreError, first_line
from shared.layout import SplitRecord, StoreLayout
from shared.schema import FORMAT_VERSION
from shared.selection import Selection
from shared.system.read_errors import is_of_system
from shared.units import format_counted

REPAIR = "the command that made the store, with --repair: it sets what is bad aside and makes it again"
"""What mends a shard, or `COMPLETE`, that is not what it should be."""
READABLE = "see that the file can be read, then repeat the command"
"""What to do where the system does not let us read: that says nothing about the bytes."""
KEYS = ["row_id", "piece"]
"""What identifies a row; a store of version 1 has no `piece`, which reads as 0."""
_ROWS_IN, _ROWS_OUT, _ROWS_QUARANTINED = b"rows_in", b"rows_out", b"rows_quarantined"
_PIECES_OUT = b"pieces_out"
_DAMAGE = (OSError, ValueError, KeyError, pa.ArrowException)
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Place:
    """Unit *unit* of *split* in the store at *layout*, which has format *version*; *planned* is the split's record."""

    layout: StoreLayout
    split: str
    unit: int
    planned: SplitRecord
    version: int = FORMAT_VERSION

    @property
    def shard(self) -> Path:
        """Its shard."""
        return self.layout.shard(self.split, self.unit, self.planned.num_units)

    @property
    def quarantined(self) -> Path:
        """Its quarantine file."""
        return self.layout.quarantined(self.split, self.unit, self.planned.num_units)

    @property
    def metadata(self) -> dict[str, str]:
        """What its shard has to say of itself."""
        planned = self.planned
        rows = tuple(planned.row_bounds[self.unit : self.unit + 2])
        return unit_metadata(
            self.split, self.unit, planned.num_units, rows=rows, plan_digest=planned.digest, version=self.version
        )


def unit_metadata(
    split: str, unit: int, num_units: int, *, rows: Sequence[int], plan_digest: str, version: int
) -> dict[str, str]:
    """What a shard states of its place; *rows* are its first source row and the one after its last, `()` if unknown."""
    known = {"format_version": str(version), "split": split, "unit": f"{unit} of {num_units}"}
    if version > 1 and rows:
        known["source_rows"] = f"{rows[0]} to {rows[1]}"
    return known | {"plan_digest": plan_digest}


def shard_counts(metadata: pq.FileMetaData, name: str) -> tuple[int, int, int]:
    """Source rows in, out and quarantined, as the shard itself states them. Raises StoreError when they do not add up.

    A row that was split is one row out, however many pieces it has; a shard of split rows counts these as well.
    """
    try:
        values = metadata.metadata or {}
        rows_in, rows_out, quarantined = (int(values[key]) for key in (_ROWS_IN, _ROWS_OUT, _ROWS_QUARANTINED))
        written = int(values.get(_PIECES_OUT, rows_out))
    except (KeyError, ValueError) as error:
        raise StoreError(f"{name} does not state its row counts: {error!r}", REPAIR) from error
    if rows_in != rows_out + quarantined or written != metadata.num_rows or written < rows_out:
        pieces = f" in {format_counted(written, 'piece')}" if _PIECES_OUT in values else ""
        found = f"{rows_out} out{pieces} ({metadata.num_rows} found)"
        message = f"{name}: {format_counted(rows_in, 'row')} in, {found}, {quarantined} quarantined"
        raise StoreError(message, REPAIR)
    return rows_in, rows_out, quarantined


@dataclass(slots=True)
class Membership:
    """Follows a split's units, in order; *next_row* is the first source row that no unit before has.

    Where units were *skipped*, those after them need not follow at once.
    """

    next_row: int = 0
    skipped: bool = False

    def problems(self, place: Place, metadata: pq.FileMetaData, written: pa.Table) -> Iterator[str]:
        """What does not belong at *place*: a shard with *metadata* and *written* rows, and its quarantine file.

        *written* has the columns `KEYS`. Without the plan's row bounds (version 1) a unit has to begin where the one
        before ended, so that all of them must pass here in order. Raises StoreError for counts that do not add up.
        """
        if problem := _misplaced(place, metadata):
            yield problem
            # Its rows are another unit's: to name them as well would only hide this.
            return
        _, _, stated = shard_counts(metadata, place.shard.name)
        try:
            rejected = _read_rejected(place.quarantined, stated)
        except StoreError as error:
            if not is_damage(error):
                raise
            yield error.message
            return
        if len(rejected) != stated:
            yield f"{place.quarantined} has {format_counted(len(rejected), 'row')}, its shard says {stated}"
        yield from self._row_problems(place, _keys(written), _keys(rejected))

    def _row_problems(self, place: Place, written: NDArray[np.int64], rejected: NDArray[np.int64]) -> Iterator[str]:
        """*written* and *rejected* are int64[rows, 2]: row ids and pieces."""
        for path, keys in ((place.shard, written), (place.quarantined, rejected)):
            if not _increasing(keys):
                yield f"{path}: row ids are not strictly increasing"
        if len(gaps := _with_gaps(written)):
            yield f"{place.shard}: pieces of rows {_some(gaps)} are missing"
        # All pieces of a row are written, or the row is quarantined.
        both = np.unique(written[np.isin(written[:, 0], rejected[:, 0]), 0])
        if len(both):
            yield f"{place.quarantined}: rows {_some(both)} are both written and quarantined"
        found = np.unique(np.concatenate([written[:, 0], rejected[:, 0]]))
        expected = self._expected(place, found)
        if not np.array_equal(found, expected):
            missing, foreign = np.setdiff1d(expected, found), np.setdiff1d(found, expected)
            what = [f"{len(rows):,} {name}: {_some(rows)}"
                    for rows, name in ((missing, "missing"), (foreign, "foreign")) if len(rows)]  # fmt: skip
            yield f"{place.shard} does not have the rows of its unit ({'; '.join(what)})"
        self.next_row = max(self.next_row, int(found[-1]) + 1 if len(found) else 0)

    def _expected(self, place: Place, found: NDArray[np.int64]) -> NDArray[np.int64]:
        """The source rows that *place* must have; *found* are those that it has."""
        selection, bounds = Selection.of(place.planned.settings), place.planned.row_bounds
        if bounds:
            return selection.row_ids(bounds[place.unit], bounds[place.unit + 1])
        if selection.part == "all":
            start = max(self.next_row, int(found[0])) if self.skipped and len(found) else self.next_row
            return np.arange(start, start + len(found))
        return found[(found >= self.next_row) & selection.selects(found)]


def is_damage(error: BaseException) -> bool:
    """Whether *error*, met while a file was read, says that its bytes are missing, short or wrong.

    What the system refuses (EACCES, EIO, EMFILE ...) carries an error number and says nothing about them.
    """
    cause = error.__cause__ if isinstance(error, SpeechPrepError) and error.__cause__ else error
    return not is_of_system(cause)


def check_unit(place: Place) -> list[str]:
    """What does not belong at *place*, its payloads left out: footer, row ids and quarantine file are read.

    The plan's row bounds are needed. Raises StoreError for a file that the system does not let us read.
    """
    try:
        with pq.ParquetFile(place.shard, pre_buffer=False) as file:
            return list(Membership().problems(place, file.metadata, read_keys(file)))
    except (*_DAMAGE, StoreError) as error:
        if not is_damage(error):
            raise StoreError(f"{place.shard} cannot be read: {first_line(error)}", READABLE) from error
        return [f"{place.shard} is damaged: {first_line(error)}"]


def read_keys(file: pq.ParquetFile) -> pa.Table:
    """The columns `KEYS` of an open shard, as far as it has them."""
    return file.read(columns=[name for name in KEYS if name in file.schema_arrow.names])


def _misplaced(place: Place, metadata: pq.FileMetaData) -> str:
    stated = {key.decode(): value.decode(errors="replace") for key, value in (metadata.metadata or {}).items()}
    if stated.get("plan_digest") != place.planned.digest:
        return f"{place.shard} belongs to another plan"
    wrong = [f"{name} is {stated.get(name)!r} instead of {value!r}" for name, value in place.metadata.items()
             if stated.get(name) != value]  # fmt: skip
    return f"{place.shard} is not the shard that its name says: {', '.join(wrong)}" if wrong else ""


def _read_rejected(path: Path, stated: int) -> pa.Table:
    """The rows of the quarantine file at *path*, none where there is no file and none are *stated*."""
    if not path.exists():
        if stated:
            raise StoreError(f"{path} is missing: it had {format_counted(stated, 'row')}", REPAIR)
        return pa.table({"row_id": pa.array([], pa.int64())})
    try:
        return pq.read_table(path, page_checksum_verification=True)
    except _DAMAGE as error:
        damaged = is_damage(error)
        message = f"{path} {'is damaged' if damaged else 'cannot be read'}: {first_line(error)}"
        raise StoreError(message, REPAIR if damaged else READABLE) from error


def _keys(rows: pa.Table) -> NDArray[np.int64]:
    ids = rows["row_id"].to_numpy().astype(np.int64)
    pieces = rows["piece"].to_numpy().astype(np.int64) if "piece" in rows.column_names else np.zeros_like(ids)
    return np.stack([ids, pieces], axis=1)


def _increasing(keys: NDArray[np.int64]) -> bool:
    """Whether each of *keys* int64[rows, 2] is larger than the one before."""
    steps = np.diff(keys, axis=0)
    return bool(np.all((steps[:, 0] > 0) | ((steps[:, 0] == 0) & (steps[:, 1] > 0))))


def _with_gaps(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows of *keys* int64[rows, 2], in order, whose pieces do not count on from 0."""
    same = np.concatenate([[False], keys[1:, 0] == keys[:-1, 0]])[: len(keys)]
    due = np.where(same, np.roll(keys[:, 1], 1) + 1, 0)
    return np.unique(keys[keys[:, 1] != due, 0])


def _some(rows: NDArray[np.int64]) -> str:
    more = ", ..." if len(rows) > _SHOWN else ""
    return ", ".join(str(row) for row in rows[:_SHOWN].tolist()) + more

"""What of a split is cut already: a line for each recording, durable before the next is begun.

Killed at any moment, the next run goes on behind the last whole line; half a line is dropped.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from preprocess.alignment.recording import RowCuts
from shared.errors import StoreError, StoreMismatchError
from shared.system.durable import fsync_directory

_REMEDY = "remove it, and the cuts of this split begin anew"


@dataclass(slots=True)
class Journal:
    """The open journal at *path*: the *rows* that are cut, and *next_row*, before which all rows were looked at.

    A context manager; `remove` ends it for good.
    """

    path: Path
    rows: list[RowCuts] = field(default_factory=list)
    next_row: int = 0
    _file: BinaryIO | None = None

    @classmethod
    def open(cls, path: Path, made_for: Mapping[str, Any]) -> Self:
        """The journal at *path*, begun where there is none.

        Raises StoreMismatchError where it was begun for something else than *made_for*, StoreError where it is damaged.
        """
        journal, new = cls(path), not path.exists()
        journal._file = path.open("ab+")
        whole = journal._read(made_for)
        journal._file.truncate(whole)
        if not whole:
            journal._append({"made_for": dict(made_for)})
        if new:
            fsync_directory(path.parent)
        return journal

    def _read(self, made_for: Mapping[str, Any]) -> int:
        """Takes in what is there; returns the bytes of its whole lines."""
        assert_open(self._file).seek(0)
        content = assert_open(self._file).read()
        whole = content.rfind(b"\n") + 1
        try:
            lines = [json.loads(line) for line in content[:whole].splitlines()]
            if lines and lines[0]["made_for"] != json.loads(json.dumps(made_for)):
                changed = [name for name, value in made_for.items() if lines[0]["made_for"].get(name) != value]
                message = f"{self.path} was begun otherwise: {', '.join(changed) or 'with other settings'}"
                raise StoreMismatchError(message, f"use the settings and source of before; or {_REMEDY}")
            for line in lines[1:]:
                self.next_row = int(line["next_row"])
                if "row" in line:
                    row = line["row"]
                    self.rows.append(RowCuts(**row | {"stops": tuple(row["stops"]), "texts": tuple(row["texts"])}))
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{self.path} is damaged: {error!r}", _REMEDY) from error
        return whole

    def add(self, row: RowCuts) -> None:
        """Keeps *row*; durable when this returns."""
        self._append({"next_row": row.row_id + 1, "row": asdict(row)})
        self.rows.append(row)
        self.next_row = row.row_id + 1

    def passed(self, next_row: int) -> None:
        """Keeps that nothing before *next_row* is left to cut."""
        if next_row > self.next_row:
            self._append({"next_row": next_row})
            self.next_row = next_row

    def remove(self) -> None:
        """Its rows are kept elsewhere now."""
        self.close()
        self.path.unlink()
        fsync_directory(self.path.parent)

    def close(self) -> None:
        """Ends it; the next run goes on with it."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _append(self, line: Mapping[str, Any]) -> None:
        file = assert_open(self._file)
        file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def assert_open(file: BinaryIO | None) -> BinaryIO:
    """*file*. Raises ValueError after its end."""
    if file is None:
        raise ValueError("the journal is closed")
    return file

"""Long recordings and what is said in them: a folder of audio files with texts beside them, or a table of JSON lines.

A line is `{"audio": "a.wav", "text": "…"}`, or in place of the text `"segments": [{"start": 0.0, "end": 4.2, "text":
"…"}]`, whose times are then compared. Files are named from the table's folder. Nothing is decoded here.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.errors import UsageError
from trainer.evaluation.long_scoring import Segment

_TABLE = 'a line is {"audio": FILE, "text": TEXT}, or has "segments": [{"start": S, "end": S, "text": TEXT}]'


@dataclass(frozen=True, slots=True)
class LongRecording:
    """The audio file *path*, and what is said in it."""

    path: Path
    reference: Sequence[Segment]


def read_recordings(path: Path) -> list[LongRecording]:
    """Those of the folder or table *path*. Raises UsageError where there are none, or one has no text or no file."""
    try:
        found = list(_of_folder(path) if path.is_dir() else _of_table(path))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--long {path} cannot be read: {error}", f"name a folder, or a table: {_TABLE}") from error
    if not found:
        raise UsageError(f"--long {path} has no recordings", "put NAME.txt beside each audio file, or name a table")
    for one in found:
        if not one.path.is_file():
            raise UsageError(f"--long {path} names {one.path}, which is not there", "name files from its own folder")
    return found


def _of_folder(folder: Path) -> Iterator[LongRecording]:
    beside = {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() != ".txt" and path.is_file()}
    for text in sorted(folder.glob("*.txt")):
        if text.stem not in beside:
            raise UsageError(f"{text} has no audio file of its name beside it", "add it, or take the text away")
        yield LongRecording(beside[text.stem], [Segment(text.read_text(encoding="utf-8"))])


def _of_table(table: Path) -> Iterator[LongRecording]:
    for number, line in enumerate(table.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip():
            try:
                yield _recording(table.parent, json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise UsageError(f"{table}, line {number}: no recording ({error!r})", _TABLE) from error


def _recording(folder: Path, row: dict[str, Any]) -> LongRecording:
    if "segments" not in row:
        return LongRecording(folder / row["audio"], [Segment(str(row["text"]))])
    segments = [Segment(str(each["text"]), float(each["start"]), float(each["end"])) for each in row["segments"]]
    return LongRecording(folder / row["audio"], segments)

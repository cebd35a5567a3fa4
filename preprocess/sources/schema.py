"""Which columns a data set has, whether or not they are those that a run needs. Metadata alone is read."""

import glob
import json
import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from preprocess.sources.common_voice import is_common_voice
from preprocess.sources.folder import find_metadata
from preprocess.sources.hub import hub_schema, parse_hub_id
from preprocess.sources.local_files import find_parquet
from preprocess.sources.saved import is_saved
from shared.errors import SpeechPrepError


def find_schema(uri: str) -> pa.Schema | None:
    """The columns of the first file of the data set *uri*, a path, glob or Hub id; None where none can be read."""
    path = os.path.expanduser(uri)  # noqa: PTH111 - a glob is no Path
    try:
        if Path(path).is_dir():
            return _folder_schema(Path(path))
        if Path(path).exists() or glob.has_magic(path):
            return _parquet_schema(path)
        return hub_schema(uri) if parse_hub_id(uri) else None
    except (SpeechPrepError, OSError, ValueError, pa.ArrowException):
        # Opening the data set fails for the same reason, and says so.
        return None


def _folder_schema(folder: Path) -> pa.Schema | None:
    if is_saved(folder):
        first = min(folder.rglob("*.arrow"))
        with pa.memory_map(str(first)) as mapped, pa.ipc.open_stream(mapped) as stream:
            return stream.schema
    if is_common_voice(folder):
        names = [_first_line(path).split("\t") for path in sorted(folder.glob("*.tsv"))]
        return _texts(next((columns for columns in names if "path" in columns), names[0]))
    metadata = find_metadata(folder)
    return _metadata_schema(metadata[0]) if metadata else _parquet_schema(str(folder))


def _parquet_schema(path: str) -> pa.Schema:
    found = find_parquet(path)
    return pq.read_schema(found.root / next(iter(found.splits.values()))[0])


def _metadata_schema(path: Path) -> pa.Schema:
    if path.suffix == ".parquet":
        return pq.read_schema(path)
    if path.suffix == ".jsonl":
        return _texts(list(json.loads(_first_line(path))))
    with pacsv.open_csv(path, parse_options=pacsv.ParseOptions(newlines_in_values=True)) as reader:
        return _texts(reader.schema.names)


def _first_line(path: Path) -> str:
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        return file.readline().rstrip("\r\n")


def _texts(names: Sequence[str]) -> pa.Schema:
    return pa.schema([(name, pa.string()) for name in names])

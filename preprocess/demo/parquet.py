"""A split of clips as Parquet files in the layout that `datasets` 5.2 pushes to the Hub."""

import json
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from preprocess.demo.plan import ClipPlan

_FEATURES = {
    "audio": {"sampling_rate": 16_000, "_type": "Audio"},
    "transkription": {"dtype": "string", "_type": "Value"},
    "source": {"dtype": "string", "_type": "Value"},
}
_FIELDS: list[pa.Field] = [
    pa.field("audio", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
    pa.field("transkription", pa.string()),
    pa.field("source", pa.string()),
]
CORPUS_SCHEMA = pa.schema(_FIELDS, metadata={"huggingface": json.dumps({"info": {"features": _FEATURES}})})
"""Columns of `data/*.parquet`, with the metadata that makes `audio` an `Audio(sampling_rate=16000)` for `datasets`."""

_FILE_ROWS = 200
_ROW_GROUP_ROWS = 100


def write_split(folder: Path, split: str, clips: Sequence[ClipPlan], files: Iterator[bytes]) -> None:
    """Write *clips* with their encoded *files* (in the same order) to `folder/split-0000i-of-0000N.parquet`.

    A train split of at least 2 rows has at least 2 files, and each file of at least 2 rows at least 2 row groups of at
    most 100 rows. An empty split writes nothing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted = max(2 if split == "train" else 1, -(-len(clips) // _FILE_ROWS))
    parts = _even_parts(clips, min(wanted, len(clips)))
    for number, part in enumerate(parts):
        _write_file(folder / f"{split}-{number:05d}-of-{len(parts):05d}.parquet", part, files)


def _write_file(path: Path, clips: Sequence[ClipPlan], files: Iterator[bytes]) -> None:
    groups = _even_parts(clips, min(len(clips), max(2, -(-len(clips) // _ROW_GROUP_ROWS))))
    with pq.ParquetWriter(path, CORPUS_SCHEMA, compression=_compression(), use_dictionary=["source"]) as writer:
        for group in groups:
            writer.write_table(_table(group, list(islice(files, len(group)))))


def _compression() -> dict[str, str]:
    # Encoded audio does not shrink; compressing it would only cost every reader time.
    return {"audio.bytes": "none", "audio.path": "snappy", "transkription": "snappy", "source": "snappy"}


def _table(clips: Sequence[ClipPlan], files: Sequence[bytes]) -> pa.Table:
    rows = [
        {"audio": {"bytes": file, "path": clip.path}, "transkription": clip.transkription, "source": clip.source}
        for clip, file in zip(clips, files, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=CORPUS_SCHEMA)


def _even_parts(clips: Sequence[ClipPlan], count: int) -> list[Sequence[ClipPlan]]:
    bounds = [len(clips) * i // count for i in range(count + 1)] if count else [0]
    return [clips[start:stop] for start, stop in pairwise(bounds)]

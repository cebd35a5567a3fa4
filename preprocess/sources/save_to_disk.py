"""A folder made by `Dataset.save_to_disk` or `DatasetDict.save_to_disk`: Arrow streams, read memory-mapped.

pyarrow reads them as they are; `datasets` is not imported.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from preprocess.sources.base import BATCH_BYTES, Block, Columns, SourceFile, SourceRow, SplitLayout, pieces, split_named
from preprocess.sources.columns import check_embedded_columns
from preprocess.sources.embedded import RowMaker, audio_arrays, external_clip_bytes
from shared.errors import SourceError
from shared.schema import fingerprint
from shared.system.read_errors import refuse_unreadable

_DICT_FILE = "dataset_dict.json"
_STATE_FILE = "state.json"


@dataclass(frozen=True, slots=True)
class _BatchSlice:
    """Rows *start* to *stop* of record batch number *batch* of the Arrow stream at *path*."""

    path: str
    batch: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class SavedReader:
    """A `RowReader` over record batches; files are mapped when `rows` is called, batches before the range untouched."""

    maker: RowMaker
    slices: tuple[_BatchSlice, ...]
    first_row_id: int

    def rows(self, batch_bytes: int = BATCH_BYTES) -> Iterator[SourceRow]:  # noqa: ARG002 - batches are mapped, not read
        """The rows in order.

        Raises:
            SourceError: a file is gone or damaged; the message names it.
        """
        row_id = self.first_row_id
        for path, group in groupby(self.slices, key=lambda piece: piece.path):
            wanted = {piece.batch: piece for piece in group}
            with _stream(path) as stream:
                for number, batch in _batches(stream, path, max(wanted) + 1):
                    if number in wanted:
                        part = batch.slice(wanted[number].start, wanted[number].stop - wanted[number].start)
                        yield from self.maker.rows(part, row_id)
                        row_id += part.num_rows

    def source_files(self, most: int | None = None) -> list[SourceFile]:
        """The Arrow files, or *most* of them."""
        paths = list(dict.fromkeys(piece.path for piece in self.slices))
        return [SourceFile.at(path, Path(path).name) for path in paths[:most]]


@dataclass(frozen=True, slots=True)
class SavedSource:
    """A `Source` over a folder that `save_to_disk` made; *batches* are (file, batch number) by split, in row order."""

    uri: str
    splits: Mapping[str, SplitLayout]
    maker: RowMaker
    batches: Mapping[str, Sequence[tuple[str, int]]]

    def reader(self, split: str, start: int, stop: int) -> SavedReader:
        """A reader for rows *start* to *stop* of *split*.

        Raises:
            SourceError: there is no such split.
            IndexError: the rows are not in it.
        """
        blocks = split_named(self.splits, split, self.uri).blocks
        found = pieces(blocks, start, stop)
        slices = (_BatchSlice(*self.batches[split][piece.block], piece.start, piece.stop) for piece in found)
        return SavedReader(self.maker, tuple(slices), start)


def is_saved(path: str) -> bool:
    """Whether `save_to_disk` made the folder at *path*."""
    return any(Path(path, name).is_file() for name in (_DICT_FILE, _STATE_FILE))


def saved_schema(path: str) -> pa.Schema:
    """The columns of the first file of the folder at *path*. Raises as `open_saved`."""
    first = min(Path(path).rglob("*.arrow"), default=Path(path))
    with _stream(str(first)) as stream:
        return stream.schema


def open_saved(uri: str, columns: Columns) -> SavedSource:
    """The source that `save_to_disk` made of a `Dataset` (one split, `train`) or of a `DatasetDict`.

    Raises:
        SourceError: a file is missing or damaged, or the columns are not those named.
    """
    root = Path(uri)
    maker = RowMaker(columns, root.resolve().name, str(root))
    layouts: dict[str, SplitLayout] = {}
    batches: dict[str, list[tuple[str, int]]] = {}
    for split, folder in _split_folders(root).items():
        layouts[split], batches[split] = _open_split(split, folder, maker)
    return SavedSource(uri, layouts, maker, batches)


def _split_folders(root: Path) -> dict[str, Path]:
    if not (root / _DICT_FILE).is_file():
        return {"train": root}
    names = _read_json(root / _DICT_FILE).get("splits", [])
    return {str(name): _inside(root, str(name)) for name in names}


def _open_split(split: str, folder: Path, maker: RowMaker) -> tuple[SplitLayout, list[tuple[str, int]]]:
    state = _read_json(folder / _STATE_FILE)
    if state.get("_indices_data_files") or state.get("_indices_files"):
        raise SourceError(f"{folder} has an indices mapping", "save it again after dataset.flatten_indices()")
    blocks: list[Block] = []
    batches: list[tuple[str, int]] = []
    facts: list[Any] = [split, state.get("_fingerprint")]
    for entry in state.get("_data_files", []):
        path = _inside(folder, str(entry["filename"]))
        found = _read_blocks(path, maker)
        blocks += found
        batches += [(str(path), number) for number in range(len(found))]
        facts.append([path.name, path.stat().st_size, [[block.num_rows, block.num_bytes] for block in found]])
    if not any(block.num_rows for block in blocks):
        raise SourceError(f"{folder} holds no rows", "save the data set again")
    return SplitLayout(split, tuple(blocks), fingerprint(facts), len({path for path, _ in batches})), batches


def _read_blocks(path: Path, maker: RowMaker) -> list[Block]:
    blocks: list[Block] = []
    clip_bytes: int | None = None
    with _stream(str(path)) as stream:
        check_embedded_columns(stream.schema, maker.columns, str(path))
        for _, batch in _batches(stream, str(path)):
            audio = batch.column(maker.columns.audio)
            if clip_bytes is None and batch.num_rows:
                clip_bytes = external_clip_bytes(audio, maker.root, str(path))
            blocks.append(Block(batch.num_rows, _audio_bytes(audio) + batch.num_rows * (clip_bytes or 0)))
    return blocks


def _audio_bytes(audio: pa.Array) -> int:
    # The sum of lengths touches the offsets only, not the mapped audio.
    content, _ = audio_arrays(audio)
    return int(pc.sum(pc.binary_length(content)).as_py() or 0) if content is not None else 0


@contextmanager
def _stream(path: str) -> Iterator[pa.RecordBatchReader]:
    with ExitStack() as stack:
        try:
            mapped = stack.enter_context(pa.memory_map(path))
            stream = stack.enter_context(pa.ipc.open_stream(mapped))
        except (OSError, pa.ArrowException) as error:
            refuse_unreadable(path, error)
            raise SourceError(
                f"{path} cannot be opened as an Arrow stream: {error}", "save or copy it again"
            ) from error
        yield stream


def _batches(stream: pa.RecordBatchReader, path: str, stop: int | None = None) -> Iterator[tuple[int, pa.RecordBatch]]:
    number = 0
    while stop is None or number < stop:
        try:
            batch = stream.read_next_batch()
        except StopIteration:
            break
        except (OSError, pa.ArrowException) as error:
            refuse_unreadable(path, error)
            message = f"{path}, record batch {number}, cannot be read: {error}"
            raise SourceError(message, "save or copy the data set again") from error
        yield number, batch
        number += 1
    if stop is not None and number < stop:
        raise SourceError(f"{path} ends after {number} of {stop} record batches", "save or copy the data set again")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        refuse_unreadable(path, error)
        raise SourceError(f"{path} cannot be read: {error}", "save or copy the data set again") from error
    if not isinstance(content, dict):
        raise SourceError(f"{path} is no JSON object", "save or copy the data set again")
    return content


def _inside(folder: Path, name: str) -> Path:
    path = folder / name
    if Path(name).name != name or name in {"", ".", ".."}:
        raise SourceError(f"{folder} names {name!r}, which is no entry of its own", "save the data set again")
    return path

"""A folder made by `Dataset.save_to_disk` or `DatasetDict.save_to_disk`: Arrow streams, read memory-mapped.

pyarrow reads them as they are; `datasets` is not imported. What a record batch states of itself is believed once all of
it was compared, which is done where rows are read (when a data set is sampled, and in the actors). `open_saved` looks
at schemas and at counts alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from preprocess.sources.base import (
    BATCH_BYTES,
    Access,
    Block,
    Columns,
    SourceFile,
    SourceRow,
    SplitLayout,
    Splits,
    each_opened,
    pieces,
    split_named,
)
from preprocess.sources.columns import check_embedded_columns
from preprocess.sources.confine import NOTHING_ELSE
from preprocess.sources.embedded import RowMaker, external_clip_bytes
from shared.errors import SourceError, SpeechPrepError
from shared.schema import fingerprint
from shared.system.foreign_files import read_json
from shared.system.read_errors import refuse_unreadable
from shared.units import format_counted

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
            SourceError: a file is gone or damaged; the message names it and the record batch.
        """
        row_id = self.first_row_id
        for path, group in groupby(self.slices, key=lambda piece: piece.path):
            wanted = {piece.batch: piece for piece in group}
            with _stream(path) as stream:
                for number, batch in _batches(stream, path, max(wanted) + 1):
                    if number in wanted:
                        check_batch(batch, path, number)
                        piece = wanted[number]
                        part = batch.slice(piece.start, piece.stop - piece.start)
                        if part.num_rows != piece.stop - piece.start:
                            raise _damaged(
                                path,
                                number,
                                f"it has {format_counted(batch.num_rows, 'row')}, not {piece.stop} as before",
                            )
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
    notes: Sequence[str] = ()

    @property
    def default_splits(self) -> Sequence[str]:
        """All of them."""
        return tuple(self.splits)

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
    """Whether the folder at *path* has a file that `save_to_disk` makes."""
    return any(Path(path, name).is_file() for name in (_DICT_FILE, _STATE_FILE))


def fits_saved(path: str, columns: Columns) -> bool:  # noqa: ARG001 - as of every kind
    """Whether what the folder at *path* has is `save_to_disk`'s: others call their files `state.json` as well."""
    try:
        found = [read_json(Path(path, name)) for name in (_DICT_FILE, _STATE_FILE) if Path(path, name).is_file()]
    except (OSError, ValueError):
        return False
    return any(isinstance(content, dict) and {"splits", "_data_files"} & set(content) for content in found)


def saved_schema(path: str) -> pa.Schema:
    """The columns of the first file of the folder at *path*. Raises as `open_saved`."""
    first = min(Path(path).rglob("*.arrow"), default=Path(path))
    with _stream(str(first)) as stream:
        return stream.schema


def open_saved(uri: str, columns: Columns, access: Access = NOTHING_ELSE) -> SavedSource:
    """The source that `save_to_disk` made of a `Dataset` (one split, `train`) or of a `DatasetDict`.

    A split that cannot be used says so when it is asked for.

    Raises:
        SourceError: of no split can be used: a file is missing or damaged, or the columns are not those named.
    """
    root = Path(uri)
    maker = RowMaker(columns, root.resolve().name, str(root), access)
    folders = _split_folders(root)
    opened = each_opened(folders, lambda split: _open_split(split, folders[split], maker))
    layouts = {split: found if isinstance(found, SpeechPrepError) else found[0] for split, found in opened.items()}
    batches = {split: found[1] for split, found in opened.items() if not isinstance(found, SpeechPrepError)}
    return SavedSource(uri, Splits(layouts), maker, batches)


def _split_folders(root: Path) -> dict[str, Path]:
    if not (root / _DICT_FILE).is_file():
        return {"train": root}
    return {name: _inside(root, name) for name in _names(_read_json(root / _DICT_FILE), "splits", root / _DICT_FILE)}


def _open_split(split: str, folder: Path, maker: RowMaker) -> tuple[SplitLayout, list[tuple[str, int]]]:
    state = _read_json(folder / _STATE_FILE)
    if state.get("_indices_data_files") or state.get("_indices_files"):
        raise SourceError(f"{folder} has an indices mapping", "save it again after dataset.flatten_indices()")
    blocks: list[Block] = []
    batches: list[tuple[str, int]] = []
    facts: list[Any] = [split, state.get("_fingerprint")]
    without_audio: list[SourceError] = []
    for name in _names(state, "_data_files", folder / _STATE_FILE):
        path = _inside(folder, name)
        found = _read_blocks(path, maker, without_audio)
        blocks += found
        batches += [(str(path), number) for number in range(len(found))]
        facts.append([path.name, path.stat().st_size, [[block.num_rows, block.num_bytes] for block in found]])
    if not any(block.num_rows for block in blocks):
        raise SourceError(f"{folder} holds no rows", "save the data set again")
    if without_audio and not any(block.num_bytes for block in blocks):
        raise without_audio[0]
    return SplitLayout(split, tuple(blocks), fingerprint(facts), len({path for path, _ in batches})), batches


def _read_blocks(path: Path, maker: RowMaker, without_audio: list[SourceError]) -> list[Block]:
    """The record batches of *path*; to *without_audio* is added what is to be said if no other has audio either."""
    blocks: list[Block] = []
    clip_bytes: int | None = None
    with _stream(str(path)) as stream:
        for number, batch in _batches(stream, str(path)):
            if not batch.num_rows:
                blocks.append(Block(0, 0))
                continue
            # As in Parquet, a file without rows may say anything of its columns.
            check_embedded_columns(stream.schema, maker.columns, str(path))
            size = _stated_bytes(batch.column(maker.columns.audio))
            if clip_bytes is None:
                clip_bytes = 0 if size else _external_bytes(batch, number, path, maker, without_audio)
            blocks.append(Block(batch.num_rows, size + batch.num_rows * clip_bytes))
    return blocks


def _stated_bytes(audio: pa.Array) -> int:
    """Bytes of all clips in *audio* as the batch states them, by the first and the last offset; none is followed."""
    names = [field.name for field in audio.type] if pa.types.is_struct(audio.type) else []
    if "bytes" not in names:
        return 0
    content = audio.field(names.index("bytes"))
    if pa.types.is_null(content.type):
        return 0
    _, offsets, *values = content.buffers()
    size = sum(int(buffer.size) for buffer in values if buffer is not None)
    if pa.types.is_binary_view(content.type):
        return size
    kind = np.dtype("<i8" if pa.types.is_large_binary(content.type) else "<i4")
    count = min(len(content) + 1, offsets.size // kind.itemsize) if offsets is not None else 0
    ends = np.frombuffer(offsets, kind, count)[[0, -1]].tolist() if count else [0, 0]
    return min(size, max(0, int(ends[1]) - int(ends[0])))


def _external_bytes(
    batch: pa.RecordBatch, number: int, path: Path, maker: RowMaker, without_audio: list[SourceError]
) -> int:
    """Mean bytes of the files that the rows name, which have to be looked at for that: they are checked first."""
    check_batch(batch, str(path), number)
    try:
        return external_clip_bytes(batch.column(maker.columns.audio), maker, str(path))
    except SourceError as error:
        without_audio.append(error)
        return 0


def check_batch(batch: pa.RecordBatch, path: str, number: int) -> None:
    """Passes where every length, offset and count of record batch *number* of the file *path* is true.

    pyarrow takes a file's word for them, and follows a lie out of its memory or into the row beside. Text is compared
    as bytes: a transcript that is no UTF-8 is one row's problem. Raises SourceError.
    """
    try:
        batch.validate()
        for column in batch.columns:
            column.view(_as_bytes(column.type)).validate(full=True)
    except pa.ArrowException as error:
        raise _damaged(path, number, str(error)) from error


def _as_bytes(kind: pa.DataType) -> pa.DataType:
    """*kind* with bytes in place of text, laid out alike."""
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_as_bytes(field.type)) for field in kind])
    plain = {pa.string(): pa.binary(), pa.large_string(): pa.large_binary(), pa.string_view(): pa.binary_view()}
    return plain.get(kind, kind)


def _damaged(path: str, number: int, why: str) -> SourceError:
    return SourceError(f"{path}, record batch {number}, cannot be read: {why}", "save or copy the data set again")


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
            raise _damaged(path, number, str(error)) from error
        yield number, batch
        number += 1
    if stop is not None and number < stop:
        raise SourceError(
            f"{path} ends after {number} of {format_counted(stop, 'record batch', 'record batches')}",
            "save or copy the data set again",
        )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = read_json(path)
    except (OSError, ValueError) as error:
        refuse_unreadable(path, error)
        raise SourceError(f"{path} cannot be read: {error}", "save or copy the data set again") from error
    if not isinstance(content, dict):
        raise SourceError(f"{path} is not a JSON object", "save or copy the data set again")
    return content


def _names(content: dict[str, Any], key: str, path: Path) -> list[str]:
    """The names that *key* lists, as strings or as objects with a `filename`."""
    found = content.get(key, [])
    entries = found if isinstance(found, list) else [None]
    names = [entry.get("filename") if isinstance(entry, dict) else entry for entry in entries]
    words = [name for name in names if isinstance(name, str)]
    if words != names:
        raise SourceError(f"{path} has no list of names in {key!r}", "save or copy the data set again")
    return words


def _inside(folder: Path, name: str) -> Path:
    path = folder / name
    if Path(name).name != name or name in {"", ".", ".."}:
        raise SourceError(f"{folder} names {name!r}, which is not one of its files", "save the data set again")
    return path

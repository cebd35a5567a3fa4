"""Write one shard, and find row payloads inside a finished one.

`log_mel` is written PLAIN, uncompressed, without dictionary or statistics, one data page per row group. A PLAIN page of
a required binary column is its header and then, for each value, a 4-byte little-endian length and the bytes. So the
header is `total_compressed_size - sum(4 + length)` bytes long and every payload is a slice of the file.
"""

import io
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from shared.errors import ReservationOutgrownError, StoreError
from shared.schema import FORMAT_VERSION, FeatureSpec, quarantine_schema, shard_schema
from shared.system.durable import DurableFile

ROW_GROUP_BYTES = 8 << 20
"""Payload bytes at which a row group is written: it bounds an actor's memory and costs about 0.02 % of the file."""
_PREFIX_BYTES = 4
_MAX_PAGE_HEADER_BYTES = 1 << 10
_NO_LIMIT = 1 << 30


@dataclass(frozen=True, slots=True)
class FeatureRow:
    """One row of a shard; *payload* is `num_frames x num_mel_bins` values of the store's dtype in C order.

    *piece* counts the parts of a source row that was split; a whole clip is piece 0.
    """

    row_id: int
    payload: bytes
    num_frames: int
    floor: float
    labels: Sequence[int]
    transkription: str
    source: str
    duration: float
    path: str
    piece: int = 0


@dataclass(frozen=True, slots=True)
class QuarantinedRow:
    """A row that could not be used, and why; *reason* is a `QuarantineReason` value."""

    row_id: int
    path: str
    reason: str
    message: str
    piece: int = 0


class ShardWriter:
    """Writes feature rows to a sealed, checked Parquet file at *partial*; `publish` gives it its name.

    A context manager; leaving it early removes the partial file. Memory stays near two row groups. The same rows and
    metadata give the same bytes. The file never grows past *max_bytes*. *version* is the store's format.
    """

    def __init__(
        self,
        partial: Path,
        spec: FeatureSpec,
        row_group_bytes: int = ROW_GROUP_BYTES,
        max_bytes: int | None = None,
        version: int = FORMAT_VERSION,
    ) -> None:
        self._max_bytes = max_bytes
        self._spec = spec
        self._schema = shard_schema(spec, version)
        self._row_group_bytes = row_group_bytes
        self._pending = _PendingRows(self._schema)
        self._groups = 0
        self.num_rows = 0
        self._durable = DurableFile(partial)
        self._parquet = _parquet_writer(self._durable.file, self._schema)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._parquet.is_open:
                # An abandoned writer must be closed, or pyarrow closes it at a time of its own choosing.
                with suppress(OSError, ValueError, pa.ArrowException):
                    self._parquet.close()
        finally:
            self._durable.__exit__(kind, error, trace)

    def append(self, row: FeatureRow) -> None:
        """Adds *row*; writes a row group when enough is pending.

        Raises OSError when the disk refuses, and ReservationOutgrownError before the file would pass *max_bytes*.
        """
        self._pending.append(row)
        self.num_rows += 1
        if self._pending.payload_bytes >= self._row_group_bytes:
            self._flush()

    def seal(self, metadata: Mapping[str, str]) -> None:
        """Ends the file with *metadata*, makes its bytes durable and checks the zero-copy arithmetic.

        Raises OSError when the disk refuses and StoreError when a payload is not where the arithmetic says.
        """
        self._flush()
        self._parquet.add_key_value_metadata(dict(metadata))
        self._parquet.close()
        self._durable.seal()
        check_payloads(self._durable.partial, self._spec)

    def publish(self, final: Path) -> bool:
        """Gives the sealed shard its name; False when another writer was first (ours is then dropped)."""
        return self._durable.publish(final)

    def _flush(self) -> None:
        if len(self._pending):
            self._check_room()
            self._parquet.write_table(self._pending.table(), row_group_size=len(self._pending))
            self._pending.clear()

    def _check_room(self) -> None:
        """Raises ReservationOutgrownError when the pending rows, uncompressed, and a footer could pass the limit."""
        needed = self._durable.file.tell() + self._pending.most_bytes + _footer_bytes(self._groups)
        if self._max_bytes is not None and needed > self._max_bytes:
            message = f"{self._durable.partial.name} needs {needed} bytes, {self._max_bytes} are reserved"
            raise ReservationOutgrownError(message)
        self._groups += 1


def _footer_bytes(row_groups: int) -> int:
    """More than a footer with so many row groups and one more ever takes."""
    return 16_384 + 40_960 * (row_groups + 1)


class _PendingRows:
    """The rows of one row group as columns. Payloads lie end to end in one buffer that the next group uses again:
    memory that is new to the process costs more than the copy.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._payloads = io.BytesIO()
        self._columns: dict[str, list[Any]] = {}
        self._other_bytes = 0
        self.clear()

    def __len__(self) -> int:
        return len(self._columns["crc32"])

    @property
    def payload_bytes(self) -> int:
        """Bytes of all payloads."""
        return self._payloads.tell()

    @property
    def most_bytes(self) -> int:
        """More than the rows will take in the file."""
        return self.payload_bytes + self._other_bytes

    def append(self, row: FeatureRow) -> None:
        """Adds *row*; its payload is copied, so the caller may use its buffer again."""
        self._payloads.write(row.payload)
        # UTF-8 has at most 4 bytes a character; 128 bytes are more than the numbers and length prefixes take.
        characters = len(row.transkription) + len(row.source) + len(row.path)
        self._other_bytes += 4 * (characters + len(row.labels)) + 128
        values = {"log_mel": self._payloads.tell(), "crc32": zlib.crc32(row.payload)}
        for name, column in self._columns.items():
            column.append(values[name] if name in values else getattr(row, name))

    def table(self) -> pa.Table:
        """The rows; valid, and the only table, until `clear`."""
        ends = pa.array([0, *self._columns["log_mel"]], pa.int32()).buffers()[1]
        payloads = pa.py_buffer(self._payloads.getbuffer())
        arrays = [
            pa.Array.from_buffers(field.type, len(self), [None, ends, payloads])
            if field.name == "log_mel"
            else pa.array(self._columns[field.name], field.type)
            for field in self._schema
        ]
        return pa.Table.from_arrays(arrays, schema=self._schema)

    def clear(self) -> None:
        """Forgets the rows and keeps the buffer."""
        self._payloads.seek(0)
        self._other_bytes = 0
        self._columns = {name: [] for name in self._schema.names}


def encoded_bytes(rows: Sequence[FeatureRow], spec: FeatureSpec) -> int:
    """Bytes that *rows* take in a shard, its footer left out; nothing is written to disk."""
    if not rows:
        return 0
    schema, buffer = shard_schema(spec), io.BytesIO()
    pending = _PendingRows(schema)
    for row in rows:
        pending.append(row)
    with _parquet_writer(buffer, schema) as writer:
        writer.write_table(pending.table())
        return buffer.tell()


def _parquet_writer(file: IO[bytes], schema: pa.Schema) -> pq.ParquetWriter:
    described = [name for name in schema.names if name not in {"log_mel", "labels"}]
    return pq.ParquetWriter(
        file,
        schema,
        compression={name: "NONE" if name == "log_mel" else "ZSTD" for name in _leaf_names(schema)},
        use_dictionary=["source"],
        column_encoding={"log_mel": "PLAIN"},
        write_statistics=described,
        data_page_size=_NO_LIMIT,
        write_batch_size=_NO_LIMIT,
        max_rows_per_page=_NO_LIMIT,
        write_page_checksum=True,
    )


def _leaf_names(schema: pa.Schema) -> list[str]:
    """Parquet's own column paths."""
    return ["labels.list.element" if name == "labels" else name for name in schema.names]


def payload_offsets(metadata: pq.FileMetaData, payload_bytes: NDArray[np.int64], name: str) -> NDArray[np.int64]:
    """Byte offset of every row's payload in a shard with *metadata*; *payload_bytes* int64[num_rows].

    Raises StoreError, naming *name*, when the layout is not one uncompressed PLAIN page per row group.
    """
    offsets = np.empty(metadata.num_rows, np.int64)
    for number, group in enumerate(_row_groups(metadata, payload_bytes)):
        header = group.start - group.page_offset
        if not group.uncompressed or not 0 < header <= _MAX_PAGE_HEADER_BYTES:
            raise StoreError(f"{name}: row group {number} cannot be mapped (page header of {header} bytes)")
        sizes = payload_bytes[group.rows] + _PREFIX_BYTES
        offsets[group.rows] = group.start + np.cumsum(sizes) - sizes + _PREFIX_BYTES
    return offsets


def payload_pages(metadata: pq.FileMetaData, payload_bytes: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Where the payloads lie, in file order: (start, stop) of each row group's `log_mel` values, page header left out.

    Arguments as for `payload_offsets`, which checks them.
    """
    return [(group.start, group.stop) for group in _row_groups(metadata, payload_bytes)]


class _RowGroup(NamedTuple):
    """A row group's *rows*, and where its `log_mel` page begins and its values *start* and *stop*."""

    rows: slice
    page_offset: int
    start: int
    stop: int
    uncompressed: bool


def _row_groups(metadata: pq.FileMetaData, payload_bytes: NDArray[np.int64]) -> Iterator[_RowGroup]:
    first, position = 0, int(metadata.schema.names.index("log_mel"))
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        column, rows = group.column(position), slice(first, first + group.num_rows)
        stop = column.data_page_offset + column.total_compressed_size
        start = stop - int((payload_bytes[rows] + _PREFIX_BYTES).sum())
        # pyarrow ends the process when asked for the name of a codec that it does not know.
        uncompressed = column.total_compressed_size == column.total_uncompressed_size
        yield _RowGroup(rows, column.data_page_offset, start, stop, uncompressed)
        first = rows.stop


def check_payloads(path: Path, spec: FeatureSpec) -> None:
    """Checks that every payload of the shard at *path* lies where `payload_offsets` says.

    Each row's length prefix is read, and the first and last payload of the file against their checksums. Raises
    StoreError.
    """
    table = pq.read_table(path, columns=["num_frames", "crc32"], memory_map=False)
    frames = table["num_frames"].to_numpy().astype(np.int64)
    crcs = table["crc32"].to_numpy()
    sizes = frames * spec.payload_bytes(1)
    offsets = payload_offsets(pq.read_metadata(path), sizes, path.name)
    with path.open("rb", buffering=0) as file:
        for row, (offset, size) in enumerate(zip(offsets.tolist(), sizes.tolist(), strict=True)):
            file.seek(offset - _PREFIX_BYTES)
            if struct.unpack("<I", file.read(_PREFIX_BYTES))[0] != size:
                raise StoreError(f"{path.name}: row {row} does not lie at byte {offset}")
        for row in {0, len(sizes) - 1} if len(sizes) else set():
            file.seek(int(offsets[row]))
            if zlib.crc32(file.read(int(sizes[row]))) != crcs[row]:
                raise StoreError(f"{path.name}: row {row} at byte {offsets[row]} fails its checksum")


def write_quarantine(partial: Path, final: Path, rows: Iterable[QuarantinedRow], version: int = FORMAT_VERSION) -> None:
    """Commits quarantined *rows* under *final*, durably; an earlier file of the same unit gives way."""
    table = pa.Table.from_pylist([asdict(row) for row in rows], quarantine_schema(version))
    with DurableFile(partial) as durable:
        pq.write_table(table, durable.file, compression="zstd", write_page_checksum=True)
        durable.seal()
        durable.publish(final, replace=True)

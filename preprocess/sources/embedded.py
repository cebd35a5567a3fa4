"""Rows whose audio is a struct of bytes and path: the Hub's layout, in Parquet and in Arrow files alike."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from preprocess.sources.base import Access, Columns, SourceRow
from preprocess.sources.confine import NOTHING_ELSE, mean_size, read_inside, resolve_inside, sizes_inside, spread
from shared.errors import RowRejectedError, SourceError
from shared.schema import QuarantineReason


@dataclass(frozen=True, slots=True)
class RowMaker:
    """Makes rows of record batches. *source* names the data set for rows without a source column of their own.

    *root* is the folder in which a row without bytes may name its file; None where there is none (on the Hub). *access*
    says where else.
    """

    columns: Columns
    source: str
    root: str | None
    access: Access = NOTHING_ELSE

    def rows(self, batch: pa.RecordBatch, first_row_id: int) -> Iterator[SourceRow]:
        """The rows of *batch*; ids count up from *first_row_id*. Only one row's audio is copied at a time."""
        audio, paths = audio_arrays(batch.column(self.columns.audio))
        texts = batch.column(self.columns.text)
        has_source = self.columns.source in batch.schema.names
        sources = batch.column(self.columns.source) if has_source else None
        for index in range(batch.num_rows):
            row_id = first_row_id + index
            try:
                path = paths[index].as_py() if paths is not None else None
                source = sources[index].as_py() if sources is not None else None
                text = texts[index].as_py()
            except UnicodeDecodeError as error:
                # Parquet does not check its strings. One bad row must not end the run.
                message = f"transcript, path or source is not UTF-8: {error}"
                yield SourceRow(row_id, None, "", None, self.source, QuarantineReason.UNDECODABLE, message)
                continue
            content = audio[index].as_py() if audio is not None else None
            yield self._row(row_id, content, path or "", text, self.source if source is None else source)

    def _row(self, row_id: int, audio: bytes | None, path: str, text: str | None, source: str) -> SourceRow:
        try:
            content = self._read(path) if audio is None else audio
        except RowRejectedError as error:
            return SourceRow(row_id, None, path, text, source, error.reason, error.message)
        return SourceRow(row_id, content, path, text, source)

    def _read(self, path: str) -> bytes:
        if self.root is None:
            message = f"no audio bytes, and {path!r} is no file that can be reached from here"
            raise RowRejectedError(QuarantineReason.NO_AUDIO, message)
        return read_inside(os.path.realpath(self.root), path, access=self.access)


def audio_arrays(audio: pa.Array) -> tuple[pa.Array | None, pa.Array | None]:
    """The `bytes` and `path` of an audio column, each None where the struct has no such field; null where it is null.

    *audio* is a struct array, or one of Arrow's null type, as files have it that hold no clip at all.
    """
    if pa.types.is_null(audio.type):
        return None, None
    # flatten(), unlike field(), makes a child null where the whole struct is.
    children = dict(zip((field.name for field in audio.type), audio.flatten(), strict=True))
    return children.get("bytes"), children.get("path")


def external_clip_bytes(audio: pa.Array, maker: RowMaker, where: str) -> int:
    """Mean bytes of the files that *audio* (the first rows of a split) names in place of bytes; 0 where it has bytes.

    Raises:
        SourceError: there are no bytes at all and the first row's path is no file that *maker* may read.
    """
    content, paths = audio_arrays(audio)
    if len(audio) == 0 or (content is not None and content.null_count < len(content)):
        return 0
    names: list[str] = [path or "" for path in paths.to_pylist()] if paths is not None else [""]
    if maker.root is None:
        raise _no_audio_error(where, names[0], "that can be reached from here")
    real_root = os.path.realpath(maker.root)
    if why := _why_no_file(real_root, names[0], maker.access):
        raise _no_audio_error(where, names[0], f"that may be read: {why}")
    return mean_size(sizes_inside(real_root, [names[index] for index in spread(len(names))], maker.access))


def audio_leaves(audio: pa.DataType) -> Sequence[str]:
    """Those of `bytes` and `path` that an audio column has, in that order; none where it is of the null type."""
    names = {audio.field(index).name for index in range(audio.num_fields)}
    return [name for name in ("bytes", "path") if name in names]


def _why_no_file(real_root: str, name: str, access: Access) -> str:
    """Why *name* is no file that may be read; '' where it is one."""
    try:
        there = os.path.isfile(resolve_inside(real_root, name, access))  # noqa: PTH113 - a string from realpath
    except RowRejectedError as error:
        return error.message
    return "" if there else f"there is none under {real_root}"


def _no_audio_error(where: str, path: str, why: str) -> SourceError:
    return SourceError(
        f"{where} holds no audio: every `bytes` is null, and the first row's path {path!r} is no file {why}",
        "embed the audio where the files are: dataset.cast_column('audio', datasets.Audio()).save_to_disk(DIR), or "
        "push_to_hub(..., embed_external_files=True), and use that; or say with --audio-root where the files are",
    )

"""A split's shards, mapped into memory as rows of them are wanted, and looked at again whenever more are.

A map of a file that has become shorter ends the process where it is read beyond the new end (SIGBUS): no error can be
raised there. So before anything of a shard is handed out, its size is asked for again. What is left is a shard that is
cut off between that look and the copy a moment later, or under a view that somebody kept: then the kernel ends the
process, "Bus error", exit status 135 or -7. Committed shards are never written again; only other software cuts them.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shared.errors import StoreError
from shared.reading.index_columns import IndexColumns
from shared.reading.shard_rows import RESTORE, read_checksums
from shared.schema import FeatureSpec
from shared.system.read_errors import refuse_unreadable


class MappedShards:
    """The shards that *index* speaks of, *num_shards*, at the paths that *path_of* tells. Threads may share it.

    With *check* each is compared with the index as it is first mapped, and *crc32* uint32[rows] filled in: the
    checksums of its rows' payloads.
    """

    def __init__(
        self, index: IndexColumns, spec: FeatureSpec, num_shards: int, path_of: Callable[[int], Path], *, check: bool
    ) -> None:
        self._index, self._spec, self._path_of, self._check = index, spec, path_of, check
        # By shard, as they are opened; and where they lie in memory and how long they are, 0 until then.
        self._maps: dict[int, NDArray[np.uint8]] = {}
        self._paths: dict[int, Path] = {}
        self._places = np.zeros((2, num_shards), np.int64)
        self.crc32 = np.zeros(len(index.row_id) if check else 0, np.uint32)

    def payload(self, shard: int, offset: int, size: int) -> NDArray[np.uint8]:
        """*size* bytes from *offset* on, a view. Raises StoreError where the shard does not have them."""
        kept = self._look_at(shard)
        if not 0 <= offset <= offset + size <= len(kept):
            raise self._cut_off(shard, offset, size)
        return kept[offset : offset + size]

    def addresses(
        self, shards: NDArray[np.int32], offsets: NDArray[np.int64], sizes: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Where in memory *sizes* bytes from *offsets* on lie; they hold as long as this does.

        Raises StoreError where a shard does not have them.
        """
        for shard in np.unique(shards).tolist():
            self._look_at(shard)
        starts, lengths = self._places[:, shards]
        # Written so that no sum can overflow.
        for row in np.flatnonzero((sizes < 0) | (offsets < 0) | (offsets > lengths - sizes))[:1].tolist():
            raise self._cut_off(int(shards[row]), int(offsets[row]), int(sizes[row]))
        found: NDArray[np.int64] = starts + offsets
        return found

    def _look_at(self, shard: int) -> NDArray[np.uint8]:
        """The map of *shard*, whose file is no shorter than it. Raises StoreError where it is, or cannot be read."""
        if shard not in self._maps:
            return self._mapped(shard)
        kept, path = self._maps[shard], self._paths[shard]
        try:
            size = path.stat().st_size
        except OSError as error:
            refuse_unreadable(path, error)
            raise StoreError(f"{path} cannot be read any more: {error.strerror}", RESTORE) from error
        if size < len(kept):
            message = f"{path} was cut off while it was in use: it had {len(kept):,} bytes, it has {size:,}"
            raise StoreError(message, RESTORE)
        return kept

    def _mapped(self, shard: int) -> NDArray[np.uint8]:
        path = self._path_of(shard)
        found = _map(path)
        if self._check:
            first, last = np.searchsorted(self._index.shard, [shard, shard + 1]).tolist()
            self.crc32[first:last] = read_checksums(path, self._index, slice(first, last), self._spec)
        self._paths[shard] = path
        # Two threads may open one shard at once: both go on with the map that was kept.
        kept = self._maps.setdefault(shard, found)
        self._places[:, shard] = kept.ctypes.data, len(kept)
        return kept

    def _cut_off(self, shard: int, offset: int, size: int) -> StoreError:
        return StoreError(f"{self._path_of(shard)} is cut off: {size:,} bytes wanted at {offset:,}", RESTORE)


def _map(path: Path) -> NDArray[np.uint8]:
    try:
        # Unlike Python's own map it keeps no file open: a store may have more shards than a process may have files.
        with pa.memory_map(str(path)) as file:
            return np.frombuffer(file.read_buffer(), np.uint8)
    except OSError as error:
        refuse_unreadable(path, error)
        raise StoreError(f"{path} cannot be mapped: {error}", RESTORE) from error

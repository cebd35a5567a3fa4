"""Rows of test and validation, which a split that is trained on is to be made without."""

import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa

from shared.errors import RowRejectedError
from shared.reading.duplicates import keys_of, read_keys
from shared.schema import QuarantineReason
from shared.shard import FeatureRow


class HeldOut:
    """The rows of the committed *shards*. Raises StoreError for one that cannot be read."""

    def __init__(self, shards: tuple[Path, ...]) -> None:
        self.shards = shards
        self._keys = frozenset(read_keys(shards).key.tolist())

    def refuse(self, row: FeatureRow) -> None:
        """Raises RowRejectedError where *row* equals one of them."""
        if self._keys and int(keys_of(_as_stored(row))[0]) in self._keys:
            raise RowRejectedError(QuarantineReason.TEST_LEAK, "a row of test or validation equals it")


def _as_stored(row: FeatureRow) -> pa.RecordBatch:
    return pa.record_batch(
        {
            "num_frames": pa.array([row.num_frames], pa.int32()),
            "floor": pa.array(np.array([row.floor], np.float32)),
            "labels": pa.array([row.labels], pa.list_(pa.int32())),
            "crc32": pa.array([zlib.crc32(row.payload)], pa.uint32()),
        }
    )

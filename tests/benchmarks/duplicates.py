"""Duplicates among 970,064 rows: seconds, and bytes of memory a row, from shards without payloads.

python tests/benchmarks/duplicates.py [ROWS]
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.benchmarks.open_store import ROWS, ROWS_PER_SHARD

FIND = """
import json, resource, sys
from pathlib import Path
from time import perf_counter
from shared.reading.duplicates import read_keys, repeats
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
read_keys(sorted(Path(sys.argv[1]).glob("train-*.parquet"))[:1])
before, start = peak(), perf_counter()
splits = {name: read_keys(sorted(Path(sys.argv[1]).glob(f"{name}-*.parquet"))) for name in ("train", "test")}
read = perf_counter() - start
found = repeats(splits)
print(json.dumps({"read_seconds": read, "seconds": perf_counter() - start, "bytes": peak() - before,
                  "repeats": [[r.split, r.other, r.rows] for r in found]}))
"""


def make_shards(folder: Path, split: str, rows: int, seed: int, repeated: pa.Table | None = None) -> pa.Table:
    """Shards of *rows* rows like the German data set's without their payloads; the first rows are *repeated*."""
    for shard, first in enumerate(range(0, rows, ROWS_PER_SHARD)):
        table = _rows(seed + shard, first, min(ROWS_PER_SHARD, rows - first))
        if repeated is not None and shard == 0:
            table = pa.concat_tables([repeated, table.slice(len(repeated))])
        pq.write_table(table, folder / f"{split}-{shard:05d}.parquet")
    return table


def _rows(seed: int, first: int, count: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    lengths = np.clip(rng.gamma(4, 6, count), 6, 448).astype(np.int32)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    labels = pa.ListArray.from_arrays(pa.array(offsets), pa.array(rng.integers(0, 51_866, lengths.sum(), np.int32)))
    return pa.table(
        {
            "row_id": np.arange(first, first + count),
            "num_frames": np.clip(rng.gamma(3, 147, count), 20, 3_000).astype(np.int32),
            "floor": rng.uniform(-1.5, -0.5, count).astype(np.float32),
            "labels": labels,
            "crc32": rng.integers(0, 1 << 32, count, np.uint32),
        }
    )


def measure(rows: int) -> dict[str, object]:
    """What it takes among *rows* rows of train and a hundredth of that in test, of which 50 are in train as well."""
    with tempfile.TemporaryDirectory() as folder:
        last = make_shards(Path(folder), "train", rows, 0)
        make_shards(Path(folder), "test", max(100, rows // 100), 10_000_000, last.slice(0, 50))
        command = [sys.executable, "-c", FIND, folder]
        done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


if __name__ == "__main__":
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    found = measure(rows)
    each = found["bytes"] / rows
    print(
        f"{rows:,} rows: {found['seconds']:.1f} s ({found['read_seconds']:.1f} s of it reading), {each:.0f} bytes a row"
    )
    print(f"found: {found['repeats']}, expected: 50 of train in test")

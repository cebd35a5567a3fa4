"""Opening a store of 970,064 rows: seconds and memory, from an index made of numbers alone.

python tests/benchmarks/open_store.py [ROWS]
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from shared.index import index_digest
from shared.layout import SplitRecord, StoreLayout, StoreRecord
from shared.schema import INDEX_SCHEMA, FeatureSpec
from shared.system.durable import json_bytes

ROWS = 970_064
ROWS_PER_SHARD = 2_250
OPEN = """
import json, resource, sys
from pathlib import Path
from time import perf_counter, process_time
from shared.store import open_split
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
start, start_cpu = perf_counter(), process_time()
split = open_split(Path(sys.argv[1]), "train")
seconds, cpu_seconds = perf_counter() - start, process_time() - start_cpu
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
assert len(split) == int(sys.argv[2]) and split.num_labels[-1] == len(split.labels(-1))
print(json.dumps({"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_bytes": peak, "imports_bytes": before}))
"""


def make_store(root: Path, rows: int) -> int:
    """A store at *root* with an index of *rows* rows like the German data set's, and no shards; bytes of the index."""
    layout, shards = StoreLayout(root), -(-rows // ROWS_PER_SHARD)
    split = SplitRecord("plan", shards, rows, ROWS_PER_SHARD, "train", "fingerprint")
    record = StoreRecord("0" * 32, FeatureSpec(128), "tokenizer", "de", "synthetic", {"train": split})
    layout.index.mkdir(parents=True)
    layout.record.write_bytes(json_bytes(record.as_dict()))
    with pq.ParquetWriter(layout.index_of("train"), INDEX_SCHEMA, compression="zstd") as writer:
        for shard in range(shards):
            first = shard * ROWS_PER_SHARD
            writer.write_table(_index_rows(shard, first, min(ROWS_PER_SHARD, rows - first)))
    counted = {
        "rows": rows,
        "quarantined": 0,
        "shards": shards,
        "num_bytes": rows * 100_000,
        "audio_seconds": rows * 4.5,
    }
    totals = counted | {"index_digest": index_digest(layout.index_of("train"))}
    layout.complete.write_bytes(
        json_bytes({"splits": {"train": totals}, "uuid": record.uuid, "format_version": record.format_version})
    )
    return layout.index_of("train").stat().st_size


def _index_rows(shard: int, first: int, count: int) -> pa.Table:
    """Clips of 4.4 s and transcripts of 25 labels in the mean; sources in runs, as data sets are put together."""
    rng = np.random.default_rng(shard)
    frames = np.clip(rng.gamma(3, 147, count), 20, 3_000).astype(np.int32)
    lengths = np.clip(rng.gamma(4, 6, count), 6, 448).astype(np.int32)
    labels = rng.integers(0, 51_866, lengths.sum(), np.int32)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    columns = {
        "row_id": np.arange(first, first + count),
        "piece": np.zeros(count, np.int16),
        "shard": np.full(count, shard, np.int32),
        # As in a shard of one page: its header, and before every payload its length.
        "offset": 40 + np.cumsum(frames.astype(np.int64) * 256 + 4) - frames.astype(np.int64) * 256,
        "num_frames": frames,
        "floor": rng.uniform(-1.5, -0.5, count).astype(np.float32),
        "num_labels": lengths,
        "labels": pa.ListArray.from_arrays(pa.array(offsets), pa.array(labels)),
        "duration": (frames / 100).astype(np.float32),
        "source": [f"korpus {(first + row) // 5_000 % 7}" for row in range(count)],
    }
    return pa.table({name: pa.array(values) for name, values in columns.items()}).cast(INDEX_SCHEMA)


def measure(rows: int) -> dict[str, float]:
    """Seconds, and bytes of index and memory, of opening a store of *rows* rows in a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "store"
        index_bytes = make_store(root, rows)
        command = [sys.executable, "-c", OPEN, str(root), str(rows)]
        done = subprocess.run(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout) | {"index_bytes": index_bytes}


if __name__ == "__main__":
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    found = measure(rows)
    print(
        f"{rows:,} rows: opened in {found['seconds']:.2f} s, {found['cpu_seconds']:.2f} s of CPU; "
        f"peak RSS {found['peak_bytes'] / 1e6:.0f} MB "
        f"({found['imports_bytes'] / 1e6:.0f} MB before), index {found['index_bytes'] / 1e6:.0f} MB"
    )

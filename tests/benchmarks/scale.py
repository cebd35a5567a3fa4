"""How long planning takes, and how much memory, for a source as large as the German data set's train split.

    python tests/benchmarks/scale.py [--rows 970064] [--files 273]

Builds the source from one short clip in a temporary folder, plans it in a fresh process several times, and prints the
seconds and the peak resident set size of each.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY))

from preprocess.demo.model import build_model  # noqa: E402 - the repository is on the path only now
from tests.support.samples import AUDIO, wav  # noqa: E402 - as above

ROW_GROUP_ROWS = 100
"""As the Hub's own converter writes them."""
CLIP_SAMPLES = 800


def build_source(folder: Path, rows: int, files: int) -> int:
    """Writes *files* Parquet files with *rows* rows in all; returns their bytes."""
    folder.mkdir(parents=True)
    each = rows // files
    first, last = folder / name(0, files), folder / name(files - 1, files)
    write_file(first, each)
    for number in range(1, files - 1):
        shutil.copy(first, folder / name(number, files))
    if files > 1:
        write_file(last, rows - each * (files - 1))
    return sum(path.stat().st_size for path in folder.iterdir())


def name(number: int, files: int) -> str:
    return f"train-{number:05d}-of-{files:05d}.parquet"


def write_file(path: Path, rows: int) -> None:
    clip = wav(CLIP_SAMPLES)
    table = pa.table(
        {
            "audio": pa.array([{"bytes": clip, "path": f"{row}.wav"} for row in range(rows)], AUDIO),
            "transkription": pa.array([f"Satz {row}" for row in range(rows)]),
            "source": pa.array(["scale"] * rows),
        }
    )
    # Without dictionaries a chunk's uncompressed size is that of the real thing, while zstd keeps the file small.
    pq.write_table(table, path, row_group_size=ROW_GROUP_ROWS, compression="zstd", use_dictionary=False)


def measure(command: list[str], environment: dict[str, str]) -> tuple[float, float, int, str]:
    """Seconds by the clock, seconds of CPU, peak bytes of memory and output of *command*."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=REPOSITORY)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with status {process.returncode}")
    seconds = time.perf_counter() - started
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, output


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=970_064)
    parser.add_argument("--files", type=int, default=273)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="scale-") as temporary:
        folder = Path(temporary)
        num_bytes = build_source(folder / "source" / "data", options.rows, options.files)
        build_model(folder / "model")
        print(f"source: {options.rows:,} rows in {options.files} files, {num_bytes / 1e6:.1f} MB")
        where = ["--source", str(folder / "source"), "--store", str(folder / "store"), "--model", str(folder / "model")]
        command = [sys.executable, "-m", "preprocess.plan", *where, "--json"]
        for _ in range(options.repeat):
            seconds, cpu_seconds, peak_bytes, output = measure(command, {**os.environ, "BASE_DIR": temporary})
            plan = json.loads(output)
            rows, shards = (sum(split[key] for split in plan["splits"]) for key in ("rows", "shards"))
            print(
                f"plan: {seconds:.1f} s ({cpu_seconds:.1f} s of CPU), peak {peak_bytes / 1e6:.0f} MB; "
                f"{rows:,} rows in {shards} shards, {plan['sampled_rows']:,} sampled"
            )


if __name__ == "__main__":
    main()

"""The store's loader alone: rows and bytes a second, against memcpy of the same bytes in the same run.

python tests/benchmarks/loader.py [--clips 6000] [--frames 450 870] [--rounds 7] [--index-rows 970064] [--json FILE]

Clips of one length at a time, 128 bins in float16; a step is 48 of them in two micro-batches. Hot, three kinds of
contenders take turns. memcpy copies as many bytes from memory to memory, in blocks of a micro-batch's features, to as
many of these as the loader has under way, in one thread. `rows alone` does the same from the store, row by row in
random order. The loader plans its steps besides, pads, and forms labels; it runs in one or more threads, one less than
there are cores at most, beside the one that asks, which helps while it would wait. Cold, the files have left the page
cache, and the peer reads them with `readinto` from beginning to end. At last, a store with an index as long as the
German data set's is opened, and an epoch of as many clips is planned, without and with packed windows.
"""

import argparse
import gc
import json
import os
import resource
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from zlib import crc32

import numpy as np
import torch
from open_store import ROWS, measure
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[2]))

from shared.store import StoreSplit, open_split
from trainer.checking.speech import labels_of, speech_seconds, speech_split
from trainer.data.loader import AHEAD, Loader
from trainer.data.micro_batches import Budget
from trainer.data.packing import Packing
from trainer.data.step_planner import Lengths, StepPlanner
from trainer.data.timed_labels import TimeTokens
from trainer.model.shape import PUBLISHED

SHAPE = PUBLISHED["openai/whisper-large-v3-turbo"]
BATCH, MICRO_BATCH = 48, 24
THREADS = (1, 2, 4)
HOT_SHARE, OPEN_SECONDS = 0.6, 2.0
"""What is wanted: the loader's rate against memcpy's, and the time to open a store."""
BLOCK = 1 << 20

PLANNED_SHARES = (0.0, 0.2, 1.0)
"""Of the clips, packed."""

Contender = Callable[[], float]
"""Does its work; seconds."""


def main() -> int:
    """Measures, prints and writes; 1 where the loader does not give what the store holds."""
    options = _options()
    report = {
        "lengths": {str(frames): measure_length(frames, options) for frames in options.frames},
        "opened": measure(options.index_rows) | {"rows": options.index_rows},
        "planned": {str(share): planning_seconds(options.index_rows, share) for share in PLANNED_SHARES},
    }
    print_table(report)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0 if all(found["right"] for found in report["lengths"].values()) else 1


def measure_length(frames: int, options: argparse.Namespace) -> dict:
    """All contenders on a store of clips of *frames*."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.work) as folder:
        root = Path(folder) / "store"
        clips = -(-options.clips // BATCH) * BATCH
        speech_split(root, SHAPE, np.full(clips, frames / 100), labels=25)
        split = open_split(root, "train", check_rows=False)
        report = {
            "rows": clips,
            "bytes": clips * split.spec.payload_bytes(frames),
            "right": gives_every_row(split),
            "hot": compare(hot_contenders(split), options.rounds),
        }
        report["checked"] = compare(checked_contenders(root, split), options.rounds)
        del split
        return report | {"cold": compare(cold_contenders(root), options.rounds)}


def load(
    split: StoreSplit, threads: int, use: Callable[[torch.Tensor], object] = lambda _: None, *, packed: bool = False
) -> None:
    """One epoch, as a rank on a CPU has it, or all of it in windows; *use* is told every micro-batch's features."""
    lengths = Lengths(split.num_frames, split.num_labels, split.duration)
    frames = MICRO_BATCH * int(split.num_frames.max())
    plans = StepPlanner(lengths, BATCH, 0, 0.0, 1, Budget(frames, frames))
    if packed:
        sources = np.zeros(len(split), np.int32)
        plans.packing = Packing(1.0, TimeTokens(0, 0), split.floor, sources, previous_share=0.1)
    with Loader(split, plans, 0, torch.device("cpu"), plans.steps_per_epoch, threads) as loader:
        for step in range(plans.steps_per_epoch):
            for _, tensors in loader.step(step)[1]:
                use(tensors[0])


def planning_seconds(rows: int, share: float) -> float:
    """Of CPU, what the first step of an epoch of so many clips of 4.25 s takes, a *share* of them packed."""
    seconds = speech_seconds(rows)
    labels = np.array([labels_of(each) for each in seconds.tolist()], np.int32)
    lengths = Lengths(np.round(100 * seconds).astype(np.int32), labels, seconds.astype(np.float32))
    plans = StepPlanner(lengths, BATCH, 0, 0.15, 2, Budget(12_000, 12_000))
    if share:
        rng = np.random.default_rng(0)
        floors, sources = rng.random(rows, np.float32), rng.integers(0, 8, rows, np.int32)
        plans.packing = Packing(share, TimeTokens(0, 0), floors, sources, previous_share=0.1)
    started = process_time()
    plans.plan(0)
    return process_time() - started


def gives_every_row(split: StoreSplit) -> bool:
    """Whether the loader gives each of the store's payloads once, to the bit."""
    frames = int(split.num_frames.max())
    found: list[int] = []

    def use(features: torch.Tensor) -> None:
        found.extend(crc32(np.ascontiguousarray(clip)) for clip in features[:, :frames].numpy())

    load(split, 1, use)
    return sorted(found) == sorted(crc32(split.log_mel(row)) for row in range(len(split)))


def hot_contenders(split: StoreSplit) -> dict[str, Contender]:
    """memcpy, rows alone, and the loader with few threads and many; everything is in the page cache."""
    block = MICRO_BATCH * split.spec.payload_bytes(int(split.num_frames.max()))
    blocks = len(split) // MICRO_BATCH
    source = np.random.default_rng(0).integers(0, 256, (blocks, block), np.uint8)
    targets = np.ones((AHEAD + 1, block), np.uint8)
    order = np.random.default_rng(0).permutation(len(split)).reshape(blocks, MICRO_BATCH)

    def memcpy() -> None:
        for number in range(blocks):
            targets[number % len(targets)] = source[number]

    def rows_alone() -> None:
        for number, rows in enumerate(order.tolist()):
            target = targets[number % len(targets)].view(split.spec.dtype)
            target = target.reshape(MICRO_BATCH, -1, split.spec.num_mel_bins)
            for place, row in enumerate(rows):
                target[place] = split.log_mel(row)

    def loading(threads: int) -> Contender:
        return lambda: seconds_of(lambda: load(split, threads))

    contenders: dict[str, Contender] = {
        "memcpy": lambda: seconds_of(memcpy),
        "rows alone": lambda: seconds_of(rows_alone),
    }
    for threads in THREADS:
        contenders[f"{_loader(threads)}, packed"] = lambda threads=threads: seconds_of(
            lambda: load(split, threads, packed=True)
        )
    return contenders | {_loader(threads): loading(threads) for threads in THREADS}


def checked_contenders(root: Path, split: StoreSplit) -> dict[str, Contender]:
    """The checksums alone, in one thread, and the loader without and with them; everything is in the page cache."""
    checked = open_split(root, "train")
    # What is compared once for each shard is not what a row costs.
    first = seconds_of(lambda: [checked.log_mel(row) for row in range(len(checked))])
    print(f"comparing {len(list((root / 'data').iterdir()))} shards with the index: {first:.2f} s", file=sys.stderr)

    def checksums() -> None:
        for row in range(len(split)):
            crc32(split.log_mel(row))

    contenders: dict[str, Contender] = {"crc32 alone": lambda: seconds_of(checksums)}
    for threads in THREADS:
        contenders[_loader(threads)] = lambda threads=threads: seconds_of(lambda: load(split, threads))
        contenders[f"{_loader(threads)}, checked"] = lambda threads=threads: seconds_of(lambda: load(checked, threads))
    return contenders


def cold_contenders(root: Path) -> dict[str, Contender]:
    """Reading the shards from beginning to end, and the loader; the files have left the page cache each time."""
    shards = sorted((root / "data").iterdir())

    def read() -> None:
        buffer = bytearray(BLOCK)
        for path in shards:
            with path.open("rb", buffering=0) as file:
                while file.readinto(buffer):
                    pass

    def reading() -> float:
        drop(shards)
        return seconds_of(read)

    def loading(threads: int) -> Contender:
        def cold() -> float:
            drop(shards)
            split = open_split(root, "train", check_rows=False)
            return seconds_of(lambda: load(split, threads))

        return cold

    contenders: dict[str, Contender] = {"readinto": reading}
    return contenders | {_loader(threads): loading(threads) for threads in THREADS}


def _loader(threads: int) -> str:
    return f"loader, {threads} thread{'s' if threads > 1 else ''}"


def drop(shards: list[Path]) -> None:
    """Drops *shards* from the page cache."""
    # Pages stay as long as they are mapped, and a split's maps live in a cycle of references.
    gc.collect()
    for path in shards:
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def seconds_of(work: Callable[[], object]) -> float:
    started = perf_counter()
    work()
    return perf_counter() - started


def compare(contenders: dict[str, Contender], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Seconds and bytes read from the disk, by round; the contenders take turns, and a first round does not count."""
    found: dict[str, dict[str, list[float]]] = {name: {"seconds": [], "disk_bytes": []} for name in contenders}
    for number in range(rounds + 1):
        for name, work in contenders.items():
            before = disk_bytes()
            seconds = work()
            if number:
                found[name]["seconds"].append(seconds)
                found[name]["disk_bytes"].append(disk_bytes() - before)
    return found


def disk_bytes() -> int:
    """What this process has read from disks so far; the kernel counts in units of 512 bytes."""
    return 512 * resource.getrusage(resource.RUSAGE_SELF).ru_inblock


def print_table(report: dict) -> None:
    """Rates, and each contender's as a share of the first one's: medians over the rounds, and their range."""
    table = Table("frames", "cache", "", "rows/s", "GB/s", "of the first", "by round", "from disk")
    for frames, measured in report["lengths"].items():
        for cache in ("hot", "cold", "checked"):
            unit = next(iter(measured[cache].values()))["seconds"]
            for name, found in measured[cache].items():
                seconds = found["seconds"]
                ratios = [theirs / own for theirs, own in zip(unit, seconds, strict=True)]
                rates = f"{measured['rows'] / median(seconds):,.0f}", f"{measured['bytes'] / median(seconds) / 1e9:.2f}"
                shares = f"{median(ratios):.0%}", f"{min(ratios):.0%} to {max(ratios):.0%}"
                read = f"{median(found['disk_bytes']) / measured['bytes']:.0%}"
                table.add_row(frames, cache, name, *rates, *shares, read)
            table.add_section()
    opened = report["opened"]
    words = (
        f"wanted: hot at least {HOT_SHARE:.0%} of memcpy; {opened['rows']:,} rows opened in "
        f"{opened['seconds']:.2f} s, wanted: {OPEN_SECONDS:.0f} s; an epoch of as many clips planned in (s of CPU) "
        + ", ".join(f"{seconds:.1f} ({float(share):.0%} packed)" for share, seconds in report["planned"].items())
    )
    Console(highlight=False).print(table, words)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=6_000, help="rows of the store, rounded up to whole steps")
    parser.add_argument("--frames", type=int, nargs="+", default=[450, 870], help="frames of each, store by store")
    parser.add_argument("--rounds", type=int, default=7, help="rounds to take medians of")
    parser.add_argument("--index-rows", type=int, default=ROWS, help="rows of the store that is only opened")
    parser.add_argument("--work", type=Path, help="folder on the disk to measure [the temporary folder]")
    parser.add_argument("--json", type=Path, help="file for the figures")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

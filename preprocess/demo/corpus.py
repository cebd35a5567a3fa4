"""The demo corpus: German speech in the Hub's Parquet layout, made here, the same bytes every time.

espeak-ng speaks in processes of its own: a fault in a C library then costs no run, and its state is nobody else's.
"""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from itertools import islice
from pathlib import Path

from preprocess.demo.parquet import write_split
from preprocess.demo.plan import ClipPlan, plan_clips
from preprocess.demo.publish import marker, publish
from preprocess.demo.recording import record
from shared.errors import SpeechPrepError
from shared.schema import fingerprint
from shared.system.stop_request import deaf_children
from shared.units import format_counted

Progress = Callable[[int, int], None]
"""Called with the number of clips done and the number of all."""

_MAKERS = ("espeakng-loader", "soundfile", "soxr", "numpy", "pyarrow")
_FORMAT = 1
"""Raised where the same plan gives other bytes than before."""
_MAX_WORKERS = 4


def build_corpus(
    directory: Path,
    *,
    train_clips: int = 600,
    test_clips: int = 60,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> None:
    """Make the corpus in *directory*: `data/{train,test}-*.parquet` with `audio`, `transkription` and `source`.

    The directory appears complete or not at all; where it is complete already, this returns at once. The same
    arguments and package versions give the same bytes. Most clips are of 1-12 s; a few of 13-28 s and one or two of
    30-40 s stand in each split of at least 8. Raises `UsageError` where *directory* holds something else or a count is
    negative, and `SpeechPrepError` where espeak-ng or a worker fails.
    """
    splits = {"train": plan_clips("train", train_clips, seed), "test": plan_clips("test", test_clips, seed)}
    identity = _fingerprint(splits)
    report = on_progress or (lambda _done, _total: None)

    def build(aside: Path) -> None:
        _write(aside, splits, report)
        (aside / "README.md").write_text(_card(splits, seed, identity), encoding="utf-8")

    if not publish(directory, identity, build):
        report(train_clips + test_clips, train_clips + test_clips)


def _fingerprint(splits: dict[str, tuple[ClipPlan, ...]]) -> str:
    plans = {split: [asdict(plan) for plan in clips] for split, clips in splits.items()}
    return fingerprint({"format": _FORMAT, "makers": {name: version(name) for name in _MAKERS}, "splits": plans})


def _write(directory: Path, splits: dict[str, tuple[ClipPlan, ...]], report: Progress) -> None:
    clips = [plan for plans in splits.values() for plan in plans]
    with _recorded(clips) as files:
        counted = _counted(files, len(clips), report)
        for split, plans in splits.items():
            write_split(directory / "data", split, plans, islice(counted, len(plans)))


@contextmanager
def _recorded(clips: Sequence[ClipPlan]) -> Iterator[Iterable[bytes]]:
    """The encoded files of *clips*, in order, as worker processes finish them."""
    workers = max(1, min(_MAX_WORKERS, len(os.sched_getaffinity(0))))
    # Spawned, not forked: the caller may have threads, and a fork would copy their locks.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_follow_the_parent)
    try:
        with deaf_children():
            files = pool.map(record, clips, chunksize=4)
        yield files
    except BrokenProcessPool as error:
        raise SpeechPrepError(
            "A process that makes the demo corpus died.", "Read its own message above, free memory and run it again."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _follow_the_parent() -> None:
    """End with the parent: a pool's workers outlive one that is killed."""
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _counted(files: Iterable[bytes], total: int, report: Progress) -> Iterator[bytes]:
    for done, file in enumerate(files, start=1):
        report(done, total)
        yield file


def _card(splits: dict[str, tuple[ClipPlan, ...]], seed: int, identity: str) -> str:
    counts = ", ".join(format_counted(len(plans), f"{split} clip") for split, plans in splits.items())
    data_files = "\n".join(f"  - split: {split}\n    path: data/{split}-*" for split, plans in splits.items() if plans)
    return f"""---
language: [de]
license: cc0-1.0
task_categories: [automatic-speech-recognition]
configs:
- config_name: default
  data_files:
{data_files}
{marker(identity)}
---

# Demo corpus

{counts}: German sentences from templates, spoken by espeak-ng, in WAV, FLAC, MP3, Ogg Vorbis and Opus at 8 to 48 kHz.
Made by `python -m preprocess.demo` with seed {seed}; the same bytes every time. It stands in for a data set from the
Hub and has its layout: `audio` (bytes, path), `transkription`, `source`.
"""

"""German clips for the benchmarks: the demo's sentences and voices, every clip in one encoding, in the Hub's layout."""

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

from preprocess.demo.parquet import write_split
from preprocess.demo.plan import ClipPlan, Encoding, plan_clips, spoken_seconds
from preprocess.demo.recording import record

VARIANTS = {
    "16 kHz FLAC": (Encoding("FLAC", "PCM_16", "flac", (16_000,)), 16_000),
    "48 kHz MP3": (Encoding("MP3", "MPEG_LAYER_III", "mp3", (48_000,)), 48_000),
}
_LONGEST_SECONDS = 4.8
"""The longest speech that is taken, pauses not counted: the clips are then 3.7 s long in the mean, as people's are.

It also leaves out the few that Whisper's 30 s would cut: every contender must keep every clip.
"""


def make_corpus(folder: Path, variant: str, num_clips: int) -> Path:
    """The data set of *num_clips* clips in *variant* at *folder*, made unless it is there; returns *folder*."""
    if folder.is_dir():
        return folder
    aside = folder.with_name(f"{folder.name}.partial")
    plans = _plans(variant, num_clips)
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=get_context("spawn")) as pool:
        write_split(aside / "data", "train", plans, pool.map(record, plans, chunksize=8))
    aside.rename(folder)
    return folder


def repeat_corpus(corpus: Path, folder: Path, times: int) -> Path:
    """A data set of *times* the rows of *corpus* at *folder*, by hard links: it takes no disk and no time."""
    files = sorted((corpus / "data").glob("train-*.parquet")) * times
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for number, file in enumerate(files):
        name = folder / "data" / f"train-{number:05d}-of-{len(files):05d}.parquet"
        if not name.exists():
            name.hardlink_to(file)
    return folder


def _plans(variant: str, num_clips: int) -> list[ClipPlan]:
    encoding, sampling_rate = VARIANTS[variant]
    # Twice as many, and some, hold enough clips that are short enough, at every size.
    planned = plan_clips("train", 2 * num_clips + 8, seed=0)
    chosen = [plan for plan in planned if spoken_seconds(plan.transkription, plan.rate) < _LONGEST_SECONDS]
    return [
        replace(
            plan,
            path=f"{Path(plan.path).stem}.{encoding.extension}",
            encoding=encoding,
            sampling_rate=sampling_rate,
            num_channels=1,
        )
        for plan in chosen[:num_clips]
    ]

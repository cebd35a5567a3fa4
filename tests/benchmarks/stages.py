"""Each stage of the pipeline alone against its peers, on one thread: milliseconds of CPU time for a clip of 3.7 s.

Beside it the pages that the kernel had to bring in for it, which are memory traffic that a warm buffer is spared.

python tests/benchmarks/stages.py [--clips 20] [--rounds 15] [--json FILE]

The contenders of a stage take turns, round by round, and medians are reported. CPU time, not wall time: it does not
count what other processes take of a core. asrfront is C and the nearest peer; it computes the same frames but the last.
"""

import argparse
import io
import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from statistics import median
from time import process_time

from preprocess.workspace.environment import ACTOR_ENVIRONMENT

if not os.environ.items() >= ACTOR_ENVIRONMENT.items():
    # One thread, and the allocator as in an actor: the C library reads these when a process starts.
    os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | ACTOR_ENVIRONMENT)

import asrfront
import numpy as np
import soundfile
import soxr
from rich.console import Console
from rich.table import Table
from transformers import WhisperFeatureExtractor

from preprocess.audio.decode import DecodeLimits, decode_native, resample
from preprocess.demo.plan import plan_clips
from preprocess.demo.recording import encode
from preprocess.demo.speech import SPEECH_SAMPLING_RATE, synthesise
from preprocess.features.log_mel import LogMel, floor_of, quantise
from preprocess.features.mel import mel_filters
from shared.schema import SAMPLING_RATE, FeatureSpec
from shared.shard import FeatureRow, ShardWriter

CLIP_SECONDS = 3.7
NUM_MEL_BINS = 128
Contender = Callable[[int], object]
"""Does its work for the clip of that number."""


def main() -> int:
    """Measures, prints and writes; 1 where the features differ."""
    options = _options()
    clips = speech(options.clips)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        stages = {
            "log-mel": log_mel_stage(clips),
            "decode 16 kHz WAV": decode_stage(clips, "WAV", "PCM_16", SAMPLING_RATE),
            "decode 16 kHz FLAC": decode_stage(clips, "FLAC", "PCM_16", SAMPLING_RATE),
            "decode 16 kHz MP3": decode_stage(clips, "MP3", "MPEG_LAYER_III", SAMPLING_RATE),
            "decode 48 kHz MP3": decode_stage(clips, "MP3", "MPEG_LAYER_III", 48_000),
            "decode 48 kHz Opus": decode_stage(clips, "OGG", "OPUS", 48_000),
            "resample 48 to 16 kHz": resample_stage(clips),
            "write a row": write_stage(clips, Path(folder)),
        }
        # A shard is written by row groups of 8 MiB, some 90 clips: a round must see several.
        times = {"write a row": 400 // options.clips}
        found = {
            stage: compare(work, options.clips, options.rounds, times.get(stage, 1)) for stage, work in stages.items()
        }
    error = max_abs_error(clips)
    print_table(found, error)
    if options.json:
        milliseconds, faults = (
            {stage: {name: cost[part] for name, cost in costs.items()} for stage, costs in found.items()}
            for part in range(2)
        )
        figures = {"milliseconds": milliseconds, "page_faults": faults, "max_abs_error": error}
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0 if error <= 1e-4 else 1


def speech(count: int) -> list[np.ndarray]:
    """Clips of espeak's German, float32 at 16 kHz, cut or repeated to the same length."""
    clips = []
    for plan in plan_clips("train", count, seed=0):
        spoken = synthesise(plan.transkription, voice=plan.voice, rate=plan.rate, pitch=plan.pitch)
        samples = soxr.resample(spoken.astype(np.float32) / 32_768, SPEECH_SAMPLING_RATE, SAMPLING_RATE)
        clips.append(np.resize(samples, int(CLIP_SECONDS * SAMPLING_RATE)))
    return clips


def log_mel_stage(clips: list[np.ndarray]) -> dict[str, Contender]:
    """Ours, as stored; asrfront without padding; what `datasets.map` calls."""
    ours, extractor = LogMel(mel_filters(NUM_MEL_BINS)), WhisperFeatureExtractor(feature_size=NUM_MEL_BINS)

    def stored(number: int) -> bytes:
        log_mel = ours(clips[number])
        return quantise(log_mel, floor_of(log_mel), "float16")

    return {
        "ours, float32": lambda number: ours(clips[number]),
        "ours, with float16 payload": stored,
        "asrfront": lambda number: asrfront.whisper.log_mel(clips[number], NUM_MEL_BINS, pad_or_trim=False),
        "WhisperFeatureExtractor": lambda number: extractor(clips[number], sampling_rate=SAMPLING_RATE),
    }


def decode_stage(clips: list[np.ndarray], container: str, subtype: str, rate: int) -> dict[str, Contender]:
    """Our decoder with its checks, and soundfile alone."""
    plan = plan_clips("train", 1, seed=0)[0]
    encoding = replace(plan.encoding, container=container, subtype=subtype)
    native = [soxr.resample(samples, SAMPLING_RATE, rate)[:, None] for samples in clips]
    files = [encode(samples, rate, encoding, serial=0) for samples in native]
    limits = DecodeLimits()
    return {
        "ours": lambda number: decode_native(files[number], limits),
        "soundfile": lambda number: soundfile.read(io.BytesIO(files[number]), dtype="float32"),
    }


def resample_stage(clips: list[np.ndarray]) -> dict[str, Contender]:
    """Ours, and soxr alone."""
    native = [soxr.resample(samples, SAMPLING_RATE, 48_000) for samples in clips]
    return {
        "ours": lambda number: resample(native[number], 48_000),
        "soxr": lambda number: soxr.resample(native[number], 48_000, SAMPLING_RATE, quality="soxr_hq"),
    }


def write_stage(clips: list[np.ndarray], folder: Path) -> dict[str, Contender]:
    """A row of a shard (checksums, Parquet, page cache), the same bytes into a plain file, and their bare copy."""
    log_mel = LogMel(mel_filters(NUM_MEL_BINS))
    payloads = [quantise(log_mel(samples), np.float32(0), "float16") for samples in clips]
    num_frames = len(payloads[0]) // (2 * NUM_MEL_BINS)
    rows = [
        FeatureRow(number, payload, num_frames, 0.0, [1] * 30, "Guten Tag.", "espeak", CLIP_SECONDS, f"{number}.flac")
        for number, payload in enumerate(payloads)
    ]
    writer, plain = ShardWriter(folder / "shard", FeatureSpec(NUM_MEL_BINS)), (folder / "plain").open("wb")
    target = bytearray(len(payloads[0]))

    def copy(number: int) -> None:
        target[:] = payloads[number]

    return {
        "shard": lambda number: writer.append(rows[number]),
        "plain file": lambda number: plain.write(payloads[number]),
        "memcpy": copy,
    }


def compare(contenders: dict[str, Contender], clips: int, rounds: int, times: int) -> dict[str, tuple[float, float]]:
    """Medians a clip: milliseconds of CPU time, page faults. The contenders take turns, each *times* over all clips."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, work in contenders.items():
            started, pages = process_time(), getrusage(RUSAGE_SELF).ru_minflt
            for number in range(clips * times):
                work(number % clips)
            spent, brought = process_time() - started, getrusage(RUSAGE_SELF).ru_minflt - pages
            found[name].append((spent / (clips * times) * 1e3, brought / (clips * times)))
    return {
        name: (median(ms for ms, _ in costs), median(faults for _, faults in costs)) for name, costs in found.items()
    }


def max_abs_error(clips: list[np.ndarray]) -> float:
    """Largest difference between our float32 log-mel and that of `WhisperFeatureExtractor`, over our frames."""
    ours, extractor = LogMel(mel_filters(NUM_MEL_BINS)), WhisperFeatureExtractor(feature_size=NUM_MEL_BINS)
    worst = 0.0
    for samples in clips:
        log_mel = ours(samples)
        expected = extractor(samples, sampling_rate=SAMPLING_RATE).input_features[0].T[: len(log_mel)]
        worst = max(worst, float(np.abs(log_mel - expected).max()))
    return worst


def print_table(found: dict[str, dict[str, tuple[float, float]]], error: float) -> None:
    """Milliseconds, each contender's as a multiple of ours, and page faults."""
    table = Table("stage", "contender", "ms a clip", "x ours", "page faults")
    for stage, costs in found.items():
        unit, _ = next(iter(costs.values()))
        for name, (milliseconds, faults) in costs.items():
            table.add_row(stage, name, f"{milliseconds:.3f}", f"{milliseconds / unit:.2f}", f"{faults:.0f}")
            stage = ""  # noqa: PLW2901 - a stage is named once
    Console(highlight=False).print(table, f"largest difference from WhisperFeatureExtractor: {error:.1e}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=20, help="different clips; the caches see as many")
    parser.add_argument("--rounds", type=int, default=15, help="rounds to take medians of")
    parser.add_argument("--json", type=Path, help="file for the figures")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

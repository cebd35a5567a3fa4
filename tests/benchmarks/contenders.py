"""What the pipeline is measured against: `python contenders.py NAME CORPUS FOLDER PROCESSES` prints one JSON line.

`datasets_map` is how people do it: every row decoded, padded to 30 s by `WhisperFeatureExtractor`, written to the cache
of `datasets`. `bare_loop` is the least code that gives the same features: no container, no checks, no resume.
`soundfile` and `decode` only decode, with soundfile alone and with our decoder: the limit of anything that reads audio.
Seconds count from the first row to the last; starting Python and importing is not in them.
"""

import io
import json
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import soundfile

SAMPLING_RATE = 16_000
NUM_MEL_BINS = 128
PARITY_CLIPS = 12
"""Clips whose features `datasets_map` leaves in `FOLDER/features.npy` for a comparison with ours."""

ClipWork = Callable[[bytes], bytes]
"""From an encoded clip to the bytes that are kept of it."""


def encoded_clips(files: list[Path]) -> Iterator[bytes]:
    """Audio files in row order."""
    for file in files:
        for batch in pq.ParquetFile(file).iter_batches(64, columns=["audio.bytes"]):
            for audio in batch.column("audio").field("bytes"):
                yield audio.as_py()


def soundfile_only() -> ClipWork:
    """Decodes with soundfile."""
    return lambda clip: soundfile.read(io.BytesIO(clip), dtype="float32")[0][:0].tobytes()


def decode_only() -> ClipWork:
    """Decodes with our decoder, checks and limits included."""
    from preprocess.audio.decode import DecodeLimits, decode_native  # noqa: PLC0415 - the others do not need it

    limits = DecodeLimits()
    return lambda clip: decode_native(clip, limits)[0][:0].tobytes()


def bare_loop() -> ClipWork:
    """Decodes, resamples and computes log-mel in float16."""
    import scipy.fft  # noqa: PLC0415 - the others do not need it
    import soxr  # noqa: PLC0415 - as above

    from preprocess.features.mel import mel_filters  # noqa: PLC0415 - as above

    filters = mel_filters(NUM_MEL_BINS).T.copy()
    window = np.hanning(401)[:-1].astype(np.float32)

    def work(clip: bytes) -> bytes:
        samples, sampling_rate = soundfile.read(io.BytesIO(clip), dtype="float32")
        if sampling_rate != SAMPLING_RATE:
            samples = soxr.resample(samples, sampling_rate, SAMPLING_RATE, quality="soxr_hq")
        samples = np.pad(np.pad(samples, (0, 400)), (200, 0), mode="reflect")
        frames = np.lib.stride_tricks.sliding_window_view(samples, 400)[::160] * window
        power = np.abs(scipy.fft.rfft(frames, axis=1)) ** 2
        log_mel = np.log10(np.maximum(power @ filters, 1e-10))
        log_mel = (np.maximum(log_mel, log_mel.max() - 8) + 4) / 4
        return log_mel.astype(np.float16).tobytes()

    return work


LOOPS: dict[str, Callable[[], ClipWork]] = {"soundfile": soundfile_only, "decode": decode_only, "bare_loop": bare_loop}


def run_loop(name: str, files: list[Path], folder: Path, gate, results) -> None:
    """One process's share of a loop, its output in one file; all begin together."""
    work = LOOPS[name]()
    gate.wait()
    started, rows = time.perf_counter(), 0
    with (folder / files[0].stem).open("wb") as out:
        for clip in encoded_clips(files):
            out.write(work(clip))
            rows += 1
    results.put((rows, started, time.perf_counter()))


def run_loops(name: str, files: list[Path], folder: Path, processes: int) -> dict:
    """The loop *name* over *files* in *processes* at once."""
    context = get_context("spawn")
    gate, results = context.Barrier(processes), context.Queue()
    shares = [files[number::processes] for number in range(processes)]
    workers = [context.Process(target=run_loop, args=(name, share, folder, gate, results)) for share in shares]
    for worker in workers:
        worker.start()
    rows, starts, ends = zip(*(results.get(timeout=3_600) for _ in workers), strict=True)
    for worker in workers:
        worker.join()
    return {"rows": sum(rows), "seconds": max(ends) - min(starts)}


def datasets_map(files: list[Path], folder: Path, processes: int, tokenizer_file: Path) -> dict:
    """`datasets.map` with `WhisperFeatureExtractor`, in *processes*, with its cache in *folder*."""
    # Heavy imports that the others do not need.
    from datasets import Audio, load_dataset  # noqa: PLC0415
    from tokenizers import Tokenizer  # noqa: PLC0415
    from transformers import WhisperFeatureExtractor  # noqa: PLC0415

    cache = folder / "cache"
    names = [str(file) for file in files]
    data = load_dataset("parquet", data_files=names, split="train", cache_dir=str(cache))
    data = data.cast_column("audio", Audio(decode=False))
    extractor = WhisperFeatureExtractor(feature_size=NUM_MEL_BINS)
    tokenizer = Tokenizer.from_file(str(tokenizer_file))

    def prepare(row: dict) -> dict:
        samples, sampling_rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="float32")
        if sampling_rate != SAMPLING_RATE:
            import librosa  # noqa: PLC0415 - only where a clip must be resampled

            samples = librosa.resample(samples, orig_sr=sampling_rate, target_sr=SAMPLING_RATE)
        features = extractor(samples, sampling_rate=SAMPLING_RATE).input_features[0]
        return {"input_features": features, "labels": tokenizer.encode(row["transkription"]).ids}

    started = time.perf_counter()
    mapped = data.map(prepare, num_proc=processes, remove_columns=data.column_names)
    seconds = time.perf_counter() - started
    first = mapped.select(range(min(PARITY_CLIPS, len(mapped)))).with_format("numpy")
    np.save(folder / "features.npy", np.stack(list(first["input_features"])))
    return {"rows": len(mapped), "seconds": seconds}


def main(name: str, corpus: Path, folder: Path, processes: int, tokenizer_file: Path) -> None:
    """Prints rows and seconds of the contender *name*."""
    files = sorted((corpus / "data").glob("train-*.parquet"))
    if name == "datasets_map":
        outcome = datasets_map(files, folder, processes, tokenizer_file)
    else:
        outcome = run_loops(name, files, folder, processes)
    print(json.dumps(outcome), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]))

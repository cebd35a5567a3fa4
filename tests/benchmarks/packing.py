"""Do packed windows help? A pretrained model trained by four recipes, judged at three lengths of recordings.

python tests/benchmarks/packing.py --folder FOLDER --model MODEL [--steps 120] [--seeds 0 1] [--recordings 40]
python tests/benchmarks/packing.py --folder FOLDER --judge EXPORT [--recordings 3]

Clips are the demo's (1,200 of 16 voices; 330 held-out ones of five others). Each recipe and seed leaves one file in
FOLDER, and one that is there is not made again: the same command goes on. It is judged at the clips' own length and at
30 s (WER, greedy), and by `trainer.evaluate --long` on recordings of 60 to 120 s that held-out clips make, with
timestamps and as RealtimeSTT calls it. The second command trains nothing: it has an export judged by those alone.
"""

import argparse
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow.parquet as pq
import soundfile
import soxr

sys.path.insert(0, str(Path(__file__).parents[2]))

from preprocess.demo.corpus import build_corpus
from trainer.evaluation.long_scoring import LongErrors

ROOT = Path(__file__).parents[2]

RECIPES = {
    "own length": ("--full-context-share", "0"),
    "15 % full contexts": ("--full-context-share", "0.15"),
    "packed 20 %": ("--full-context-share", "0", "--pack-share", "0.2"),
    "packed 50 %": ("--full-context-share", "0", "--pack-share", "0.5"),
}
TRAINING = (
    *("--learning-rate", "2e-5", "--warmup-steps", "12", "--global-batch-size", "24", "--no-metrics"),
    *("--eval-padding", "own", "--eval-full", "--eval-steps", "100000", "--report-to", "none"),
    *("--logging-steps", "10"),
)
RATE = 16_000
SHORTEST, LONGEST, LONGEST_CLIP = 60, 100, 20
"""Seconds of recordings before their last clip, and of a clip of them."""


def main() -> None:
    """Makes what is missing, and prints each recipe's results."""
    options = _options()
    folder = options.folder.resolve()
    build_corpus(folder / "corpus", train_clips=1_200, test_clips=330, seed=0)
    if options.judge:
        _module("trainer.evaluate", "--long", write_recordings(options), "--model", options.judge.resolve())
        return
    store = folder / "store"
    if not (store / "COMPLETE").exists():
        where = ("--source", folder / "corpus", "--store", store, "--model", options.model)
        _module("preprocess.run", *where, "--actors", 1, "--force")
    for seed in options.seeds:
        for name, recipe in RECIPES.items():
            file = folder / f"{name.replace(' ', '-').replace('%', 'percent')}-{seed}.json"
            if not file.exists():
                output = folder / f"training-{file.stem}"
                file.write_text(json.dumps(judged(options, store, output, recipe, seed), indent=2) + "\n")
            print(name, seed, file.read_text(), flush=True)


def judged(options: argparse.Namespace, store: Path, output: Path, recipe: tuple[str, ...], seed: int) -> dict:
    """The figures of one training, which goes on where it was ended."""
    steps = ("--max-steps", options.steps, "--save-steps", 20, "--seed", seed)
    where = ("--store", store, "--model", options.model, "--output", output)
    _module("trainer.train", *where, *TRAINING, *recipe, *steps)
    _module("trainer.evaluate", "--store", store, "--model", output / "best", "--output", output / "window")
    if not (output / "export" / "model.bin").exists():
        where = ("--checkpoint", output / "best", "--output", output / "export")
        _module("trainer.export", *where, "--quantization", "float32")
    where = ("--model", output / "export", "--output", output / "long")
    _module("trainer.evaluate", "--long", write_recordings(options), *where)
    own = json.loads((output / "metrics.json").read_text())
    return {
        "own length": own["evaluations"][-1],
        "seconds a step": median(record["seconds_per_step"] for record in own["steps"]),
        "30 s": json.loads((output / "window" / "metrics.json").read_text()),
        "long": long_figures(output / "long" / "long.json"),
    }


def long_figures(file: Path) -> dict[str, dict[str, float | None]]:
    """What *file* says of each way: word errors by kind, and the median and 90 % of the times' offsets in ms."""
    figures = {}
    for found in json.loads(file.read_text()):
        errors = LongErrors(**found["errors"])
        counts = {key: value for key, value in found["errors"].items() if key != "offsets_ms"}
        offsets = {"median ms": errors.offset_ms(50), "90 % ms": errors.offset_ms(90)}
        figures[found["way"]] = {"wer": found["wer"], **counts, **offsets}
    return figures


def write_recordings(options: argparse.Namespace) -> Path:
    """The table of recordings of held-out clips, with pauses of 0.2 to 0.8 s; made where it is not there."""
    folder = options.folder.resolve()
    table = folder / f"recordings-{options.recordings}" / "table.jsonl"
    if not table.exists():
        table.parent.mkdir(exist_ok=True)
        rows = [json.dumps(row) for row in _recordings(table.parent, folder / "corpus", options.recordings)]
        table.write_text("\n".join(rows) + "\n")
    return table


def _recordings(folder: Path, corpus: Path, count: int) -> Iterator[dict]:
    files = pq.read_table(sorted((corpus / "data").glob("test-*.parquet")))
    clips = list(zip(files["audio"].to_pylist(), files["transkription"].to_pylist(), strict=True))
    rng = np.random.default_rng(0)
    for number in range(count):
        parts, segments, length, wanted = list[np.ndarray](), list[dict](), 0, rng.uniform(SHORTEST, LONGEST)
        while length < RATE * wanted:
            audio, text = clips[int(rng.integers(len(clips)))]
            values, rate = soundfile.read(io.BytesIO(audio["bytes"]), dtype="float32", always_2d=True)
            clip = soxr.resample(values.mean(axis=1), rate, RATE)
            if len(clip) > RATE * LONGEST_CLIP:
                continue
            pause = np.zeros(int(rng.uniform(0.2, 0.8) * RATE), np.float32)
            segments.append({"start": length / RATE, "end": (length + len(clip)) / RATE, "text": text})
            parts += [clip, pause]
            length += len(clip) + len(pause)
        soundfile.write(folder / f"{number}.flac", np.concatenate(parts), RATE)
        yield {"audio": f"{number}.flac", "segments": segments}


def _module(name: str, *words: object) -> None:
    subprocess.run([sys.executable, "-m", name, *map(str, words)], check=True, cwd=ROOT)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a pretrained model as transformers has it")
    parser.add_argument("--judge", type=Path, help="an export that is judged by the recordings alone")
    parser.add_argument("--folder", type=Path, required=True, help="for corpus, store, trainings and results")
    parser.add_argument("--steps", type=int, default=120, help="of 24 clips on average")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--recordings", type=int, default=40)
    options = parser.parse_args()
    if not options.model and not options.judge:
        parser.error("--model or --judge")
    return options


if __name__ == "__main__":
    main()

"""Do packed windows help? A pretrained model trained by four recipes, judged at three lengths of recordings.

python tests/benchmarks/packing.py --model MODEL --folder FOLDER [--steps 120] [--seeds 0 1] [--recordings 40]

Clips are the demo's (1,200 of 16 voices; 330 held-out ones of five others). Each recipe and seed leaves one file in
FOLDER, and one that is there is not made again: the same command goes on. It is judged at the clips' own length and at
30 s (WER, greedy), and on recordings of 60 to 120 s that held-out clips make, through faster-whisper with timestamps:
words deleted, words inserted (repeats among them), and how far from a clip's real start the nearest segment starts.
"""

import argparse
import io
import json
import subprocess
import sys
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow.parquet as pq
import soundfile
import soxr

sys.path.insert(0, str(Path(__file__).parents[2]))

from preprocess.demo.corpus import build_corpus

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
SHORTEST = 60.0


def main() -> None:
    """Makes what is missing, and prints each recipe's results."""
    options = _options()
    folder = options.folder.resolve()
    build_corpus(folder / "corpus", train_clips=1_200, test_clips=330, seed=0)
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
    own = json.loads((output / "metrics.json").read_text())
    return {
        "own length": own["evaluations"][-1],
        "seconds a step": median(record["seconds_per_step"] for record in own["steps"]),
        "30 s": json.loads((output / "window" / "metrics.json").read_text()),
        "long": long_figures(output / "export", options.folder / "corpus", options.recordings),
    }


def long_figures(model: Path, corpus: Path, count: int) -> dict[str, float]:
    """Words deleted and inserted of all, and the median and 90 % of starts' errors in ms."""
    import jiwer  # noqa: PLC0415 - with the model
    from faster_whisper import WhisperModel  # noqa: PLC0415

    whisper = WhisperModel(str(model), device="cpu", compute_type="float32", cpu_threads=1)
    totals, errors = np.zeros(4, np.int64), list[float]()
    for samples, text, starts in recordings(corpus, count):
        found = list(whisper.transcribe(samples, language="de", condition_on_previous_text=False)[0])
        words = jiwer.process_words(text.lower(), " ".join(segment.text for segment in found).lower())
        totals += words.deletions, words.insertions, words.substitutions, len(text.split())
        told = np.array([segment.start for segment in found] or [np.inf])
        errors += [1_000 * float(np.abs(told - start).min()) for start in starts]
    deleted, inserted, substituted, all_words = totals.tolist()
    shares = {"deleted": deleted, "inserted": inserted, "substituted": substituted}
    figures = {name: number / all_words for name, number in shares.items()}
    return figures | {"start median ms": float(np.median(errors)), "start 90 % ms": float(np.quantile(errors, 0.9))}


def recordings(corpus: Path, count: int) -> list[tuple[np.ndarray, str, list[float]]]:
    """*count* recordings of held-out clips, of 60 to 120 s: samples at 16 kHz, text, and the starts of clips in s."""
    table = pq.read_table(sorted((corpus / "data").glob("test-*.parquet")))
    clips = list(zip(table["audio"].to_pylist(), table["transkription"].to_pylist(), strict=True))
    rng, found = np.random.default_rng(0), []
    for _ in range(count):
        parts, said, starts, length, wanted = [], [], [], 0, rng.uniform(SHORTEST, 100)
        while length < 16_000 * wanted:
            audio, text = clips[int(rng.integers(len(clips)))]
            values, rate = soundfile.read(io.BytesIO(audio["bytes"]), dtype="float32", always_2d=True)
            clip = soxr.resample(values.mean(axis=1), rate, 16_000)
            if len(clip) > 16_000 * 20:
                continue
            pause = np.zeros(int(rng.uniform(0.2, 0.8) * 16_000), np.float32)
            starts.append(length / 16_000)
            parts += [clip, pause]
            said.append(text)
            length += len(clip) + len(pause)
        found.append((np.concatenate(parts), " ".join(said), starts))
    return found


def _module(name: str, *words: object) -> None:
    subprocess.run([sys.executable, "-m", name, *map(str, words)], check=True, cwd=ROOT)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="a pretrained model as transformers has it")
    parser.add_argument("--folder", type=Path, required=True, help="for corpus, store, trainings and results")
    parser.add_argument("--steps", type=int, default=120, help="of 24 clips on average")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--recordings", type=int, default=40)
    return parser.parse_args()


if __name__ == "__main__":
    main()

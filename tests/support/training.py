"""Small models and stores to train on, and training runs as a user starts them."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import WhisperConfig, WhisperForConditionalGeneration

from preprocess.demo.model import build_model
from shared.command.cli import run_command
from shared.schema import FeatureSpec
from shared.text import Labeller, tokenizer_fingerprint
from tests.support.samples import feature_row, make_store
from tests.support.warm import WarmProcess
from trainer.model.whisper import sinusoids
from trainer.train import main as train

ROOT = Path(__file__).parents[2]
SPEC = FeatureSpec(80, "float16")
WORDS = ("eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "zehn", "Straße", "Größe")


def tiny_whisper(seed=0, **sizes):
    """A Whisper of some thousand random weights, 8 mel bins and 100 tokens; float32, in training mode."""
    torch.manual_seed(seed)
    plain = {"pad_token_id": 99, "bos_token_id": 99, "eos_token_id": 99, "decoder_start_token_id": 1}
    sides = {
        f"{side}_{name}": value
        for side in ("encoder", "decoder")
        for name, value in {"layers": 2, "attention_heads": 2, "ffn_dim": 32}.items()
    }
    shape = {"vocab_size": 100, "num_mel_bins": 8, "d_model": 16, "dropout": 0.0}
    config = WhisperConfig(**{**shape, **sides, **plain, **sizes})
    config._attn_implementation = "sdpa"
    model = WhisperForConditionalGeneration(config)
    with torch.no_grad():
        # transformers fills the positions when it loads a model, not when it makes one.
        weight = model.model.encoder.embed_positions.weight
        weight.copy_(sinusoids(*weight.shape))
    return model.train()


def sentences(count, seed=0):
    """*count* transcripts of a few words."""
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, size=int(rng.integers(1, 6)))) for _ in range(count)]


def training_store(root, model, *, clips=48, test_clips=8, longest=120, spec=SPEC):
    """A store of noise with labels of *model*'s tokenizer: all that the loop needs to go round."""
    tokenizer_json = (Path(model) / "tokenizer.json").read_text()
    labeller = Labeller(tokenizer_json)
    splits = {}
    for split, (count, seed) in {"train": (clips, 0), "test": (test_clips, 1)}.items():
        rng = np.random.default_rng(seed)
        rows = [
            feature_row(
                number,
                int(rng.integers(20, longest)),
                spec,
                labels=labeller(text),
                transkription=text,
                floor=-1.5,
            )
            for number, text in enumerate(sentences(count, seed))
        ]
        splits[split] = [rows[: count // 2], rows[count // 2 :]]
    make_store(root, splits, spec, tokenizer=tokenizer_fingerprint(tokenizer_json))
    return root


@dataclass
class Training:
    """`trainer.train` on *ranks* CPU processes: warm, or where it is *cold* as a user types it, with torchrun."""

    output: Path
    options: tuple[str, ...]
    ranks: int = 1
    cold: bool = False

    def start(self):
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("TRAINER_", "PREPROCESS_"))}
        # Two ranks on one core each: threads that outnumber cores are slow, and one order of sums is one result.
        environment = clean | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        arguments = ["--output", str(self.output), *self.options]
        if not self.cold:
            return WarmProcess("trainer.train", arguments, environment, self.ranks)
        ranks = ["--nproc-per-node", str(self.ranks)] if self.ranks > 1 else []
        command = [sys.executable, "-m", "trainer.train", *ranks, *arguments]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(self, code=0):
        process = self.start()
        said, _ = process.communicate(timeout=600)
        assert process.returncode == code, said
        return said

    def records(self, kind="steps"):
        return json.loads((self.output / "metrics.json").read_text())[kind]


def tiny_model(folder, num_mel_bins=80):
    """The demo's model at *folder*, to be changed at will: a copy of one that is made once a session.

    Half of the time that it takes to make is the tokenizer's.
    """
    made = Path(os.environ.get("TESTS_SHARED_FOLDER", folder.parent)) / "models" / f"tiny-{num_mel_bins}"
    build_model(made, num_mel_bins=num_mel_bins)
    return Path(shutil.copytree(made, folder, dirs_exist_ok=True))


def small_training(folder):
    """*folder* with a tiny model, and a store of a few clips for it."""
    training_store(folder / "store", tiny_model(folder / "model"), clips=16, test_clips=2)
    return folder


def train_here(folder, output, *options):
    """The exit status of a training on `small_training`, in this process: every step is told, nothing is served."""
    where = ("--store", str(folder / "store"), "--model", str(folder / "model"), "--output", str(output))
    told = ("--logging-steps", "1", "--report-to", "none", "--no-metrics")
    short = ("--full-context-share", "0", "--eval-padding", "own", "--warmup-steps", "1")
    return run_command(train, [*where, *told, *short, *options])

"""Stores of random clips as long as real speech, and models of random weights: what benchmarks of the trainer work on.

Needs the trainer's own packages alone, so that a machine with a GPU needs nothing else.
"""

from pathlib import Path

import numpy as np
import torch
from transformers import WhisperConfig, WhisperForConditionalGeneration

from shared.index import write_complete, write_index
from shared.layout import SplitRecord, StoreLayout, StoreRecord
from shared.membership import Place
from shared.schema import MAX_LABELS, FeatureSpec
from shared.shard import FeatureRow, ShardWriter
from shared.store import StoreSplit, open_split
from shared.system.durable import json_bytes
from trainer.model.shape import ModelShape
from trainer.model.whisper import prepare_model, sinusoids

END, START = 0, 1
"""The special tokens, of a model of any vocabulary."""
ROWS_PER_SHARD = 512
SPECIAL_TOKENS, TOKENS_PER_SECOND = 5, 4.8
"""German speech has 25 labels in a clip of 4.4 s."""
MINI = ModelShape(
    d_model=16,
    encoder_layers=2,
    decoder_layers=2,
    encoder_ffn_dim=32,
    decoder_ffn_dim=32,
    encoder_heads=2,
    decoder_heads=2,
    vocab_size=100,
    num_mel_bins=8,
    max_source_positions=1_500,
    max_target_positions=448,
)
"""Some thousand weights, with Whisper's window."""


def speech_seconds(count: int, mean: float = 4.25, *, seed: int = 0) -> np.ndarray:
    """float64[count]: clip lengths like the German data's, of the same distribution for every *count*, shuffled.

    A gamma distribution of shape 2.5 with *mean*, clipped to 0.5 to 30 s.
    """
    rng = np.random.default_rng(seed)
    lengths = np.quantile(rng.gamma(2.5, mean / 2.5, 100_000), (np.arange(count) + 0.5) / count).clip(0.5, 30.0)
    return rng.permutation(lengths)


def labels_of(seconds: float) -> int:
    """Labels of a clip, the special tokens included."""
    return min(MAX_LABELS, round(SPECIAL_TOKENS + TOKENS_PER_SECOND * seconds))


def speech_split(
    root: Path, shape: ModelShape, seconds: np.ndarray, *, labels: int | None = None, seed: int = 0
) -> StoreSplit:
    """A finished store at *root* for a model of *shape*: noise of *seconds* s a clip, in float16.

    Each has *labels* random labels, or as many as speech of its length.
    """
    layout, spec = StoreLayout(root), FeatureSpec(shape.num_mel_bins)
    units = [
        range(start, min(start + ROWS_PER_SHARD, len(seconds))) for start in range(0, len(seconds), ROWS_PER_SHARD)
    ]
    bounds = (0, *(unit.stop for unit in units)) if units else ()
    split = SplitRecord("plan", len(units), len(seconds), ROWS_PER_SHARD, "train", "synthetic", row_bounds=bounds)
    record = StoreRecord("0" * 32, spec, "tokenizer", "de", "synthetic", {"train": split})
    for folder in (layout.data, layout.partial):
        folder.mkdir(parents=True)
    layout.record.write_bytes(json_bytes(record.as_dict()))
    rng = np.random.default_rng(seed)
    longest = round(100 * float(seconds.max()))
    noise = rng.uniform(-1.5, 0.5, (2 * longest, spec.num_mel_bins)).astype("<f2")
    for number, unit in enumerate(units):
        with ShardWriter(layout.partial / "shard", spec) as writer:
            for row in unit:
                count = labels or labels_of(seconds[row])
                tokens = [START, *rng.integers(2, shape.vocab_size, count - 2).tolist(), END]
                writer.append(_row(row, float(seconds[row]), noise, tokens, int(rng.integers(longest))))
            place, rows = Place(layout, "train", number, split), str(len(unit))
            writer.seal(place.metadata | {"rows_in": rows, "rows_out": rows, "rows_quarantined": "0"})
            writer.publish(layout.shard("train", number, len(units)))
    write_complete(layout, record, {"train": write_index(layout, "train", split, spec)})
    return open_split(root, "train")


def _row(row: int, seconds: float, noise: np.ndarray, tokens: list[int], start: int) -> FeatureRow:
    frames = round(100 * seconds)
    payload = noise[start : start + frames].tobytes()
    return FeatureRow(row, payload, frames, -1.5, tokens, f"Satz {row}", "noise", seconds, f"{row}.wav")


def random_whisper(shape: ModelShape, device: torch.device, *, seed: int = 0) -> WhisperForConditionalGeneration:
    """A model of *shape* on *device*, in float32 with random weights, ready for training."""
    torch.manual_seed(seed)
    special = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"), END) | {"decoder_start_token_id": START}
    config = WhisperConfig(**shape.to_config() | special)
    config._attn_implementation = "sdpa"
    with device:
        model = WhisperForConditionalGeneration(config)
    with torch.no_grad():
        # transformers fills the positions when it loads a model, not when it makes one.
        weight = model.model.encoder.embed_positions.weight
        weight.copy_(sinusoids(*weight.shape))
    return prepare_model(model).train()

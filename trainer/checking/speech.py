"""Stores of random clips as long as real speech: what tells all of a training but how well it learns. Needs no torch.

`trainer.check` trains on them, and so do the benchmarks; nothing is downloaded.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from shared.index import write_complete, write_index
from shared.layout import SplitRecord, StoreLayout, StoreRecord
from shared.membership import Place
from shared.schema import MAX_LABELS, FeatureSpec
from shared.shard import FeatureRow, ShardWriter
from shared.store import StoreSplit, open_split
from shared.system.durable import json_bytes
from trainer.model.shape import ModelShape

END, START = 0, 1
"""The special tokens, of a model of any vocabulary."""
ROWS_PER_SHARD = 512


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What labels are made of: *prompt*, random ids of *text*, *end*; *tokenizer* is the fingerprint of who says so."""

    prompt: Sequence[int]
    text: range
    end: int
    tokenizer: str

    @classmethod
    def plain(cls, size: int) -> Self:
        """That of a model of *size* tokens which has no tokenizer."""
        return cls((START,), range(2, size), END, "tokenizer")


SPECIAL_TOKENS, TOKENS_PER_SECOND = 5, 4.8
"""German speech has 25 labels in a clip of 4.4 s."""


def speech_seconds(count: int, mean: float = 4.25, *, seed: int = 0) -> NDArray[np.float64]:
    """float64[count]: clip lengths like the German data's, of the same distribution for every *count*, shuffled.

    A gamma distribution of shape 2.5 with *mean*, clipped to 0.5 to 30 s.
    """
    rng = np.random.default_rng(seed)
    lengths = np.quantile(rng.gamma(2.5, mean / 2.5, 100_000), (np.arange(count) + 0.5) / count).clip(0.5, 30.0)
    shuffled: NDArray[np.float64] = rng.permutation(lengths)
    return shuffled


def labels_of(seconds: float) -> int:
    """Labels of a clip, the special tokens included."""
    return min(MAX_LABELS, round(SPECIAL_TOKENS + TOKENS_PER_SECOND * seconds))


def speech_split(
    root: Path,
    shape: ModelShape,
    seconds: NDArray[np.float64],
    vocabulary: Vocabulary | None = None,
    *,
    labels: int | None = None,
    seed: int = 0,
) -> StoreSplit:
    """A finished store at *root* for a model of *shape*: noise of *seconds* s a clip, in float16.

    Each has *labels* random labels, or as many as speech of its length, of *vocabulary*, or any that *shape* has.
    """
    vocabulary = vocabulary or Vocabulary.plain(shape.vocab_size)
    layout, spec = StoreLayout(root), FeatureSpec(shape.num_mel_bins)
    units = [
        range(start, min(start + ROWS_PER_SHARD, len(seconds))) for start in range(0, len(seconds), ROWS_PER_SHARD)
    ]
    bounds = (0, *(unit.stop for unit in units)) if units else ()
    split = SplitRecord("plan", len(units), len(seconds), ROWS_PER_SHARD, "train", "synthetic", row_bounds=bounds)
    record = StoreRecord("0" * 32, spec, vocabulary.tokenizer, "de", "synthetic", {"train": split})
    for folder in (layout.data, layout.partial):
        folder.mkdir(parents=True)
    layout.record.write_bytes(json_bytes(record.as_dict()))
    rows = _rows(seconds, vocabulary, spec, labels, seed)
    for number, unit in enumerate(units):
        with ShardWriter(layout.partial / "shard", spec) as writer:
            for row in islice(rows, len(unit)):
                writer.append(row)
            place, count = Place(layout, "train", number, split), str(len(unit))
            writer.seal(place.metadata | {"rows_in": count, "rows_out": count, "rows_quarantined": "0"})
            writer.publish(layout.shard("train", number, len(units)))
    write_complete(layout, record, {"train": write_index(layout, "train", split, spec)})
    return open_split(root, "train")


def _rows(
    seconds: NDArray[np.float64], vocabulary: Vocabulary, spec: FeatureSpec, labels: int | None, seed: int
) -> Iterator[FeatureRow]:
    rng = np.random.default_rng(seed)
    longest = round(100 * float(seconds.max()))
    noise = rng.uniform(-1.5, 0.5, (2 * longest, spec.num_mel_bins)).astype("<f2")
    for row, each in enumerate(seconds.tolist()):
        count = (labels or labels_of(each)) - len(vocabulary.prompt) - 1
        text = rng.integers(vocabulary.text.start, vocabulary.text.stop, count).tolist()
        tokens = [*vocabulary.prompt, *text, vocabulary.end]
        yield _row(row, each, noise, tokens, int(rng.integers(longest)))


def _row(row: int, seconds: float, noise: NDArray[np.float16], tokens: list[int], start: int) -> FeatureRow:
    frames = round(100 * seconds)
    payload = noise[start : start + frames].tobytes()
    return FeatureRow(row, payload, frames, -1.5, tokens, f"Satz {row}", "noise", seconds, f"{row}.wav")

"""Which heads of a decoder align words with time: those that a model names, where it has them. Pure.

A head that is not there ends faster-whisper with a segmentation fault where somebody asks for word timestamps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from trainer.model.shape import ModelShape

Heads = Sequence[Sequence[int]]
"""Layer and head of each, both counted from 0."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """The heads to align with, and whose they are in words; *own*: those that the model names."""

    heads: Heads
    whose: str
    own: bool = False


def choose(named: Any, shape: ModelShape) -> Alignment:
    """The heads that a model of *shape* *named*; where they are none of its own, its family's or the usual default.

    A list of which one head is not there was made for another model, so that none of it is taken.
    """
    if fits(named, shape):
        return Alignment([list(pair) for pair in named], "those that the checkpoint names", own=True)
    family = _FAMILIES.get((shape.decoder_layers, shape.decoder_heads, shape.num_mel_bins))
    if family is not None:
        name, heads = family
        return Alignment([list(pair) for pair in heads], f"those of {name}, whose shape the model has")
    layers = range(shape.decoder_layers // 2, shape.decoder_layers)
    usual = [list(pair) for pair in product(layers, range(shape.decoder_heads))]
    return Alignment(usual, "all heads of the last half of the decoder's layers: word timestamps are less exact")


def fits(named: Any, shape: ModelShape) -> bool:
    """Whether *named* is a list of layers and heads, one at least, that a model of *shape* has all of."""
    if not isinstance(named, list | tuple) or not named:
        return False
    return all(_is_head(pair, shape.decoder_layers, shape.decoder_heads) for pair in named)


def _is_head(pair: Any, layers: int, heads: int) -> bool:
    if not isinstance(pair, list | tuple) or [type(value) for value in pair] != [int, int]:
        return False
    return pair[0] in range(layers) and pair[1] in range(heads)


def _pairs(layers: Mapping[int, Sequence[int]]) -> list[tuple[int, int]]:
    return [(layer, head) for layer, heads in layers.items() for head in heads]


_LARGE_V2 = {
    10: [12],
    13: [17],
    16: [11, 12, 13],
    17: [15, 16],
    18: [4, 11, 19],
    19: [11],
    21: [2, 3],
    22: [3, 9, 12],
    23: [5, 7, 13],
    25: [5],
    26: [1, 12],
    27: [15],
}
_LARGE_V3 = {7: [0], 10: [17], 12: [18], 13: [12], 16: [1], 17: [14], 19: [11], 21: [4], 24: [1], 25: [6]}
_FAMILIES: Mapping[tuple[int, int, int], tuple[str, Sequence[tuple[int, int]]]] = {
    (4, 6, 80): ("openai/whisper-tiny", _pairs({2: [2], 3: [0, 2, 3, 4, 5]})),
    (6, 8, 80): ("openai/whisper-base", _pairs({3: [1], 4: [2, 3, 7], 5: [1, 2, 4, 6]})),
    (12, 12, 80): ("openai/whisper-small", _pairs({5: [3, 9], 8: [0, 4, 7, 8], 9: [0, 7, 9], 10: [5]})),
    (24, 16, 80): ("openai/whisper-medium", _pairs({13: [15], 15: [4, 15], 16: [1], 20: [0], 23: [4]})),
    (32, 20, 80): ("openai/whisper-large-v2", _pairs(_LARGE_V2)),
    (32, 20, 128): ("openai/whisper-large-v3", _pairs(_LARGE_V3)),
    (4, 20, 128): ("openai/whisper-large-v3-turbo", _pairs({2: [4, 11], 3: [3, 6, 11, 14]})),
}
"""The heads that OpenAI chose for its multilingual models (`_ALIGNMENT_HEADS` in openai/whisper), by decoder layers,
heads and mel bins."""

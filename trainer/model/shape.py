"""The sizes of a Whisper model, and every weight that follows from them, without torch. Pure.

The layout is that of transformers' `WhisperForConditionalGeneration`: `proj_out` is the decoder's embedding once more,
and the encoder's positions are sinusoids that are stored but not trained.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, Self

from shared.errors import UsageError
from shared.models.limits import ModelLimits, positive

CONV_WIDTH = 3
"""Kernel of both convolutions; the second has stride 2, so that two frames make one position."""
CHUNK_TOKENS = 1024
"""Tokens whose logits the loss has in memory at once: 1024 x 51,866 in float32 are 212 MB."""
_CONFIG_NAMES = {"encoder_heads": "encoder_attention_heads", "decoder_heads": "decoder_attention_heads"}


@dataclass(frozen=True, slots=True)
class Weight:
    """One tensor of the model: its *dims*, and what is done with it.

    *is_cast*: autocast keeps a 16-bit copy of it, as it is a matrix product's or convolution's.
    """

    dims: tuple[int, ...]
    in_encoder: bool
    is_cast: bool
    is_trained: bool = True

    @property
    def size(self) -> int:
        """Its number of values."""
        return math.prod(self.dims)


@dataclass(frozen=True, slots=True)
class ModelShape:
    """What decides the memory and the work of a Whisper model; the names are those of its `config.json`, but heads."""

    d_model: int
    encoder_layers: int
    decoder_layers: int
    encoder_ffn_dim: int
    decoder_ffn_dim: int
    encoder_heads: int
    decoder_heads: int
    vocab_size: int
    num_mel_bins: int
    max_source_positions: int
    max_target_positions: int

    @classmethod
    def from_config(cls, config: Mapping[str, Any], model: str = "") -> Self:
        """The shape that *config*, the parsed `config.json` of *model*, states.

        Raises UsageError when it is no Whisper model's, or a size is missing or not a positive whole number.
        """
        kind = config.get("model_type")
        if kind != "whisper":
            raise UsageError(f"config.json is of model_type {kind!r}", "name a Whisper model")
        sizes = {
            field.name: positive(config, _CONFIG_NAMES.get(field.name, field.name), model) for field in fields(cls)
        }
        return cls(**sizes)

    def to_config(self) -> dict[str, Any]:
        """What `from_config` reads, and `transformers.WhisperConfig` takes."""
        sizes = {_CONFIG_NAMES.get(field.name, field.name): getattr(self, field.name) for field in fields(self)}
        return {"model_type": "whisper", **sizes}

    @property
    def limits(self) -> ModelLimits:
        """How long its labels and clips may be."""
        return ModelLimits(self.max_target_positions, self.window_frames)

    @property
    def window_frames(self) -> int:
        """Frames of the longest input that the model was made for: 3,000, which are 30 s."""
        return 2 * self.max_source_positions

    @property
    def parameter_count(self) -> int:
        """Values of all weights, each once, the encoder's positions included."""
        return sum(weight.size * times for weight, times in self.weights().items())

    def trained_count(self, *, freeze_encoder: bool = False) -> int:
        """Values that an optimiser changes."""
        return sum(weight.size * times for weight, times in self.trained_weights(freeze_encoder=freeze_encoder).items())

    def trained_weights(self, *, freeze_encoder: bool = False) -> Counter[Weight]:
        """The weights that an optimiser changes, and how many there are of each."""
        trained = {
            weight: times
            for weight, times in self.weights().items()
            if weight.is_trained and not (weight.in_encoder and freeze_encoder)
        }
        return Counter(trained)

    @cache  # noqa: B019 - shapes are few and small, and a search for what fits asks hundreds of times
    def weights(self) -> Counter[Weight]:
        """Every weight of the model, and how many there are of each."""
        return Counter([*self._encoder(), *self._decoder()])

    def _encoder(self) -> Iterator[Weight]:
        width, vector = self.d_model, Weight((self.d_model,), in_encoder=True, is_cast=False)
        yield Weight((width, self.num_mel_bins, CONV_WIDTH), in_encoder=True, is_cast=True)
        yield Weight((width, width, CONV_WIDTH), in_encoder=True, is_cast=True)
        yield from [Weight((width,), in_encoder=True, is_cast=True)] * 2
        yield Weight((self.max_source_positions, width), in_encoder=True, is_cast=False, is_trained=False)
        for _ in range(self.encoder_layers):
            yield from _attention(width, in_encoder=True)
            yield from _feed_forward(width, self.encoder_ffn_dim, in_encoder=True)
            yield from [vector] * 4
        yield from [vector] * 2

    def _decoder(self) -> Iterator[Weight]:
        width, vector = self.d_model, Weight((self.d_model,), in_encoder=False, is_cast=False)
        # Looked up as it is, but also the output's matrix.
        yield Weight((self.vocab_size, width), in_encoder=False, is_cast=True)
        yield Weight((self.max_target_positions, width), in_encoder=False, is_cast=False)
        for _ in range(self.decoder_layers):
            yield from _attention(width, in_encoder=False)
            yield from _attention(width, in_encoder=False)
            yield from _feed_forward(width, self.decoder_ffn_dim, in_encoder=False)
            yield from [vector] * 6
        yield from [vector] * 2


def _attention(width: int, *, in_encoder: bool) -> list[Weight]:
    """Queries, keys, values and output; the keys have no bias."""
    matrix, bias = (Weight(dims, in_encoder, is_cast=True) for dims in ((width, width), (width,)))
    return [matrix] * 4 + [bias] * 3


def _feed_forward(width: int, inner: int, *, in_encoder: bool) -> list[Weight]:
    dims = ((inner, width), (inner,), (width, inner), (width,))
    return [Weight(each, in_encoder, is_cast=True) for each in dims]


def _published(
    width: int, layers: int, heads: int, *, mels: int = 80, vocabulary: int = 51_865, decoder: int = 0
) -> ModelShape:
    return ModelShape(
        d_model=width,
        encoder_layers=layers,
        decoder_layers=decoder or layers,
        encoder_ffn_dim=4 * width,
        decoder_ffn_dim=4 * width,
        encoder_heads=heads,
        decoder_heads=heads,
        vocab_size=vocabulary,
        num_mel_bins=mels,
        max_source_positions=1_500,
        max_target_positions=448,
    )


PUBLISHED = {
    "openai/whisper-tiny": _published(384, 4, 6),
    "openai/whisper-base": _published(512, 6, 8),
    "openai/whisper-small": _published(768, 12, 12),
    "openai/whisper-medium": _published(1_024, 24, 16),
    "openai/whisper-large-v3": _published(1_280, 32, 20, mels=128, vocabulary=51_866),
    "openai/whisper-large-v3-turbo": _published(1_280, 32, 20, mels=128, vocabulary=51_866, decoder=4),
}
"""The shapes of OpenAI's models by their Hub ids (Radford et al. 2022, table 1, and the models' `config.json`)."""

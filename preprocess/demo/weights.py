"""Random weights for a tiny Whisper, by the names and shapes that `transformers` expects; made without torch."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Weights = dict[str, NDArray[np.float32]]

_CONV_WIDTH = 3
_INIT_STD = 0.02
_MAX_TIMESCALE = 10_000.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """The dimensions of a Whisper model, under `WhisperConfig`'s names; encoder and decoder have as many layers."""

    num_mel_bins: int
    vocab_size: int
    d_model: int = 64
    ffn_dim: int = 256
    num_layers: int = 2
    num_heads: int = 2
    max_source_positions: int = 1_500
    max_target_positions: int = 448


def random_weights(sizes: Sizes, seed: int = 0) -> Weights:
    """float32 tensors by name: normal with deviation 0.02, norms at identity, biases 0, encoder positions sinusoidal.

    The output projection is tied to the token embedding and therefore absent.
    """
    rng = np.random.default_rng(seed)
    shapes = _encoder_shapes(sizes) | _decoder_shapes(sizes)
    weights = {name: _initial(name, shape, rng) for name, shape in shapes.items()}
    weights["model.encoder.embed_positions.weight"] = _sinusoids(sizes.max_source_positions, sizes.d_model)
    return weights


_Shapes = dict[str, tuple[int, ...]]


def _encoder_shapes(sizes: Sizes) -> _Shapes:
    width = sizes.d_model
    shapes: _Shapes = {
        "model.encoder.conv1.weight": (width, sizes.num_mel_bins, _CONV_WIDTH),
        "model.encoder.conv1.bias": (width,),
        "model.encoder.conv2.weight": (width, width, _CONV_WIDTH),
        "model.encoder.conv2.bias": (width,),
    }
    for layer in range(sizes.num_layers):
        shapes |= _layer(f"model.encoder.layers.{layer}", sizes, attentions=("self_attn",))
    return shapes | _norm("model.encoder.layer_norm", width)


def _decoder_shapes(sizes: Sizes) -> _Shapes:
    shapes: _Shapes = {
        "model.decoder.embed_tokens.weight": (sizes.vocab_size, sizes.d_model),
        "model.decoder.embed_positions.weight": (sizes.max_target_positions, sizes.d_model),
    }
    for layer in range(sizes.num_layers):
        shapes |= _layer(f"model.decoder.layers.{layer}", sizes, attentions=("self_attn", "encoder_attn"))
    return shapes | _norm("model.decoder.layer_norm", sizes.d_model)


def _layer(name: str, sizes: Sizes, attentions: tuple[str, ...]) -> _Shapes:
    shapes: _Shapes = {}
    for attention in attentions:
        for projection in ("k_proj", "v_proj", "q_proj", "out_proj"):
            bias = projection != "k_proj"
            shapes |= _linear(f"{name}.{attention}.{projection}", sizes.d_model, sizes.d_model, bias=bias)
        shapes |= _norm(f"{name}.{attention}_layer_norm", sizes.d_model)
    shapes |= _linear(f"{name}.fc1", sizes.d_model, sizes.ffn_dim) | _linear(
        f"{name}.fc2", sizes.ffn_dim, sizes.d_model
    )
    return shapes | _norm(f"{name}.final_layer_norm", sizes.d_model)


def _linear(name: str, inputs: int, outputs: int, *, bias: bool = True) -> _Shapes:
    weight: _Shapes = {f"{name}.weight": (outputs, inputs)}
    return weight | {f"{name}.bias": (outputs,)} if bias else weight


def _norm(name: str, width: int) -> _Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _initial(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    if name.endswith(".bias"):
        return np.zeros(shape, np.float32)
    if name.endswith("layer_norm.weight"):
        return np.ones(shape, np.float32)
    return rng.standard_normal(shape, dtype=np.float32) * np.float32(_INIT_STD)


def _sinusoids(length: int, channels: int) -> NDArray[np.float32]:
    """Whisper's fixed encoder positions, *length* x *channels*: sines, then cosines, of slower and slower waves."""
    half = channels // 2
    scales = np.exp(-np.log(_MAX_TIMESCALE) / (half - 1) * np.arange(half))
    angles = np.arange(length)[:, None] * scales[None, :]
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)

"""Floating point operations of Whisper, and what devices can do of them. Pure.

A multiply-add counts as 2, as in Kaplan et al. 2020 (arXiv:2001.08361, table 1) and PaLM (Chowdhery et al. 2022,
arXiv:2204.02311, appendix B), whose model FLOPs utilisation (MFU) this is for: matrix products, convolutions and both
products of attention, over whole squares although the decoder looks back only; element-wise work is left out. The
backward pass is 2 x the forward one. What gradient checkpointing computes again is the machine's work, not the model's,
and does not count for MFU.
"""

import re
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from trainer.model.shape import CONV_WIDTH, ModelShape

_PEAK_TFLOPS = {
    # Ada and Blackwell GeForce, from NVIDIA's architecture white papers.
    "RTX 4060": 30.2,
    "RTX 4060 Ti": 44.1,
    "RTX 4070": 58.3,
    "RTX 4070 Ti": 80.2,
    "RTX 4080": 97.5,
    "RTX 4090": 165.2,
    "RTX 5090": 209.5,
    # Ampere GeForce, from the GA102 white paper.
    "RTX 3080": 59.5,
    "RTX 3090": 71.2,
    "RTX 3090 Ti": 80.0,
    # Data centre, from NVIDIA's data sheets, halved where those are for sparse matrices.
    "T4": 65.0,
    "V100": 125.0,
    "A10": 125.0,
    "A40": 149.7,
    "RTX A6000": 154.8,
    "L4": 121.0,
    "L40S": 362.0,
    "A100": 312.0,
    "H100": 989.4,
    "H100 PCIe": 756.5,
    "H100 NVL": 835.5,
    "H200": 989.4,
    "H200 NVL": 835.5,
}
"""10^12 operations a second on dense matrices, fp16 with fp32 accumulation."""
KNOWN_GPUS = tuple(_PEAK_TFLOPS)
Number = TypeVar("Number", float, NDArray[np.float64])
"""Of one clip, or of each of many."""
_NO_NAME = re.compile(r"NVIDIA|Tesla|GeForce|SXM\d*|\d+GB|HBM\w+", re.IGNORECASE)
"""Words of a device's name that tell maker, socket or memory, and not its speed."""


def encoder_flops(shape: ModelShape, frames: Number) -> Number:
    """Of one forward pass of the encoder over one clip padded to *frames*."""
    width, positions = shape.d_model, frames / 2
    convolutions = 2 * CONV_WIDTH * width * (shape.num_mel_bins * frames + width * positions)
    weights = 4 * width**2 + 2 * width * shape.encoder_ffn_dim
    attention = 2 * positions**2 * width
    return convolutions + 2 * shape.encoder_layers * (weights * positions + attention)


def decoder_flops(shape: ModelShape, frames: Number, tokens: Number) -> Number:
    """Of one forward pass of the decoder over *tokens*, with the logits of all, beside a clip of *frames*."""
    width, positions = shape.d_model, frames / 2
    by_token = 6 * width**2 + 2 * width * shape.decoder_ffn_dim
    by_position = 2 * width**2
    attention = 2 * width * tokens * (tokens + positions)
    layers = shape.decoder_layers * (by_token * tokens + by_position * positions + attention)
    return 2 * (layers + width * shape.vocab_size * tokens)


def training_flops(shape: ModelShape, frames: Number, tokens: Number, *, freeze_encoder: bool = False) -> Number:
    """Of one forward and backward pass over one clip of padded *frames* and *tokens*: what MFU counts.

    A frozen encoder has no backward pass.
    """
    encoder, decoder = encoder_flops(shape, frames), decoder_flops(shape, frames, tokens)
    return (1 if freeze_encoder else 3) * encoder + 3 * decoder


def epoch_flops(
    shape: ModelShape,
    frames: NDArray[np.float64],
    tokens: NDArray[np.float64],
    *,
    full_context_share: float,
    freeze_encoder: bool = False,
    pack_share: float = 0.0,
) -> float:
    """Of one pass over clips of *frames* and *tokens*, of which a share, whichever they are, is padded to 30 s.

    *pack_share* of all are packed into windows of that length, and no clip of those is padded.
    """
    padded = np.maximum(frames, shape.window_frames)
    own, full = (
        float(training_flops(shape, length, tokens, freeze_encoder=freeze_encoder).sum()) for length in (frames, padded)
    )
    single = (1 - full_context_share) * own + full_context_share * full
    if not pack_share:
        return single
    window, held = float(shape.window_frames), float(tokens.sum())
    # Full of frames or of tokens, whichever comes first.
    windows = max(float(frames.sum()) / window, held / shape.max_target_positions)
    each = float(training_flops(shape, window, held / windows, freeze_encoder=freeze_encoder))
    return (1 - pack_share) * single + pack_share * windows * each


def peak_flops(device_name: str) -> float | None:
    """Operations a second of the device that `torch.cuda.get_device_name` calls *device_name*, None when unknown.

    Dense fp16 with fp32 accumulation. Laptop versions are unknown: they share names, not speeds.
    """
    words = [word for word in re.split(r"[ -]+", device_name) if not _NO_NAME.fullmatch(word)]
    name = " ".join(words).lower()
    known = {each.lower(): tflops * 1e12 for each, tflops in _PEAK_TFLOPS.items()}
    return known.get(name, known.get(name.removesuffix(" pcie")))

"""The positions of Whisper's encoder."""

import math

import torch


def sinusoids(length: int, channels: int) -> torch.Tensor:
    """float32[length, channels]: sines, then cosines, of Whisper's encoder (Radford et al. 2022, after Vaswani et al.

    2017): wavelengths from 2 pi to 10,000 x 2 pi in a geometric series.
    """
    step = math.log(10_000) / (channels // 2 - 1)
    angles = torch.arange(length)[:, None] * torch.exp(-step * torch.arange(channels // 2))
    return torch.cat([angles.sin(), angles.cos()], dim=1)

"""Frames and floating point operations as people think of them: clips, seconds, hours. Pure."""

from shared.schema import HOP_LENGTH, SAMPLING_RATE, WINDOW_FRAMES
from shared.units import format_audio, format_counted, format_seconds

BUSY_SHARES = (0.25, 0.45)
"""What trainings reach of a GPU's peak, from long micro-batches that barely fit to many short clips; no measurement."""


def frame_words(frames: int) -> str:
    """`12,000 frames (2 min 00 s, 4 clips of 30 s)`; clips that are shorter, and more, take the same."""
    seconds, windows = format_seconds(frames * HOP_LENGTH / SAMPLING_RATE), frames // WINDOW_FRAMES
    clips = f", {format_counted(windows, 'clip')} of 30 s" if windows else ""
    return f"{format_counted(frames, 'frame')} ({seconds}{clips})"


def hour_words(flops: float, peak: float, gpus: int) -> str:
    """`40 to 72 h`: how long *gpus* take for *flops*, of which each can do *peak* a second."""
    most, least = (flops / (peak * gpus * share) for share in BUSY_SHARES)
    return f"{format_audio(least)} to {format_audio(most)}, at {_percents()} of what the GPU can do"


def _percents() -> str:
    return " to ".join(f"{100 * share:.0f}" for share in BUSY_SHARES) + " %"


def format_epochs(epochs: float) -> str:
    """`3 epochs`, `2.03 epochs`, `1 epoch`: three digits."""
    words = f"{epochs:.3g}"
    return f"{words} epoch" if words == "1" else f"{words} epochs"

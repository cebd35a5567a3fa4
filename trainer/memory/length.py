"""How long a training takes, from what it computes and what a GPU can do: an expectation, no measurement. Pure."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from shared.schema import HOP_LENGTH, SAMPLING_RATE
from shared.units import format_audio, format_counted
from trainer.memory.words import format_epochs, hour_words
from trainer.model.flops import epoch_flops, peak_flops
from trainer.model.shape import ModelShape

_TOKENS_A_SECOND, _TOKENS_A_CLIP = 4, 5
"""Labels of German speech, besides a prompt and an end."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """Clips to train on, by their *frames* and *tokens*, each of them *times* there."""

    frames: NDArray[np.float64]
    tokens: NDArray[np.float64]
    times: float = 1.0

    @classmethod
    def made_up(cls, audio_hours: float, clip_seconds: float) -> Self:
        """*audio_hours* of clips of *clip_seconds* each, which say as much as people do."""
        frames, tokens = clip_seconds * SAMPLING_RATE / HOP_LENGTH, _TOKENS_A_CLIP + _TOKENS_A_SECOND * clip_seconds
        return cls(np.array([frames]), np.array([tokens]), audio_hours * 3_600 / clip_seconds)

    @property
    def words(self) -> str:
        """`1,000 h of audio in 720,000 clips`."""
        hours = format_audio(self.times * float(self.frames.sum()) * HOP_LENGTH / SAMPLING_RATE)
        return f"{hours} of audio in {format_counted(round(self.times * len(self.frames)), 'clip')}"


@dataclass(frozen=True, slots=True)
class Effort:
    """How a corpus is trained on: *epochs* times, on *gpus* of the name *gpu*; shares are padded to 30 s and packed."""

    epochs: float
    full_context_share: float
    freeze_encoder: bool
    gpu: str
    gpus: int = 1
    pack_share: float = 0.0


def long_lines(shape: ModelShape, corpus: Corpus) -> list[str]:
    """What to know of clips over the model's window, one line; [] where there are none."""
    long = corpus.frames[corpus.frames > shape.window_frames]
    if not len(long):
        return []
    longest, window = float(long.max()) * HOP_LENGTH / SAMPLING_RATE, shape.limits.window_seconds
    clips = format_counted(round(corpus.times * len(long)), "clip")
    found = f"{clips} over {window:g} s, the longest {longest:.1f} s"
    remedy = f"--allow-long-context trains on them, --clip-seconds {longest:.1f} has the table of such clips"
    return [f"{found}: {remedy}"]


def hour_line(shape: ModelShape, corpus: Corpus, effort: Effort) -> str:
    """`3 epochs of 1,000 h of audio in 720,000 clips on 2 x RTX 4060 Ti: 40.2 h to 72.4 h, …`.

    Where the GPU's speed is not known, that.
    """
    what = f"{format_epochs(effort.epochs)} of {corpus.words} on {effort.gpus} x {effort.gpu}"
    peak = peak_flops(effort.gpu)
    if peak is None:
        return (
            f"{what}: its speed is not known here; the first steps of a training will tell, or name another with --gpu"
        )
    share, frozen = effort.full_context_share, effort.freeze_encoder
    flops = epoch_flops(
        shape,
        corpus.frames,
        corpus.tokens,
        full_context_share=share,
        freeze_encoder=frozen,
        pack_share=effort.pack_share,
    )
    return f"{what}: {hour_words(effort.epochs * corpus.times * flops, peak, effort.gpus)}"

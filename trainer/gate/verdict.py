"""What the gate knows of an export, and what it says: plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from shared.text import normalise_transcript
from trainer.telemetry.records import WordErrors

TOSS_UP = 1e-3
"""Nats per token; float16 weights move a score by about 1e-4."""


class Decoding(StrEnum):
    """How RealtimeSTT decodes: one temperature, no prompt, five beams where nothing else is said.

    The value stands beside every figure.
    """

    BATCHED = "no timestamps"
    """`AudioToTextRecorder`'s default, `batch_size=16`: faster-whisper's batched pipeline, which leaves them out."""
    SEQUENTIAL = "timestamps"
    """`batch_size=0`: faster-whisper's sequential path, with timestamp tokens and their rules."""
    REALTIME = "realtime, 3 beams"
    """`enable_realtime_transcription`: as the first, with `beam_size_realtime=3`."""


@dataclass(frozen=True, slots=True)
class Pair:
    """What both models say under one decoding.

    *margin*: by how many nats per token the original finds its own transcript better than the export's; inf where the
    export's text is not what the original's tokenizer makes of the same tokens.
    """

    original: str
    export: str
    margin: float

    @property
    def equal(self) -> bool:
        """Equal but for white space and Unicode composition."""
        return normalise_transcript(self.original) == normalise_transcript(self.export)

    @property
    def toss_up(self) -> bool:
        """Not equal, but equally good to the original."""
        return not self.equal and self.margin <= TOSS_UP


@dataclass(frozen=True, slots=True)
class Comparison:
    """One clip with original and export.

    *encoder_error*: |export - original| / |original| (L2) of what the encoder makes of the clip itself, without the
    padding that follows. *divergence*: mean Kullback-Leibler divergence of the next token's distributions, in nats,
    over *tokens* places after the reference's own tokens;
    *same_tokens* are those where both find the same token likeliest.
    """

    row_id: int
    reference: str
    pairs: Mapping[Decoding, Pair]
    encoder_error: float
    divergence: float
    tokens: int
    same_tokens: int


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that rounding explains of the typical encoder error and the mean divergence; and the least agreement."""

    encoder_error: float
    divergence: float
    same_tokens: float


@dataclass(frozen=True, slots=True)
class Tolerance:
    """The least share of transcripts that must be *equal*, or as good; and the most that word error rates may differ.

    Of rates in either direction, 1 is 100 %.
    """

    equal: float
    difference: float


@dataclass(frozen=True, slots=True)
class Figures:
    """The typical row's encoder error, the mean divergence, and the share of equal next tokens, with their limits."""

    encoder_error: float
    divergence: float
    same_tokens: float
    limits: Limits


@dataclass(frozen=True, slots=True)
class Agreement:
    """The transcripts of both models under one decoding; rates by normaliser, 1 is 100 %.

    *difference* is the export's WER less the original's, raw, and *settled* the same with toss-ups as the original has
    them: that one is judged.
    """

    decoding: Decoding
    rows: int
    equal: int
    toss_ups: int
    original: Mapping[str, WordErrors]
    export: Mapping[str, WordErrors]
    difference: float
    settled: float

    @property
    def share(self) -> float:
        """The share of rows that are equal, or a toss-up."""
        return (self.equal + self.toss_ups) / self.rows


@dataclass(frozen=True, slots=True)
class GateVerdict:
    """What the gate says of one export; *problems* are why it failed, [] when it did not.

    *tolerance* is what its transcripts were judged by. *worst* are the rows that differ most.
    """

    tolerance: Tolerance
    problems: Sequence[str]
    figures: Figures | None
    agreements: Sequence[Agreement]
    worst: Sequence[Comparison]


@dataclass(frozen=True, slots=True)
class Checked:
    """An export after the gate; *computed* is the type it really ran in, "" where it did not run.

    *speed* is audio seconds per second of one clip after the other, without timestamps; None where nothing ran.
    """

    folder: Path
    stored: str
    computed: str
    verdict: GateVerdict
    speed: float | None

    @property
    def computed_otherwise(self) -> bool:
        """Whether the device lacks the type that the weights are stored in; int8 alone leaves the rest to it."""
        own = self.stored == "int8" and self.computed.startswith("int8")
        return bool(self.computed) and self.computed != self.stored and not own


@dataclass(frozen=True, slots=True)
class GateRun:
    """What the gate found on *rows* clips of *audio_seconds*; *original_speed* is as `Checked.speed`."""

    split: str
    rows: int
    audio_seconds: float
    device: str
    original_speed: float | None
    exports: Sequence[Checked]

    @property
    def passed(self) -> bool:
        """Whether every export may be used."""
        return not any(export.verdict.problems for export in self.exports)

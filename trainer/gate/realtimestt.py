"""A model as RealtimeSTT uses it: one clip heard under both of its decodings.

Options are those that faster-whisper itself makes of RealtimeSTT's call (`FasterWhisperEngine.transcribe`): five beams,
no prompt, the default suppressed tokens. Left out is what says nothing of the model: VAD, as clips are speech; sampling
at higher temperatures when a transcript looks bad, which is chance; the second look at what follows a clip's last
timestamp, and leaving out what was probably no speech.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from faster_whisper import BatchedInferencePipeline
from faster_whisper.tokenizer import Tokenizer
from numpy.typing import NDArray

from shared.errors import UsageError
from shared.schema import SAMPLING_RATE
from shared.system.read_errors import refuse_unreadable
from trainer.data.dataset import PROMPT_LABELS
from trainer.gate.models import ExportedModel, OriginalModel
from trainer.gate.verdict import Decoding

_BEAM_SIZE = 5
"""RealtimeSTT's `beam_size`."""
_BATCH_SIZE = 16
"""RealtimeSTT's `batch_size`: more than 0 selects the batched pipeline, whose batches are windows of one recording."""
_FORCED_LABELS = 64
"""Text labels of a row after which next tokens are compared."""
Features = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class HeardClip:
    """What one model makes of one clip; *tokens* and *texts* by decoding.

    *seconds* are the encoder's and the first decoding's.
    """

    encoded: Any
    next_tokens: NDArray[np.float64]
    tokens: Mapping[Decoding, list[int]]
    texts: Mapping[Decoding, str]
    seconds: float


@dataclass(slots=True)
class RealtimeSTTModel:
    """A model with RealtimeSTT's options for *language*."""

    model: Any
    language: str
    tokenizer: Tokenizer = field(init=False)
    options: Mapping[Decoding, Any] = field(init=False)

    def __post_init__(self) -> None:
        known = self.model.hf_tokenizer.token_to_id(f"<|{self.language}|>") is not None
        self.tokenizer = Tokenizer(self.model.hf_tokenizer, known, task="transcribe", language=self.language)
        self.options = _realtimestt_options(self.model, self.language)

    def hear(self, features: Features, labels: Sequence[int]) -> HeardClip:
        """What is said in *features* float32[mel bins, frames] whose labels are *labels*."""
        started = perf_counter()
        pipeline = BatchedInferencePipeline(self.model)
        batched = self.options[Decoding.BATCHED]
        encoded, found = pipeline.generate_segment_batched(features[None], self.tokenizer, batched)
        seconds = perf_counter() - started
        sequential = self.options[Decoding.SEQUENTIAL]
        result, *_ = self.model.generate_with_fallback(encoded, self.prompt(sequential), self.tokenizer, sequential)
        tokens = {Decoding.BATCHED: found[0]["tokens"], Decoding.SEQUENTIAL: result.sequences_ids[0]}
        forced = labels[: PROMPT_LABELS + _FORCED_LABELS][:-1]
        return HeardClip(
            encoded=encoded,
            next_tokens=self.model.next_tokens(encoded, forced, PROMPT_LABELS),
            tokens=tokens,
            texts={decoding: self.tokenizer.decode(ids).strip() for decoding, ids in tokens.items()},
            seconds=seconds,
        )

    def prompt(self, options: Any) -> list[int]:
        """The tokens before what is said under *options*."""
        prompt: list[int] = self.model.get_prompt(self.tokenizer, [], without_timestamps=options.without_timestamps)
        return prompt

    def score(self, encoded: Any, decoding: Decoding, tokens: Sequence[int]) -> float:
        """Log probability per token that this model, an original, gives to *tokens* under *decoding*."""
        options = self.options[decoding]
        score: float = self.model.model.score(
            encoded,
            self.prompt(options),
            tokens,
            suppress_blank=options.suppress_blank,
            suppress_tokens=options.suppress_tokens,
            max_initial_timestamp_index=round(options.max_initial_timestamp / self.model.time_precision),
        )
        return score


def _realtimestt_options(model: Any, language: str) -> dict[Decoding, Any]:
    """faster-whisper's `TranscriptionOptions` as RealtimeSTT's calls make them, at the first temperature alone."""
    silence = np.zeros(SAMPLING_RATE, np.float32)
    call = {"beam_size": _BEAM_SIZE, "initial_prompt": None, "vad_filter": False} | _language(model, language)
    # Both return a generator that has not begun.
    _, batched = BatchedInferencePipeline(model).transcribe(
        silence, suppress_tokens=[-1], batch_size=_BATCH_SIZE, **call
    )
    _, sequential = model.transcribe(silence, suppress_tokens=[-1], **call)
    return {
        Decoding.BATCHED: batched.transcription_options,
        Decoding.SEQUENTIAL: replace(sequential.transcription_options, temperatures=[0.0]),
    }


def transcribe_file(model: OriginalModel | ExportedModel, path: Path, language: str) -> str:
    """What *model* hears in the audio file *path*, from its samples on, with RealtimeSTT's sequential call.

    May be empty. Raises UsageError where the file cannot be read.
    """
    try:
        segments, _ = model.transcribe(
            str(path),
            beam_size=_BEAM_SIZE,
            suppress_tokens=[-1],
            vad_filter=False,
            temperature=0.0,
            **_language(model, language),
        )
    except (OSError, ValueError) as error:
        refuse_unreadable(path, error)
        raise UsageError(f"--sample {path} cannot be read: {error}", "name a WAV, FLAC or MP3 file") from error
    return " ".join(segment.text for segment in segments).strip()


def _language(model: Any, language: str) -> dict[str, str]:
    """The language to name: faster-whisper takes a small vocabulary for an English model's, and warns of any other."""
    return {"language": language if model.model.is_multilingual else "en"}

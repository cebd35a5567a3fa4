"""A model as RealtimeSTT uses it: one clip heard under each of its decodings.

Options are those that faster-whisper itself makes of RealtimeSTT's call (`FasterWhisperEngine.transcribe`): five beams,
or three in its realtime lane, no prompt, the default suppressed tokens. `hear` leaves out what says nothing of the
model: sampling at higher temperatures when a transcript looks bad, which is chance; the second look at what follows a
clip's last timestamp, and leaving out what was probably no speech. `whole_call` leaves out the first of these alone.
Neither torch nor transformers is imported here: an export runs in a process of its own (`apart.py`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any

import numpy as np
from faster_whisper import BatchedInferencePipeline
from faster_whisper.tokenizer import Tokenizer
from numpy.typing import NDArray

from shared.schema import SAMPLING_RATE
from trainer.data.dataset import PROMPT_LABELS
from trainer.gate.exported import as_array
from trainer.gate.verdict import Decoding

_BEAM_SIZE, _REALTIME_BEAM_SIZE = 5, 3
"""RealtimeSTT's `beam_size` and `beam_size_realtime`."""
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


@dataclass(frozen=True, slots=True)
class WholeCall:
    """What RealtimeSTT is answered for a recording of *seconds*: *text*, and its *words* as (word, start, end)."""

    text: str
    words: Sequence[tuple[str, float, float]]
    seconds: float

    @property
    def problem(self) -> str:
        """What is wrong with the words' times, in words; empty where nothing is."""
        if any(character.isalnum() for character in self.text) and not self.words:
            return "a text came without words"
        for word, start, end in self.words:
            if not 0 <= start <= end < math.inf:
                return f"the word {word!r} lasts from {start} to {end} s"
        return ""


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

    def hear(self, features: Features, labels: Sequence[int], apart: bool = False) -> HeardClip:
        """What is said in *features* float32[mel bins, frames] whose labels are *labels*; *apart*: as plain arrays."""
        started = perf_counter()
        pipeline = BatchedInferencePipeline(self.model)
        batched = self.options[Decoding.BATCHED]
        encoded, found = pipeline.generate_segment_batched(features[None], self.tokenizer, batched)
        seconds = perf_counter() - started
        tokens = {Decoding.BATCHED: found[0]["tokens"]}
        for decoding in (Decoding.SEQUENTIAL, Decoding.REALTIME):
            options = self.options[decoding]
            result, *_ = self.model.generate_with_fallback(encoded, self.prompt(options), self.tokenizer, options)
            tokens[decoding] = result.sequences_ids[0]
        forced = labels[: PROMPT_LABELS + _FORCED_LABELS][:-1]
        return HeardClip(
            encoded=as_array(encoded) if apart else encoded,
            next_tokens=self.model.next_tokens(encoded, forced, PROMPT_LABELS),
            tokens=tokens,
            texts={decoding: self.tokenizer.decode(ids).strip() for decoding, ids in tokens.items()},
            seconds=seconds,
        )

    def prompt(self, options: Any) -> list[int]:
        """The tokens before what is said under *options*."""
        prompt: list[int] = self.model.get_prompt(self.tokenizer, [], without_timestamps=options.without_timestamps)
        return prompt

    def whole_call(self, samples: NDArray[np.float32], words: bool) -> WholeCall:
        """What its realtime lane is answered for *samples*, with times of *words* where asked.

        Where the VAD filter takes them for no speech they are heard without it.
        """
        call: dict[str, Any] = {"beam_size": _REALTIME_BEAM_SIZE, "batch_size": _BATCH_SIZE, "initial_prompt": None}
        call |= {"suppress_tokens": [-1], "temperature": 0.0, "word_timestamps": words}
        call |= _language(self.model, self.language)
        segments, info = BatchedInferencePipeline(self.model).transcribe(samples, vad_filter=True, **call)
        found = list(segments)
        if not info.duration_after_vad and samples.any():
            whole = [{"start": 0.0, "end": len(samples) / SAMPLING_RATE}]
            call |= {"vad_filter": False, "clip_timestamps": whole}
            found = list(BatchedInferencePipeline(self.model).transcribe(samples, **call)[0])
        timed = [(word.word, float(word.start), float(word.end)) for each in found for word in each.words or []]
        return WholeCall(" ".join(each.text for each in found).strip(), timed, float(info.duration))

    def transcribe(self, samples: NDArray[np.float32]) -> str:
        """What RealtimeSTT's sequential call hears in *samples*, from the first of them on; may be empty."""
        segments, _ = self.model.transcribe(
            samples,
            beam_size=_BEAM_SIZE,
            suppress_tokens=[-1],
            vad_filter=False,
            temperature=0.0,
            **_language(self.model, self.language),
        )
        return " ".join(segment.text for segment in segments).strip()

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
        Decoding.REALTIME: replace(batched.transcription_options, beam_size=_REALTIME_BEAM_SIZE),
    }


def _language(model: Any, language: str) -> dict[str, str]:
    """The language to name: faster-whisper takes a small vocabulary for an English model's, and warns of any other."""
    return {"language": language if model.model.is_multilingual else "en"}

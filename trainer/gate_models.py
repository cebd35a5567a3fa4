"""Original and export behind one interface, faster-whisper's own, so that both are decoded by the same code.

The original is a `faster_whisper.WhisperModel` in which transformers does what CTranslate2 does elsewhere. Its beam
search is made to keep CTranslate2's rules: it ends when as many hypotheses as beams are complete, tokens are
suppressed before probabilities are normalised, and a hypothesis' score is its log probability over its tokens without
the last, `<|endoftext|>`. A float32 export then gives the same tokens as the original in every row.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
import torch
from faster_whisper import WhisperModel
from faster_whisper.feature_extractor import FeatureExtractor
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import GenerationConfig, LogitsProcessorList, WhisperFeatureExtractor
from transformers.generation.logits_process import (
    SuppressTokensAtBeginLogitsProcessor,
    SuppressTokensLogitsProcessor,
    WhisperTimeStampLogitsProcessor,
)
from transformers.generation.utils import GenerationMixin
from transformers.modeling_outputs import BaseModelOutput

from shared.schema import HOP_LENGTH, SAMPLING_RATE
from trainer.model import load_model

_MULTILINGUAL = 51_865
"""CTranslate2 takes a vocabulary of at least so many tokens for a multilingual model's."""
_NEVER = -1e8
"""transformers' score for a place that no hypothesis took."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What `ctranslate2.models.WhisperGenerationResult` holds, as far as faster-whisper reads it."""

    sequences_ids: list[list[int]]
    scores: list[float]
    no_speech_prob: float


class OriginalEngine:
    """A transformers Whisper with the calls that faster-whisper makes of `ctranslate2.models.Whisper`."""

    def __init__(self, whisper: Any, tokenizer: Tokenizer, device: str) -> None:
        self.whisper = whisper.to(device)
        self.generation = whisper.generation_config
        self.device, self.device_index = device, [0]
        self.n_mels = whisper.config.num_mel_bins
        self.is_multilingual = whisper.config.vocab_size >= _MULTILINGUAL
        self.compute_type = "float32"
        self._end = int(whisper.config.eos_token_id)
        self._start = int(whisper.config.decoder_start_token_id)
        self._no_timestamps = tokenizer.token_to_id("<|notimestamps|>")
        self._no_speech = tokenizer.token_to_id("<|nospeech|>") or tokenizer.token_to_id("<|nocaptions|>")

    @torch.no_grad()
    def encode(self, features: NDArray[np.float32]) -> torch.Tensor:
        """Hidden states [rows, positions, d_model] of *features* float32[rows, mel bins, frames]."""
        values = torch.from_numpy(np.ascontiguousarray(features, np.float32)).to(self.device)
        hidden: torch.Tensor = self.whisper.model.encoder(values).last_hidden_state
        return hidden

    @torch.no_grad()
    def generate(
        self,
        encoded: torch.Tensor,
        prompts: Sequence[Sequence[int]],
        *,
        beam_size: int = 5,
        max_length: int = 448,
        suppress_blank: bool = True,
        suppress_tokens: Sequence[int] = (),
        max_initial_timestamp_index: int = 50,
        **same: Any,  # noqa: ARG002 - what RealtimeSTT leaves at the values that change nothing
    ) -> list[Hypothesis]:
        """The best hypothesis after each of *prompts*, which are of one length."""
        prompt = torch.tensor(prompts, device=self.device)
        length = prompt.shape[1]
        rules = self._rules(prompts[0], suppress_blank, suppress_tokens, max_initial_timestamp_index)
        config = GenerationConfig(
            num_beams=beam_size,
            num_return_sequences=beam_size,
            early_stopping=True,
            length_penalty=1.0,
            renormalize_logits=True,
            # CTranslate2 leaves half of the places to the prompt.
            max_length=length + min(max_length // 2, max_length - length),
            # Empty, not None: None would be filled in from the model's own.
            suppress_tokens=[],
            begin_suppress_tokens=[],
            eos_token_id=self._end,
            pad_token_id=self._end,
            return_dict_in_generate=True,
            output_scores=True,
        )
        plain: Any = GenerationMixin.generate
        found = plain(
            self.whisper,
            encoder_outputs=BaseModelOutput(last_hidden_state=encoded),
            attention_mask=torch.ones(encoded.shape[:2], dtype=torch.int64, device=self.device),
            decoder_input_ids=prompt,
            decoder_attention_mask=torch.ones_like(prompt),
            generation_config=config,
            logits_processor=rules,
        )
        silence = self._silence(encoded)
        groups = zip(found.sequences[:, length:].split(beam_size), found.sequences_scores.split(beam_size), strict=True)
        return [self._best(*group, silence[row]) for row, group in enumerate(groups)]

    def _best(self, sequences: torch.Tensor, scores: torch.Tensor, silence: float) -> Hypothesis:
        """The best of one row's hypotheses, as CTranslate2 ranks them; an empty one only where there is no other."""
        best: tuple[float, list[int]] = (float("-inf"), [])
        for ids, score in zip(sequences.tolist(), scores.tolist(), strict=True):
            tokens = ids[: ids.index(self._end)] if self._end in ids else ids
            steps = min(len(tokens) + 1, len(ids))
            if tokens and score > _NEVER:
                best = max(best, (score * steps / len(tokens), tokens))
        return Hypothesis([best[1]], [best[0]], silence)

    @torch.no_grad()
    def score(self, encoded: torch.Tensor, prompt: Sequence[int], tokens: Sequence[int], **options: Any) -> float:
        """Log probability per token of *tokens* and an end after *prompt*, under the rules of `generate`'s *options*.

        *encoded* is one row's. -inf where the rules forbid a token, and for no tokens.
        """
        if not tokens:
            return float("-inf")
        ids = torch.tensor([[*prompt, *tokens, self._end]], device=self.device)
        logits = self.whisper(
            encoder_outputs=BaseModelOutput(last_hidden_state=encoded), decoder_input_ids=ids[:, :-1]
        ).logits
        rules = self._rules(
            prompt, options["suppress_blank"], options["suppress_tokens"], options["max_initial_timestamp_index"]
        )
        total = 0.0
        for place in range(len(prompt), ids.shape[1]):
            allowed = rules(ids[:, :place], logits[:, place - 1].log_softmax(-1)).log_softmax(-1)
            total += float(allowed[0, ids[0, place]])
        return total / len(tokens)

    @torch.no_grad()
    def next_tokens(self, encoded: torch.Tensor, labels: Sequence[int]) -> NDArray[np.float64]:
        """Log probabilities [labels, vocabulary] of the token after each of *labels*, without any rule."""
        inputs = torch.tensor([labels], device=self.device)
        output = self.whisper(encoder_outputs=BaseModelOutput(last_hidden_state=encoded), decoder_input_ids=inputs)
        found: NDArray[np.float64] = output.logits[0].double().log_softmax(-1).cpu().numpy()
        return found

    def _rules(
        self, prompt: Sequence[int], suppress_blank: bool, suppress_tokens: Sequence[int], max_initial_timestamp: int
    ) -> LogitsProcessorList:
        """What may not be said: *suppress_tokens*, nothing at all, and timestamps out of order."""
        rules = LogitsProcessorList([SuppressTokensLogitsProcessor(list(suppress_tokens), device=self.device)])
        if suppress_blank:
            begin = list(self.generation.begin_suppress_tokens or [])
            rules.append(SuppressTokensAtBeginLogitsProcessor(begin, len(prompt), device=self.device))
        if self._no_timestamps not in prompt:
            config = GenerationConfig(eos_token_id=self._end)
            config.no_timestamps_token_id = self._no_timestamps
            config.max_initial_timestamp_index = max_initial_timestamp
            rules.append(WhisperTimeStampLogitsProcessor(config, begin_index=len(prompt)))
        return rules

    def _silence(self, encoded: torch.Tensor) -> list[float]:
        """For each row, the probability that nothing is said: of `<|nospeech|>` after the start token."""
        start = torch.full((len(encoded), 1), self._start, device=self.device)
        output = self.whisper(encoder_outputs=BaseModelOutput(last_hidden_state=encoded), decoder_input_ids=start)
        return [float(value) for value in output.logits[:, 0].softmax(-1)[:, self._no_speech]]


class OriginalFeatures(FeatureExtractor):  # type: ignore[misc] - faster-whisper ships no types
    """faster-whisper's feature extractor, in which transformers' computes the features."""

    def __init__(self, checkpoint: Path, num_mel_bins: int) -> None:
        super().__init__(feature_size=num_mel_bins)
        self._extractor = WhisperFeatureExtractor.from_pretrained(checkpoint)

    def __call__(self, waveform: NDArray[np.float32], padding: int = HOP_LENGTH, **_: Any) -> NDArray[np.float32]:
        """log-mel float32[mel bins, frames] of *waveform*, 16 kHz mono, and *padding* samples of silence."""
        padded = np.pad(waveform, (0, padding))
        features = self._extractor(
            padded, sampling_rate=SAMPLING_RATE, padding="do_not_pad", truncation=False, return_tensors="np"
        )
        found: NDArray[np.float32] = features["input_features"][0]
        return found


class OriginalModel(WhisperModel):  # type: ignore[misc] - faster-whisper ships no types
    """The checkpoint as a `WhisperModel`, with `OriginalEngine` in CTranslate2's place; float32."""

    def __init__(self, checkpoint: Path, device: str) -> None:
        """Loads *checkpoint* to *device* ("cpu" or "cuda"). Raises UsageError where it cannot be loaded."""
        self.hf_tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
        whisper = load_model(str(checkpoint)).train(mode=False)
        self.model = OriginalEngine(whisper, self.hf_tokenizer, device)
        # What WhisperModel's own __init__ sets besides the engine.
        self.logger = logging.getLogger("faster_whisper")
        self.feature_extractor = OriginalFeatures(checkpoint, self.model.n_mels)
        self.input_stride = 2
        self.num_samples_per_token = HOP_LENGTH * self.input_stride
        self.frames_per_second = SAMPLING_RATE // HOP_LENGTH
        self.tokens_per_second = SAMPLING_RATE // self.num_samples_per_token
        self.time_precision = 0.02
        self.max_length = 448

    def encode(self, features: NDArray[np.float32]) -> torch.Tensor:
        """As `WhisperModel.encode`, in torch."""
        return self.model.encode(features if features.ndim == 3 else features[None])  # noqa: PLR2004 - rows, bins, frames

    def next_tokens(self, encoded: torch.Tensor, labels: Sequence[int], prompt_labels: int) -> NDArray[np.float64]:
        """Log probabilities [places, vocabulary] after each of *labels* from the last of *prompt_labels* on."""
        return self.model.next_tokens(encoded, labels)[prompt_labels - 1 :]


class ExportedModel(WhisperModel):  # type: ignore[misc] - faster-whisper ships no types
    """An export as faster-whisper loads it."""

    def next_tokens(self, encoded: Any, labels: Sequence[int], prompt_labels: int) -> NDArray[np.float64]:
        """As `OriginalModel.next_tokens`.

        CTranslate2 is given *labels* as a prompt; of the text in a prompt it tells the logits step by step.
        """
        found = self.model.generate(
            encoded,
            [list(labels)],
            beam_size=1,
            max_length=2 * len(labels) + 2,
            suppress_blank=False,
            suppress_tokens=[],
            return_logits_vocab=True,
        )[0]
        places = len(labels) - prompt_labels + 1
        logits = np.stack([as_array(step).reshape(-1) for step in found.logits[0][:places]]).astype(np.float64)
        shifted = logits - logits.max(axis=-1, keepdims=True)
        log_probabilities: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
        return log_probabilities


def load_export(folder: Path, device: str, threads: int) -> ExportedModel:
    """The export in *folder*, computed in its own type or what *device* has instead; RuntimeError if it cannot be."""
    before = ctranslate2.get_log_level()
    # It warns of a type that the device lacks; the table says so in words.
    ctranslate2.set_log_level(logging.ERROR)
    try:
        return ExportedModel(str(folder), device=device, cpu_threads=threads)
    finally:
        ctranslate2.set_log_level(before)


def as_array(value: Any) -> NDArray[np.float32]:
    """A tensor of either library as float32, on the CPU."""
    if isinstance(value, torch.Tensor):
        return value.float().cpu().numpy()
    moved = value.to(ctranslate2.DataType.float32).to_device(ctranslate2.Device.cpu)
    return np.array(moved)

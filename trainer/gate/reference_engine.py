"""A transformers Whisper that decodes as CTranslate2 does, for faster-whisper to run.

Its beam search is made to keep CTranslate2's rules: it ends when as many hypotheses as beams are complete, tokens are
suppressed before probabilities are normalised, and a hypothesis' score is its log probability over its tokens without
the last, `<|endoftext|>`. A float32 export then gives the same tokens as the original.

Such an export would decode several times faster in its place, and would agree with every other on what all conversions
get wrong alike: one that forgets the tokens suppressed at the beginning says something else, and only this tells.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import GenerationConfig, LogitsProcessorList
from transformers.generation.logits_process import (
    SuppressTokensAtBeginLogitsProcessor,
    SuppressTokensLogitsProcessor,
    WhisperTimeStampLogitsProcessor,
)
from transformers.modeling_outputs import BaseModelOutput

from shared.errors import UsageError
from trainer.model.generation import END, PLAIN, generate_stated

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
        # torch computes a GPU's convolutions in ten bits otherwise, in which a right export would differ.
        torch.backends.cudnn.allow_tf32 = False
        self.whisper = whisper.to(device)
        self.generation = whisper.generation_config
        self.device, self.device_index = device, [0]
        self.n_mels = whisper.config.num_mel_bins
        self.is_multilingual = whisper.config.vocab_size >= _MULTILINGUAL
        self.compute_type = "float32"
        # By name, as CTranslate2 finds them: a config.json may state another model's numbers.
        self._end, self._start = (_required(tokenizer, token) for token in (END, "<|startoftranscript|>"))
        self._no_timestamps = tokenizer.token_to_id("<|notimestamps|>")
        silent = (tokenizer.token_to_id(token) for token in ("<|nospeech|>", "<|nocaptions|>"))
        self._no_speech = next((token for token in silent if token is not None), None)

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
        stated = {
            "num_beams": beam_size,
            "num_return_sequences": beam_size,
            "early_stopping": True,
            "renormalize_logits": True,
            # CTranslate2 leaves half of the places to the prompt.
            "max_length": length + min(max_length // 2, max_length - length),
            "suppress_tokens": list(suppress_tokens),
            "begin_suppress_tokens": self._begin(suppress_blank),
            "eos_token_id": self._end,
            "pad_token_id": self._end,
            "return_dict_in_generate": True,
            "output_scores": True,
            "use_cache": True,
        }
        found = generate_stated(
            self.whisper,
            _config(**{**PLAIN, **stated}),
            encoded=BaseModelOutput(last_hidden_state=encoded),
            prompt=prompt,
            logits_processor=self._timestamp_rules(prompts[0], max_initial_timestamp_index),
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
        begin = self._begin(options["suppress_blank"])
        rules: Any = LogitsProcessorList(
            [
                SuppressTokensLogitsProcessor(list(options["suppress_tokens"]), device=self.device),
                SuppressTokensAtBeginLogitsProcessor(begin, len(prompt), device=self.device),
                *self._timestamp_rules(prompt, options["max_initial_timestamp_index"]),
            ]
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

    def _begin(self, suppress_blank: bool) -> list[int]:
        """What may not be said first."""
        return list(self.generation.begin_suppress_tokens or []) if suppress_blank else []

    def _timestamp_rules(self, prompt: Sequence[int], max_initial_timestamp: int) -> LogitsProcessorList:
        """That timestamps come in order and in pairs, where *prompt* asks for any."""
        if self._no_timestamps in prompt:
            return LogitsProcessorList()
        config = _config(
            eos_token_id=self._end,
            no_timestamps_token_id=self._no_timestamps,
            max_initial_timestamp_index=max_initial_timestamp,
        )
        return LogitsProcessorList([WhisperTimeStampLogitsProcessor(config, begin_index=len(prompt))])

    def _silence(self, encoded: torch.Tensor) -> list[float]:
        """For each row, the probability that nothing is said: of `<|nospeech|>` after the start token; 0 without it."""
        if self._no_speech is None:
            return [0.0] * len(encoded)
        start = torch.full((len(encoded), 1), self._start, device=self.device)
        output = self.whisper(encoder_outputs=BaseModelOutput(last_hidden_state=encoded), decoder_input_ids=start)
        return [float(value) for value in output.logits[:, 0].softmax(-1)[:, self._no_speech]]


def _required(tokenizer: Tokenizer, token: str) -> int:
    number = tokenizer.token_to_id(token)
    if number is None:
        raise UsageError(f"the checkpoint's tokenizer has no {token}", "bring the tokenizer.json of its base model")
    return int(number)


def _config(**values: Any) -> Any:
    make: Any = GenerationConfig
    return make(**values)

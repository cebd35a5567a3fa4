"""Finding what a model says, under settings that are all stated here: the same for every model.

transformers fills in what nobody states from the model's own `generation_config.json`: bans of repeated words, several
sequences, a length. With those, two models are not compared, but two files.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from tokenizers import Tokenizer
from transformers import GenerationConfig, WhisperForConditionalGeneration
from transformers.generation.utils import GenerationMixin

from shared.errors import UsageError, first_line

END = "<|endoftext|>"
_NEVER_SAID = (
    "<|startoftranscript|>",
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nospeech|>",
    "<|nocaptions|>",
)
"""As in OpenAI's own decoding. What stands for sounds (brackets, notes) may be said: transcripts may hold it."""
PLAIN: Mapping[str, Any] = {
    "do_sample": False,
    "num_beams": 1,
    "length_penalty": 1.0,
    "early_stopping": False,
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "typical_p": 1.0,
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "bad_words_ids": None,
    "sequence_bias": None,
    "min_length": 0,
    "min_new_tokens": None,
    "max_new_tokens": None,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
    "exponential_decay_length_penalty": None,
    "renormalize_logits": False,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
    "num_return_sequences": 1,
}
"""What decides which tokens are found, besides what may not be said; and what it is where nothing was asked for."""
_TOKENS = ("suppress_tokens", "begin_suppress_tokens")


@dataclass(frozen=True, slots=True)
class Decoding:
    """How a model is asked: *num_beams*, *end* token, and what is never said, or not first.

    *own* are the model's own settings, which then hold in place of these; None for ours.
    """

    num_beams: int
    end: int
    never: tuple[int, ...]
    not_first: tuple[int, ...]
    own: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, tokenizer: Tokenizer, num_beams: int = 1, own: Mapping[str, Any] | None = None) -> Self:
        """Whisper's own rules in *tokenizer*'s ids: no special token but the end, and neither it nor a blank first.

        Raises UsageError for a tokenizer without an end.
        """
        end = tokenizer.token_to_id(END)
        if end is None:
            raise UsageError(f"the tokenizer has no {END}", "use a multilingual Whisper model's tokenizer")
        never = (tokenizer.token_to_id(token) for token in _NEVER_SAID)
        blank = tokenizer.encode(" ", add_special_tokens=False).ids
        return cls(num_beams, end, tuple(token for token in never if token is not None), (*blank[:1], end), own)

    @property
    def words(self) -> str:
        """All of it in words, to stand beside a figure."""
        search = "greedy" if self.num_beams == 1 else f"beam of {self.num_beams}"
        if self.own is not None:
            before = "" if "num_beams" in self.own or self.own.get("do_sample") else f"{search}, "
            return f"{before}the model's own settings ({describe(self.own) or 'plain'})"
        return f"{search}, no penalties or bans but of special tokens and a blank at the start"

    def config(self, max_length: int) -> GenerationConfig:
        """For transformers, with nothing left open; no transcript is longer than *max_length*, the prompt included."""
        ours = {"suppress_tokens": list(self.never), "begin_suppress_tokens": list(self.not_first)}
        asked = ours if self.own is None else own_settings(self.own)
        settings: dict[str, Any] = {**PLAIN, "num_beams": self.num_beams, **asked, "num_return_sequences": 1}
        if isinstance(longest := settings.pop("max_length", None), int):
            max_length = min(max_length, longest)
        return _config(**settings, max_length=max_length, eos_token_id=self.end, pad_token_id=self.end)


def _config(**settings: Any) -> GenerationConfig:
    make: Any = GenerationConfig
    found: GenerationConfig = make(**settings, use_cache=True, return_dict_in_generate=False)
    return found


def own_settings(generation: Mapping[str, Any]) -> dict[str, Any]:
    """What of *generation*, a parsed `generation_config.json`, decides which tokens are found. Pure."""
    return {
        name: value
        for name, value in generation.items()
        if value is not None and (name in PLAIN or name in _TOKENS or name == "max_length")
    }


def foreign_settings(generation: Mapping[str, Any], max_labels: int) -> dict[str, Any]:
    """Those of `own_settings` that make another search than a plain one, of up to *max_labels* tokens. Pure."""
    own = own_settings(generation)
    lengths = {"max_length": max_labels, "max_new_tokens": max_labels}
    changed = {name: value for name, value in own.items() if name in PLAIN and value != PLAIN[name]}
    short = {name: own[name] for name, most in lengths.items() if isinstance(own.get(name), int) and own[name] < most}
    return {name: value for name, value in changed.items() if name not in lengths} | short


def describe(generation: Mapping[str, Any]) -> str:
    """What *generation* asks for beyond a plain search, in words; "" for nothing. Pure."""
    asked = {name: value for name, value in own_settings(generation).items() if value != PLAIN.get(name)}
    return ", ".join(f"{name} {_short(value)}" for name, value in asked.items())


def _short(value: Any) -> str:
    return f"of {len(value)}" if isinstance(value, list) else str(value)


def search(
    model: WhisperForConditionalGeneration,
    encoded: Any,
    prompt: torch.Tensor,
    *,
    decoding: Decoding,
    max_length: int,
) -> torch.Tensor:
    """Token ids [rows, tokens] that *model* says after *prompt* [rows, tokens], at most *max_length* with the prompt.

    *encoded* are encoder outputs of any length. transformers' plain generation: Whisper's own would pad every clip to
    30 s and cut it into segments. Raises UsageError where the model's own settings cannot be followed together.
    """
    limit = decoding.config(max_length)
    if limit.max_new_tokens is not None:
        # Which would have its way alone.
        limit.max_length = min(max_length, prompt.shape[1] + limit.max_new_tokens)
        limit.max_new_tokens = None
    # A model's own least length may be more than a short clip is given.
    limit.min_length = min(limit.min_length or 0, limit.max_length)
    limit.min_new_tokens = min(limit.min_new_tokens or 0, limit.max_length - prompt.shape[1]) or None
    try:
        found: torch.Tensor = generate_stated(model, limit, encoded=encoded, prompt=prompt)
    except (ValueError, TypeError, IndexError, RuntimeError) as error:
        if decoding.own is None or isinstance(error, torch.OutOfMemoryError):
            raise
        message = f"the model's own generation settings ({describe(decoding.own)}) cannot be followed"
        raise UsageError(f"{message}: {first_line(error)}", "leave --generation-config model out") from error
    return found


def generate_stated(
    model: WhisperForConditionalGeneration, config: GenerationConfig, *, encoded: Any, prompt: torch.Tensor, **more: Any
) -> Any:
    """Transformers' `generate` under *config* alone, with nothing of the model's own settings; *more* goes there."""
    plain: Any = GenerationMixin.generate
    # The prompt begins with it; transformers wants it named all the same.
    config.decoder_start_token_id = int(prompt[0, 0])
    before, model.generation_config = model.generation_config, config
    try:
        return plain(
            model,
            encoder_outputs=encoded,
            attention_mask=torch.ones(encoded.last_hidden_state.shape[:2], dtype=torch.int64, device=prompt.device),
            decoder_input_ids=prompt,
            decoder_attention_mask=torch.ones_like(prompt),
            generation_config=config,
            **more,
        )
    finally:
        model.generation_config = before

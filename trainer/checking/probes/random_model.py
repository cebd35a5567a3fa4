"""Whisper models of random weights: all of a model but what it knows, and nothing is downloaded."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import WhisperConfig, WhisperForConditionalGeneration

from shared.models import whisper_tokens
from shared.text import tokenizer_fingerprint
from trainer.checking.speech import END, START, Vocabulary
from trainer.model.shape import ModelShape
from trainer.model.sinusoids import sinusoids
from trainer.model.whisper import prepare_model

PROMPT = (whisper_tokens.START, "<|de|>", whisper_tokens.TRANSCRIBE, whisper_tokens.NO_TIMESTAMPS)
"""What comes before the text in each label, and before what a probe compares."""


def write_random_model(folder: Path, shape: ModelShape, device: torch.device) -> Vocabulary:
    """Writes a model of *shape*, made on *device*, with a tokenizer to the new *folder*; what labels may consist of.

    The tokenizer has Whisper's special tokens and times at the end, before them bytes and words that nobody says.
    """
    tokenizer = _tokenizer(shape.vocab_size)
    text, ids = tokenizer.to_str(), tokenizer.get_vocab()
    end, prompt = ids[whisper_tokens.END], [ids[token] for token in PROMPT]
    model = random_whisper(shape, device, start=prompt[0], end=end)
    model.save_pretrained(folder)
    # transformers' own is no Whisper's: ours follows from the other files.
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "tokenizer.json").write_text(text, encoding="utf-8")
    return Vocabulary(prompt, range(end), end, tokenizer_fingerprint(text))


def _tokenizer(vocab_size: int) -> Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = vocab_size - len(whisper_tokens.SPECIAL_TOKENS) - len(whisper_tokens.TIMESTAMPS) - len(alphabet)
    tokens = [*alphabet, *(f"Ġ{number:05d}" for number in range(words))]
    tokenizer = Tokenizer(BPE(vocab={token: number for number, token in enumerate(tokens)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    whisper_tokens.add_special_tokens(tokenizer)
    return tokenizer


def random_whisper(
    shape: ModelShape, device: torch.device, *, seed: int = 0, start: int = START, end: int = END
) -> WhisperForConditionalGeneration:
    """A model of *shape* on *device*, in float32 with random weights, ready for training."""
    torch.manual_seed(seed)
    special = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"), end) | {"decoder_start_token_id": start}
    config = WhisperConfig(**shape.to_config() | special)
    config._attn_implementation = "sdpa"  # noqa: SLF001 - transformers has no public name for it
    with device:
        model: WhisperForConditionalGeneration = WhisperForConditionalGeneration(config)
    with torch.no_grad():
        # transformers fills the positions when it loads a model, not when it makes one.
        weight = model.model.encoder.embed_positions.weight
        weight.copy_(sinusoids(*weight.shape))
    prepare_model(model).train()
    return model

"""A tiny Whisper model directory that `transformers` opens: real tokens and shapes, weights that know nothing."""

import json
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors import numpy as safetensors
from tokenizers import Tokenizer

from preprocess.demo.publish import marker, publish
from preprocess.demo.tokenizer import build_tokenizer
from preprocess.demo.weights import Sizes, random_weights
from shared.errors import UsageError
from shared.models.whisper_tokens import (
    END,
    LANGUAGES,
    NO_TIMESTAMPS,
    SPECIAL_TOKENS,
    START,
    START_OF_PREVIOUS,
    TIMESTAMPS,
    TRANSCRIBE,
    TRANSLATE,
)
from shared.schema import HOP_LENGTH, MAX_LABELS, N_FFT, SAMPLING_RATE, WINDOW_FRAMES, WINDOW_SAMPLES, fingerprint

_FORMAT = 1
"""Raised where the same arguments give another model than before."""


def build_model(directory: Path, *, num_mel_bins: int = 80) -> None:
    """Make the model in *directory*, complete or not at all; where it is complete already, return at once.

    About 600 k float32 weights from a fixed seed; the same arguments and package versions give the same bytes. Raises
    `UsageError` where *num_mel_bins* is below 1 or *directory* holds something else.
    """
    if num_mel_bins < 1:
        raise UsageError(f"A model cannot have {num_mel_bins} mel bins.", "Whisper has 80 or, from large-v3 on, 128.")
    makers = {name: version(name) for name in ("tokenizers", "numpy", "safetensors")}
    identity = fingerprint({"format": _FORMAT, "makers": makers, "num_mel_bins": num_mel_bins})
    publish(directory, identity, lambda aside: _write(aside, num_mel_bins, identity))


def _write(directory: Path, num_mel_bins: int, identity: str) -> None:
    tokenizer = build_tokenizer()
    sizes = Sizes(num_mel_bins, tokenizer.get_vocab_size(), max_target_positions=MAX_LABELS)
    tokenizer.save(str(directory / "tokenizer.json"))
    tokenizer.model.save(str(directory))
    files = {
        "config.json": _config(sizes, tokenizer),
        "generation_config.json": _generation_config(tokenizer),
        "preprocessor_config.json": _preprocessor_config(num_mel_bins),
        "tokenizer_config.json": _tokenizer_config(tokenizer),
        "special_tokens_map.json": _special_tokens_map(),
        "added_tokens.json": {token: tokenizer.token_to_id(token) for token in (*SPECIAL_TOKENS, *TIMESTAMPS)},
    }
    for name, content in files.items():
        (directory / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    weights = safetensors.save(random_weights(sizes), metadata={"format": "pt"})
    (directory / "model.safetensors").write_bytes(weights)
    (directory / "README.md").write_text(_card(sizes, identity), encoding="utf-8")


def _config(sizes: Sizes, tokenizer: Tokenizer) -> dict[str, Any]:
    both = {
        f"{side}_{name}": value
        for side in ("encoder", "decoder")
        for name, value in {
            "layers": sizes.num_layers,
            "attention_heads": sizes.num_heads,
            "ffn_dim": sizes.ffn_dim,
        }.items()
    }
    shared = asdict(sizes)
    kept = ("num_mel_bins", "vocab_size", "d_model", "max_source_positions", "max_target_positions")
    return {
        "architectures": ["WhisperForConditionalGeneration"],
        "model_type": "whisper",
        "is_encoder_decoder": True,
        "dtype": "float32",
        "num_hidden_layers": sizes.num_layers,
        **{name: shared[name] for name in kept},
        **both,
        **_token_ids(tokenizer),
    }


def _token_ids(tokenizer: Tokenizer) -> dict[str, Any]:
    """What the model's and the generation's configuration both say."""
    end = tokenizer.token_to_id(END)
    return {
        "bos_token_id": end,
        "eos_token_id": end,
        "pad_token_id": end,
        "decoder_start_token_id": tokenizer.token_to_id(START),
        "begin_suppress_tokens": [tokenizer.token_to_id("Ġ"), end],
    }


def _generation_config(tokenizer: Tokenizer) -> dict[str, Any]:
    ids = {token: tokenizer.token_to_id(token) for token in SPECIAL_TOKENS}
    never_spoken = [START, *SPECIAL_TOKENS[SPECIAL_TOKENS.index(TRANSLATE) : -1]]
    return _token_ids(tokenizer) | {
        "alignment_heads": [[1, 0], [1, 1]],
        "is_multilingual": True,
        "lang_to_id": {f"<|{language}|>": ids[f"<|{language}|>"] for language in LANGUAGES},
        "max_initial_timestamp_index": 50,
        "max_length": MAX_LABELS,
        "no_timestamps_token_id": ids[NO_TIMESTAMPS],
        "prev_sot_token_id": ids[START_OF_PREVIOUS],
        "return_timestamps": False,
        "suppress_tokens": [ids[token] for token in never_spoken],
        "task_to_id": {"transcribe": ids[TRANSCRIBE], "translate": ids[TRANSLATE]},
    }


def _preprocessor_config(num_mel_bins: int) -> dict[str, Any]:
    return {
        "feature_extractor_type": "WhisperFeatureExtractor",
        "processor_class": "WhisperProcessor",
        "feature_size": num_mel_bins,
        "sampling_rate": SAMPLING_RATE,
        "hop_length": HOP_LENGTH,
        "n_fft": N_FFT,
        "chunk_length": WINDOW_SAMPLES // SAMPLING_RATE,
        "n_samples": WINDOW_SAMPLES,
        "nb_max_frames": WINDOW_FRAMES,
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": False,
    }


def _tokenizer_config(tokenizer: Tokenizer) -> dict[str, Any]:
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    decoder = {
        str(tokenizer.token_to_id(token)): {"content": token, **flags, "special": token in SPECIAL_TOKENS}
        for token in (*SPECIAL_TOKENS, *TIMESTAMPS)
    }
    return {
        "tokenizer_class": "WhisperTokenizer",
        "processor_class": "WhisperProcessor",
        "added_tokens_decoder": decoder,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "errors": "replace",
        "model_max_length": MAX_LABELS,
        **_special_tokens_map(),
    }


def _special_tokens_map() -> dict[str, Any]:
    named = dict.fromkeys(("bos_token", "eos_token", "pad_token", "unk_token"), END)
    return named | {"additional_special_tokens": list(SPECIAL_TOKENS[1:])}


def _card(sizes: Sizes, identity: str) -> str:
    return f"""---
language: [de]
license: cc0-1.0
library_name: transformers
{marker(identity)}
---

# Demo model

A Whisper of {sizes.num_layers}+{sizes.num_layers} layers and width {sizes.d_model} for {sizes.num_mel_bins} mel bins
with random weights: it has a real model's files, special tokens and shapes, and it transcribes nothing. Made by
`python -m preprocess.demo`.
"""

"""A CTranslate2 Whisper folder turned back into one that transformers opens.

python -m tests.support.pretrained SOURCE TARGET

So can real weights be had where only package registries are reached: some packages carry faster-whisper models.
"""

import json
import struct
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizerFast,
)

HEAD_SIZE = 64
"""Of every published Whisper model."""
_DTYPES = (np.float32, np.int8, np.int16, np.int32, np.float16)
"""By CTranslate2's own numbers."""
_END = "<|endoftext|>"


def unpack(source: Path, target: Path, head_size: int = HEAD_SIZE) -> None:
    """Writes the model of *source* (float32 or float16 weights) to *target* as a checkpoint in float32."""
    weights = {name: torch.from_numpy(value.astype(np.float32)) for name, value in read_model(source).items()}
    options = json.loads((source / "config.json").read_text())
    tokenizer = WhisperTokenizerFast(
        tokenizer_file=str(source / "tokenizer.json"),
        **{f"{role}_token": _END for role in ("bos", "eos", "unk", "pad")},
    )
    config = _config(weights, tokenizer, head_size)
    model = WhisperForConditionalGeneration(config)
    missing, unexpected = model.load_state_dict(_renamed(weights, config), strict=False)
    # The output projection is the decoder's embedding.
    assert (missing, unexpected) == (["proj_out.weight"], [])
    model.tie_weights()
    model.generation_config = _generation_config(options, tokenizer)
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    WhisperFeatureExtractor(feature_size=config.num_mel_bins).save_pretrained(target)


def read_model(folder: Path) -> dict[str, np.ndarray]:
    """The arrays of `model.bin` by name: format 6 of CTranslate2's `ModelSpec.save`."""
    with (folder / "model.bin").open("rb") as file:
        assert _number(file, "I") == 6
        _text(file)
        _number(file, "I")
        found = {}
        for _ in range(_number(file, "I")):
            name = _text(file)
            shape = [_number(file, "I") for _ in range(_number(file, "B"))]
            dtype = _DTYPES[_number(file, "B")]
            found[name] = np.frombuffer(file.read(_number(file, "I")), dtype).reshape(shape)
        # Equal arrays are written once.
        for _ in range(_number(file, "I")):
            alias, name = _text(file), _text(file)
            found[alias] = found[name]
    return {name: value for name, value in found.items() if value.dtype in {np.dtype("f4"), np.dtype("f2")}}


def _number(file: BinaryIO, kind: str) -> int:
    (value,) = struct.unpack(f"<{kind}", file.read(struct.calcsize(kind)))
    return int(value)


def _text(file: BinaryIO) -> str:
    return file.read(_number(file, "H"))[:-1].decode()


def _config(weights: dict[str, torch.Tensor], tokenizer: Any, head_size: int) -> WhisperConfig:
    vocab_size, d_model = weights["decoder/embeddings/weight"].shape
    layers = {
        side: len(
            {
                name.split("/")[1]
                for name in weights
                if name.startswith(f"{side}/layer_") and name[len(side) + 7].isdigit()
            }
        )
        for side in ("encoder", "decoder")
    }
    both = {
        f"{side}_{name}": value
        for side in layers
        for name, value in (
            ("layers", layers[side]),
            ("attention_heads", d_model // head_size),
            ("ffn_dim", 4 * d_model),
        )
    }
    end = tokenizer.convert_tokens_to_ids(_END)
    return WhisperConfig(
        vocab_size=vocab_size,
        d_model=d_model,
        num_mel_bins=weights["encoder/conv1/weight"].shape[1],
        decoder_start_token_id=tokenizer.convert_tokens_to_ids("<|startoftranscript|>"),
        **{f"{role}_token_id": end for role in ("bos", "eos", "pad")},
        **both,
    )


def _renamed(weights: dict[str, torch.Tensor], config: WhisperConfig) -> dict[str, torch.Tensor]:
    """*weights* under transformers' names, fused projections parted."""
    names = _Names(weights, config.d_model)
    names.found["model.decoder.embed_tokens.weight"] = weights["decoder/embeddings/weight"]
    for number in (1, 2):
        names.linear(f"model.encoder.conv{number}", f"encoder/conv{number}")
    for side, layers in (("encoder", config.encoder_layers), ("decoder", config.decoder_layers)):
        names.found[f"model.{side}.embed_positions.weight"] = weights[f"{side}/position_encodings/encodings"]
        names.norm(f"model.{side}.layer_norm", f"{side}/layer_norm")
        for number in range(layers):
            names.layer(f"model.{side}.layers.{number}", f"{side}/layer_{number}", attends=side == "decoder")
    return names.found


@dataclass
class _Names:
    """Fills *found* under transformers' names from *weights* under CTranslate2's."""

    weights: dict[str, torch.Tensor]
    d_model: int
    found: dict[str, torch.Tensor] = field(default_factory=dict)

    def layer(self, ours: str, theirs: str, *, attends: bool) -> None:
        self.part(f"{ours}.self_attn", f"{theirs}/self_attention/linear_0", "qkv")
        self.linear(f"{ours}.self_attn.out_proj", f"{theirs}/self_attention/linear_1")
        self.norm(f"{ours}.self_attn_layer_norm", f"{theirs}/self_attention/layer_norm")
        if attends:
            self.part(f"{ours}.encoder_attn", f"{theirs}/attention/linear_0", "q")
            self.part(f"{ours}.encoder_attn", f"{theirs}/attention/linear_1", "kv")
            self.linear(f"{ours}.encoder_attn.out_proj", f"{theirs}/attention/linear_2")
            self.norm(f"{ours}.encoder_attn_layer_norm", f"{theirs}/attention/layer_norm")
        for place in (1, 2):
            self.linear(f"{ours}.fc{place}", f"{theirs}/ffn/linear_{place - 1}")
        self.norm(f"{ours}.final_layer_norm", f"{theirs}/ffn/layer_norm")

    def linear(self, ours: str, theirs: str) -> None:
        self._take(ours, theirs, {"weight": "weight", "bias": "bias"})

    def norm(self, ours: str, theirs: str) -> None:
        self._take(ours, theirs, {"weight": "gamma", "bias": "beta"})

    def part(self, ours: str, theirs: str, roles: str) -> None:
        """Query, key and value lie one below the other."""
        for number, role in enumerate(roles):
            rows = slice(number * self.d_model, (number + 1) * self.d_model)
            self.found[f"{ours}.{role}_proj.weight"] = self.weights[f"{theirs}/weight"][rows]
            # Whisper's keys have no bias: here it is all zeros.
            if role != "k":
                self.found[f"{ours}.{role}_proj.bias"] = self.weights[f"{theirs}/bias"][rows]

    def _take(self, ours: str, theirs: str, names: dict[str, str]) -> None:
        self.found |= {f"{ours}.{own}": self.weights[f"{theirs}/{name}"] for own, name in names.items()}


def _generation_config(options: dict[str, Any], tokenizer: Any) -> GenerationConfig:
    languages = set(options["lang_ids"])
    number = tokenizer.convert_tokens_to_ids
    return GenerationConfig(
        decoder_start_token_id=number("<|startoftranscript|>"),
        suppress_tokens=options["suppress_ids"],
        begin_suppress_tokens=options["suppress_ids_begin"],
        alignment_heads=options["alignment_heads"],
        lang_to_id={token: place for token, place in tokenizer.get_vocab().items() if place in languages},
        task_to_id={task: number(f"<|{task}|>") for task in ("transcribe", "translate")},
        is_multilingual=True,
        no_timestamps_token_id=number("<|notimestamps|>"),
        prev_sot_token_id=number("<|startofprev|>"),
        max_initial_timestamp_index=50,
        max_length=448,
        return_timestamps=False,
        **{f"{role}_token_id": number(_END) for role in ("bos", "eos", "pad")},
    )


if __name__ == "__main__":
    unpack(*map(Path, sys.argv[1:3]))

"""All small files that readers of a model want, today's and yesterday's; what one lacks follows from the others.

Read before anything is trained: what an export will want must not be missed after days.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from shared.errors import UsageError
from shared.models.assembled import taken_apart
from shared.models.model_files import model_config, optional_json, tokenizer_json
from shared.models.tokens import is_language, vocabulary
from shared.schema import HOP_LENGTH, N_FFT, SAMPLING_RATE
from shared.system.durable import json_bytes
from shared.system.foreign_files import parse_json
from trainer.model.generation import END, own_settings
from trainer.model.own_settings import read_generation
from trainer.model.pointers import sound
from trainer.model.shape import ModelShape

_MEL = {"sampling_rate": SAMPLING_RATE, "hop_length": HOP_LENGTH, "n_fft": N_FFT}
"""What the store's log-mel was computed with."""


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model's *config*, its *generation* settings and *preprocessor*, parsed, and the text of its tokenizer.json."""

    config: Mapping[str, Any]
    generation: Mapping[str, Any]
    preprocessor: Mapping[str, Any]
    tokenizer_json: str
    mended: Sequence[str] = ()
    """In words, what in *generation* pointed at parts that the model has not, and what stands there instead."""

    @classmethod
    def read(cls, model: str) -> Self:
        """Those of *model* (folder or Hub id), whatever version of transformers saved it.

        Raises UsageError for one that is damaged, or cannot be made of the others; for a tokenizer that is another
        model's; and for log-mel of other figures than a store's.
        """
        config = model_config(model)
        text = tokenizer_json(model)
        ids = _vocabulary(text, model)
        shape = ModelShape.from_config(config, model)
        if (highest := max(ids.values(), default=0)) >= shape.vocab_size:
            message = f"the tokenizer of {model} has tokens up to {highest}, its config.json a vocab_size of "
            remedy = "bring the tokenizer that belongs to it, or save it after model.resize_token_embeddings"
            raise UsageError(f"{message}{shape.vocab_size}", remedy)
        generation, mended = sound(read_generation(model) or _generation(config, ids), shape, ids)
        preprocessor = optional_json(model, "preprocessor_config.json") or _of_processor(model)
        return cls(config, generation, _preprocessor(model, preprocessor, shape), text, mended)

    def as_bytes(self) -> dict[str, bytes]:
        """The files by name: what transformers 5 reads, what 4 did, and what whisper.cpp's converter wants."""
        tokenizer = parse_json(self.tokenizer_json)
        named = dict.fromkeys(("bos_token", "eos_token", "pad_token", "unk_token"), END)
        return {
            "generation_config.json": json_bytes(self.generation),
            "preprocessor_config.json": json_bytes(self.preprocessor),
            "tokenizer.json": self.tokenizer_json.encode(),
            "tokenizer_config.json": json_bytes({"tokenizer_class": "WhisperTokenizer", **named}),
            **{name: text.encode() for name, text in taken_apart(tokenizer).items()},
        }


def _vocabulary(text: str, model: str) -> dict[str, int]:
    try:
        # Checkpoints and exports have it in earlier readers' files as well, which is not to fail after days.
        taken_apart(parse_json(text))
        return vocabulary(text)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"tokenizer.json of {model} is damaged: {error!r}", "download the model again") from error


def _of_processor(model: str) -> dict[str, Any]:
    """The feature extractor of *model*'s processor_config.json; {} where that has none, or but its name."""
    found = optional_json(model, "processor_config.json").get("feature_extractor")
    return found if isinstance(found, dict) else {}


def _preprocessor(model: str, found: Mapping[str, Any], shape: ModelShape) -> dict[str, Any]:
    """*found*, or what Whisper's has, for *shape*'s mel bins. Raises UsageError for other log-mel than a store's."""
    other = {name: found[name] for name, value in _MEL.items() if found.get(name, value) != value}
    if other:
        said = ", ".join(f"{name} {value!r}" for name, value in other.items())
        message = f"{model} was trained on log-mel with other settings than Whisper's: {said}"
        raise UsageError(message, f"Whisper's are {_MEL}: give a model that was trained with them")
    window = {
        "chunk_length": shape.window_frames * HOP_LENGTH // SAMPLING_RATE,
        "n_samples": shape.window_frames * HOP_LENGTH,
        "nb_max_frames": shape.window_frames,
    }
    usual: dict[str, Any] = {"feature_extractor_type": "WhisperFeatureExtractor", "processor_class": "WhisperProcessor"}
    usual |= {"padding_side": "right", "padding_value": 0.0, "return_attention_mask": False}
    # The file may be another model's: large ones take other mel bins than small ones.
    return {**(found or {**usual, **_MEL, **window}), "feature_size": shape.num_mel_bins}


def _generation(config: Mapping[str, Any], ids: Mapping[str, int]) -> dict[str, Any]:
    """The generation settings of a Whisper whose tokens have these *ids*: plain ones, but for those in *config*.

    There transformers kept them before 4.26.
    """
    end = ids.get(END)
    found: dict[str, Any] = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), end)
    found |= {"suppress_tokens": [], "begin_suppress_tokens": [ids["Ġ"], end] if "Ġ" in ids else [end]}
    found |= {"max_length": config.get("max_target_positions"), **own_settings(config)}
    return found | {
        "decoder_start_token_id": ids.get("<|startoftranscript|>"),
        "is_multilingual": True,
        "lang_to_id": {token: number for token, number in ids.items() if is_language(token)},
        "max_initial_timestamp_index": 50,
        "no_timestamps_token_id": ids.get("<|notimestamps|>"),
        "prev_sot_token_id": ids.get("<|startofprev|>"),
        "return_timestamps": False,
        "task_to_id": {task: ids[f"<|{task}|>"] for task in ("transcribe", "translate") if f"<|{task}|>" in ids},
    }

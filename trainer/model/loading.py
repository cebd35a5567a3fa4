"""A model from its files, with every weight of theirs in its place, or an error that says which is not."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration

from shared.errors import UsageError
from shared.models.model_files import model_config
from shared.system.read_errors import is_of_system
from shared.text import one_line
from shared.units import format_counted
from trainer.model.own_settings import token_facts
from trainer.model.shape import ModelShape
from trainer.model.sinusoids import sinusoids
from trainer.model.weight_files import read_weights
from trainer.model.weight_names import EMBEDDING, POSITIONS, PROJECTION, Stored, fit

_SHOWN = 3
_ALWAYS = {
    "is_encoder_decoder": True,
    "return_dict": True,
    "output_attentions": False,
    "output_hidden_states": False,
}
"""What every Whisper is and returns, which a config.json may have left otherwise: our code reads named outputs."""
_SHARES = ("dropout", "attention_dropout", "activation_dropout")


def read_model(name: str, tell: Callable[[str], None]) -> WhisperForConditionalGeneration:
    """The model *name* (folder or Hub id) in float32, whatever it is stored in, with SDPA attention, not training.

    *tell* hears where its weights are not under their own names, or not tied as config.json has it. Raises UsageError
    where it cannot be loaded, or would not be the model that was saved: see `trainer.model.weight_names`; and for
    weights that are no numbers.
    """
    config = model_config(name)
    ModelShape.from_config(config, name)
    facts = token_facts(name)
    stored = read_weights(name)
    model = _empty(name, config)
    expected = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    tied = bool(model.config.tie_word_embeddings)
    found = fit(name, {key: _header(tensor) for key, tensor in stored.items()}, expected, tied=tied)
    if found.remark:
        tell(f"{name}: {found.remark}")
    # A copy: the file may be replaced while it is mapped.
    weights = {key: stored.pop(own).to(torch.float32, copy=True) for key, own in found.names.items()}
    _require_numbers(name, weights)
    _fill(name, model, weights, tell)
    # How to decode is not the model's to say.
    model.generation_config = GenerationConfig(**facts)  # type: ignore[no-untyped-call]
    return model


def never_trained(model: WhisperForConditionalGeneration) -> bool:
    """Whether *model*'s norms and biases are all as a model's that was just made: training moves each of them."""
    made = {"layer_norm.weight": 1.0, ".bias": 0.0}
    fixed = [(value, made[end]) for name, value in model.named_parameters() for end in made if name.endswith(end)]
    return all(bool((value == start).all()) for value, start in fixed)


def _empty(name: str, config: Mapping[str, Any]) -> WhisperForConditionalGeneration:
    """The model of *config* without any weights in memory."""
    # Weights that were made whole again keep the entry that says how they were rounded.
    values = {key: value for key, value in config.items() if key != "quantization_config"} | _ALWAYS
    make: Any = WhisperForConditionalGeneration._from_config  # noqa: SLF001 - the only way with an implementation
    try:
        _require_ranges(values)
        parsed = WhisperConfig.from_dict(values)
        with torch.device("meta"):
            model: WhisperForConditionalGeneration = make(parsed, attn_implementation="sdpa", dtype=torch.float32)
            model.train(mode=False)
            return model
    except Exception as error:  # transformers raises what a value happens to break
        if is_of_system(error):
            raise
        message = f"config.json of {name} does not make a model: {_reason(error, values)}"
        raise UsageError(message, "download the model again, or bring the config.json of its base model") from error


def _require_ranges(values: Mapping[str, Any]) -> None:
    """Raises ValueError for numbers that transformers takes, and torch refuses later, or without their name."""
    for key in _SHARES:
        value = values.get(key)
        if isinstance(value, int | float) and not 0 <= value <= 1:
            raise ValueError(f"{key} is {value}, which is not a share between 0 and 1")
    padding, size = values.get("pad_token_id"), values["vocab_size"]
    if isinstance(padding, int) and padding >= size:
        raise ValueError(f"pad_token_id is {padding}, beyond the vocabulary of {size} entries")


def _reason(error: Exception, values: Mapping[str, Any]) -> str:
    """What *error* says, on one line; where that is but an unknown word, with the entry of *values* that has it."""
    if not isinstance(error, KeyError):
        return one_line(str(error))
    entry = next((key for key, value in values.items() if value == error.args[0]), "something")
    return one_line(f"{entry} is {error}, which is unknown")


def _header(tensor: torch.Tensor) -> Stored:
    return Stored(str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape))


def _require_numbers(name: str, weights: Mapping[str, torch.Tensor]) -> None:
    if wrong := sorted(key for key, value in weights.items() if not value.isfinite().all()):
        message = (
            f"{name} has {len(wrong)} of {format_counted(len(weights), 'weight')} with infinities or NaN in them: "
        )
        raise UsageError(message + ", ".join(wrong[:_SHOWN]), "take an earlier checkpoint: its training had diverged")


def _fill(
    name: str,
    model: WhisperForConditionalGeneration,
    weights: dict[str, torch.Tensor],
    tell: Callable[[str], None],
) -> None:
    """Gives *model* its *weights*, and what was not saved as it follows from the others."""
    if POSITIONS not in weights:
        tell(f"{name}: the encoder's positions were not saved; Whisper's sinusoids take their place")
        weights[POSITIONS] = sinusoids(model.config.max_source_positions, model.config.d_model)
    if model.config.tie_word_embeddings and not _says_the_same(weights):
        # As transformers does; a reader that tied them would hear another model.
        tell(f"{name}: {PROJECTION} is not the decoder's embedding, though config.json says so: both are kept")
        model.config.tie_word_embeddings = False
    if model.config.tie_word_embeddings:
        weights[PROJECTION] = weights[EMBEDDING]
    model.load_state_dict(weights, strict=True, assign=True)
    # As transformers 5's own loading leaves them: optimisers of earlier checkpoints have a state for every weight.
    model.requires_grad_(requires_grad=True)
    if model.config.tie_word_embeddings:
        model.proj_out.weight = model.model.decoder.embed_tokens.weight


def _says_the_same(weights: Mapping[str, torch.Tensor]) -> bool:
    return PROJECTION not in weights or torch.equal(weights[PROJECTION], weights[EMBEDDING])

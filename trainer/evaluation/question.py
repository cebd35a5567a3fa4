"""How a model is asked, as its small files have it: what is wrong with that is known before a weight is read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from tokenizers import Tokenizer

from shared.errors import UsageError
from shared.models.limits import ModelLimits
from shared.models.model_files import model_config, optional_json, tokenizer_json
from shared.system.home import expand_home
from shared.text import open_tokenizer
from trainer.model.export_limits import export_limits, export_mel_bins
from trainer.model.own_settings import read_own_settings
from trainer.model.shape import ModelShape

PROMPT = ("<|startoftranscript|>", "<|{language}|>", "<|transcribe|>", "<|notimestamps|>")
"""What comes before the first word."""


@dataclass(frozen=True, slots=True)
class Question:
    """How the model *name* is asked: with its own generation settings where *own* has any.

    *num_mel_bins* is None for an export whose weights are needed to tell.
    """

    name: str
    tokenizer_json: str
    tokenizer: Tokenizer
    prompt: Sequence[int]
    limits: ModelLimits
    num_mel_bins: int | None
    own: dict[str, Any] | None

    @classmethod
    def of(cls, name: str, language: str, *, own_settings: bool = False) -> Self:
        """That of *name*, a transformers folder or Hub id, or a CTranslate2 folder.

        Raises UsageError where its files cannot be read, its tokenizer does not know *language*, its decoder has no
        place for a word, or an export is to use settings that it has not.
        """
        # First, since config.json tells what was named in a model's place.
        limits, bins = _shape(name)
        own = _settings_of(name) if own_settings else None
        text = tokenizer_json(name)
        tokenizer = open_tokenizer(text, name)
        prompt = [_special(tokenizer, token.format(language=language), name) for token in PROMPT]
        _require_room(name, limits)
        if is_ctranslate2(name):
            _require_tokens(name, tokenizer)
        return cls(name, text, tokenizer, prompt, limits, bins, own)


def is_ctranslate2(name: str) -> bool:
    """Whether *name* is a folder that CTranslate2 made."""
    return (expand_home(name) / "model.bin").is_file()


def _settings_of(name: str) -> dict[str, Any]:
    if is_ctranslate2(name):
        remedy = "name the transformers model that it was made from, or leave --generation-config out"
        raise UsageError(f"{name} is an export, which has no generation settings of its own", remedy)
    return read_own_settings(name)


def _special(tokenizer: Tokenizer, token: str, name: str) -> int:
    token_id = tokenizer.token_to_id(token)
    if token_id is None:
        raise UsageError(f"the tokenizer of {name} has no {token}", "check --model, and the store's --language")
    return int(token_id)


def _shape(name: str) -> tuple[ModelLimits, int | None]:
    if is_ctranslate2(name):
        return export_limits(expand_home(name)), export_mel_bins(expand_home(name))
    shape = ModelShape.from_config(model_config(name), name)
    return shape.limits, shape.num_mel_bins


def _require_room(name: str, limits: ModelLimits) -> None:
    if limits.max_labels <= len(PROMPT):
        message = f"{name}: its decoder has {limits.max_labels} places, and {len(PROMPT)} come before the first word"
        raise UsageError(message, "take a model with more max_target_positions")


def _require_tokens(name: str, tokenizer: Tokenizer) -> None:
    """Raises UsageError where the export *name* keeps numbers from coming first that are no tokens.

    CTranslate2 writes beside its memory with them.
    """
    found, size = optional_json(name, "config.json").get("suppress_ids_begin"), tokenizer.get_vocab_size()
    if isinstance(found, list) and not all(isinstance(number, int) and 0 <= number < size for number in found):
        message = f"config.json of {name} has suppress_ids_begin {found}, not all of them its {size} tokens"
        raise UsageError(message, "export the model again, with trainer.export")

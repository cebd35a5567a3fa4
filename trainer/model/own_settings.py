"""A model's own generation settings, from its files: what they say of tokens, and what decides which are found.

Nothing is decoded here (`trainer.model.generation`). Every value that is given on is one that can be followed: what
transformers would take, and break on in the midst of an evaluation, is an error that names file and entry.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt, ValidationError

from shared.errors import UsageError
from shared.models.model_files import model_config, optional_json
from shared.text import one_line
from trainer.model.generation import own_settings
from trainer.model.shape import ModelShape

FILE, LEGACY = "generation_config.json", "config.json"
_FEWEST_PLACES = 5
"""The prompt's four, and one for what is said."""
_OF_MODEL = "mend that entry, or take it out"
_OF_SEARCH = "mend that entry, take it out, or leave --generation-config model out"
_Id = Annotated[int, Field(ge=-1, lt=1 << 31)]
"""-1 is some files' word for none."""
_Ids = Annotated[list[NonNegativeInt], Field(min_length=1)]
_Share = Annotated[float, Field(ge=0, le=1)]


class _Checked(BaseModel):
    """Entries of a file, in JSON's own types: no number for a word, and no word for a number."""

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)


class _TokenFacts(_Checked):
    """What is said of tokens."""

    alignment_heads: Any = None
    """Whatever it is: heads that there are not have their substitute (`trainer.model.pointers`)."""
    begin_suppress_tokens: list[int] | None = None
    bos_token_id: int | None = None
    decoder_start_token_id: int | list[int] | None = None
    eos_token_id: int | list[int] | None = None
    is_multilingual: bool | None = None
    lang_to_id: dict[str, NonNegativeInt] | None = None
    max_initial_timestamp_index: int | None = None
    no_timestamps_token_id: int | None = None
    pad_token_id: int | None = None
    prev_sot_token_id: int | None = None
    suppress_tokens: list[int] | None = None
    task_to_id: dict[str, NonNegativeInt] | None = None


class _Search(_Checked):
    """What decides which tokens are found; the names are those of `PLAIN`, and ranges those that transformers takes."""

    do_sample: bool = False
    num_beams: PositiveInt = 1
    length_penalty: float = 1.0
    early_stopping: bool | Literal["never"] = False
    temperature: Annotated[float, Field(ge=0)] = 1.0
    top_k: NonNegativeInt = 50
    top_p: _Share = 1.0
    typical_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    repetition_penalty: PositiveFloat = 1.0
    no_repeat_ngram_size: NonNegativeInt = 0
    bad_words_ids: Annotated[list[_Ids], Field(min_length=1)] | None = None
    sequence_bias: Annotated[list[tuple[_Ids, float]], Field(min_length=1)] | None = None
    min_length: NonNegativeInt = 0
    min_new_tokens: NonNegativeInt | None = None
    max_new_tokens: PositiveInt | None = None
    max_length: Annotated[int, Field(ge=_FEWEST_PLACES)] | None = None
    forced_bos_token_id: NonNegativeInt | None = None
    forced_eos_token_id: NonNegativeInt | list[NonNegativeInt] | None = None
    exponential_decay_length_penalty: tuple[NonNegativeInt, PositiveFloat] | None = None
    renormalize_logits: bool = False
    epsilon_cutoff: _Share = 0.0
    eta_cutoff: _Share = 0.0
    num_return_sequences: PositiveInt = 1
    suppress_tokens: list[_Id] | None = None
    begin_suppress_tokens: list[_Id] | None = None


_Entries = TypeVar("_Entries", bound=_Checked)


def read_generation(model: str) -> dict[str, Any]:
    """`generation_config.json` of *model*; {} where it has none. Raises UsageError for wrong words on tokens."""
    found = optional_json(model, FILE)
    _checked(_TokenFacts, found, _Place(FILE, model, _OF_MODEL))
    return found


def token_facts(model: str) -> dict[str, Any]:
    """What the files of *model* say of tokens, as far as they do. Raises UsageError as `read_generation` does."""
    found = read_generation(model)
    # Earlier versions of transformers kept them there, which `read_generation` does not know of.
    values = found or model_config(model)
    place = _Place(FILE if found else LEGACY, model, _OF_MODEL)
    return _checked(_TokenFacts, values, place).model_dump(exclude_unset=True)


def read_own_settings(model: str) -> dict[str, Any]:
    """The settings of *model*'s own that decide which tokens are found: those of its `generation_config.json`.

    Where it has no such file, what transformers before 4.26 kept in config.json, as transformers does. Raises
    UsageError for a value that cannot be followed, and for values that cannot go together.
    """
    config = model_config(model)
    found = optional_json(model, FILE)
    place = _Place(FILE if found else LEGACY, model, _OF_SEARCH)
    settings = _checked(_Search, own_settings(found or config), place)
    for problem in _contradictions(settings, ModelShape.from_config(config, model).vocab_size):
        raise place.wrong(problem)
    return settings.model_dump(exclude_unset=True)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where settings stand, and what to do about a wrong one."""

    file: str
    model: str
    remedy: str

    def wrong(self, problem: str) -> UsageError:
        return UsageError(one_line(f"{self.file} of {self.model} cannot be followed: {problem}"), self.remedy)


def _checked(kind: type[_Entries], values: Mapping[str, Any], place: _Place) -> _Entries:
    try:
        return kind.model_validate_json(
            json.dumps({name: value for name, value in values.items() if value is not None})
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        entry = str(first["loc"][0]) if first["loc"] else "it"
        raise place.wrong(f"{entry} is {_short(values.get(entry))}: {first['msg']}") from error


def _contradictions(settings: _Search, vocabulary: int) -> Iterator[str]:
    """What in *settings* cannot be followed, though each value could: ids beyond the *vocabulary*, and the like."""
    if settings.do_sample and not settings.temperature:
        yield "do_sample is true, and temperature 0 leaves nothing to chance"
    if set(range(vocabulary)) <= set(settings.suppress_tokens or []):
        yield f"suppress_tokens names all {vocabulary} entries of the vocabulary, which leaves nothing to say"
    forced = settings.forced_eos_token_id
    ids = {
        "forced_bos_token_id": [settings.forced_bos_token_id],
        "forced_eos_token_id": forced if isinstance(forced, list) else [forced],
        "bad_words_ids": [token for word in settings.bad_words_ids or [] for token in word],
        "sequence_bias": [token for word, _ in settings.sequence_bias or [] for token in word],
    }
    for name, tokens in ids.items():
        if beyond := [token for token in tokens if token is not None and token >= vocabulary]:
            yield f"{name} names token {beyond[0]}, and the vocabulary has {vocabulary} entries"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."  # noqa: PLR2004 - a line's worth

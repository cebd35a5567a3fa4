"""What a model's generation settings say of its own parts: tokens and heads, which have to be there. Pure.

Nobody looks: transformers passes over a token that a vocabulary has not, and CTranslate2 writes beside its memory.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from shared.models.tokens import is_language
from shared.models.whisper_tokens import END, NO_TIMESTAMPS, START, START_OF_PREVIOUS
from shared.text import one_line
from trainer.model.alignment import choose, fits
from trainer.model.shape import ModelShape

HEADS = "alignment_heads"
_LISTS = ("suppress_tokens", "begin_suppress_tokens")
_TOKENS = {
    "decoder_start_token_id": START,
    "no_timestamps_token_id": NO_TIMESTAMPS,
    "prev_sot_token_id": START_OF_PREVIOUS,
}
"""Each the number of this token, which other models have elsewhere: v3's `<|notimestamps|>` is one above v2's."""
_ENDS = ("bos_token_id", "eos_token_id", "pad_token_id")
"""Numbers of some token, or of several; `END` by default."""
_Change = tuple[str, Any, str]
"""Name, right value (None: none at all) and words of an entry that points at what the model has not."""
_SHOWN = 60


def sound(
    generation: Mapping[str, Any], shape: ModelShape, ids: Mapping[str, int]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """*generation* as a model of *shape* whose tokens have these *ids* can have it, and in words what was not so."""
    mended, said = dict(generation), []
    for name, value, text in _changes(generation, shape, ids):
        said.append(one_line(f"generation_config.json: {text}"))
        del mended[name]
        if value is not None:
            mended[name] = value
    return mended, tuple(said)


def _changes(generation: Mapping[str, Any], shape: ModelShape, ids: Mapping[str, int]) -> Iterator[_Change]:
    yield from _of_heads(generation.get(HEADS), shape)
    yield from _of_lists(generation, shape)
    yield from _of_numbers(generation, shape, ids)
    languages = generation.get("lang_to_id")
    if languages and not _are_tokens(languages, ids):
        own = {token: number for token, number in ids.items() if is_language(token)}
        yield "lang_to_id", own, "lang_to_id is not what the tokenizer says; the tokenizer's languages are used"


def _of_heads(named: Any, shape: ModelShape) -> Iterator[_Change]:
    if named is not None and named != [] and not fits(named, shape):
        decoder = f"a decoder of {shape.decoder_layers} layers of {shape.decoder_heads} heads"
        yield HEADS, None, f"{HEADS} {_short(named)} are not all in {decoder}; taken are {choose(None, shape).whose}"


def _of_lists(generation: Mapping[str, Any], shape: ModelShape) -> Iterator[_Change]:
    for name in _LISTS:
        value = generation.get(name)
        kept = [number for number in value if _is_token(number, shape)] if isinstance(value, list) else None
        if value is not None and kept != value:
            text = "names what is not a token of the model: left out"
            yield name, kept, f"{name} {_short(value)} {text}"


def _of_numbers(generation: Mapping[str, Any], shape: ModelShape, ids: Mapping[str, int]) -> Iterator[_Change]:
    for name, token in _TOKENS.items():
        value, own = generation.get(name), ids.get(token)
        if value is not None and not (_is_token(value, shape) and own in {None, value}):
            instead = "left out, as it has none" if own is None else "which is used instead"
            yield name, own, f"{name} {_short(value)} is not the model's {token}; {instead}"
    for name in _ENDS:
        value = generation.get(name)
        several = value if isinstance(value, list) else [value]
        if value is not None and not all(_is_token(each, shape) for each in several):
            yield name, ids.get(END), f"{name} {_short(value)} is not a token of the model; used instead is {END}"


def _is_token(value: Any, shape: ModelShape) -> bool:
    return type(value) is int and 0 <= value < shape.vocab_size


def _are_tokens(languages: Any, ids: Mapping[str, int]) -> bool:
    return isinstance(languages, dict) and all(ids.get(token) == number for token, number in languages.items())


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."

"""Which tokens of a tokenizer are commands, which are points in time, and which are words. Pure.

Whisper's commands are called `<|...|>`, and so are its points in time, `<|0.00|>` to `<|30.00|>`. Any other token that
somebody added, the name of a drug, is a word, wherever its number lies.
"""

import re
from collections.abc import Mapping
from typing import Any

from shared.system.foreign_files import parse_json

COMMAND = re.compile(r"<\|.*\|>")
_MARKER = re.compile(r"<[^<>]*>|\[[^\[\]]*\]")
"""What other families call their special tokens: `<pad>`, `[UNK]`."""
_LANGUAGE = re.compile(r"<\|[a-z]{2,3}\|>")
MOMENT = re.compile(r"<\|\d+\.\d\d\|>")
NO_TIMESTAMPS, FIRST_MOMENT = "<|notimestamps|>", "<|0.00|>"
MOMENTS = 1_501
"""0 to 30 s in steps of 20 ms."""


def is_word(token: str, *, special: bool) -> bool:
    """Whether the added *token*, *special* or not, stands for text."""
    return bool(token) and not COMMAND.fullmatch(token) and not (special and _MARKER.fullmatch(token))


def moments(vocabulary: Mapping[str, int]) -> frozenset[int]:
    """The ids of points in time among *vocabulary*, ids by token.

    Early tokenizers do not name them: then it is the 1,501 numbers after `<|notimestamps|>` that have no other name.
    """
    named = frozenset(number for token, number in vocabulary.items() if MOMENT.fullmatch(token))
    last = vocabulary.get(NO_TIMESTAMPS)
    if named or last is None:
        return named
    return frozenset(range(last + 1, last + 1 + MOMENTS)) - frozenset(vocabulary.values())


def is_language(token: str) -> bool:
    """Whether *token* names one of Whisper's languages."""
    return bool(_LANGUAGE.fullmatch(token))


def vocabulary(tokenizer_json: str) -> dict[str, int]:
    """Every token's id. Raises ValueError, KeyError, TypeError or AttributeError for what is no tokenizer."""
    value = parse_json(tokenizer_json)
    added = {token["content"]: int(token["id"]) for token in value["added_tokens"]}
    return {token: int(number) for token, number in value["model"]["vocab"].items()} | added


def added_words(tokenizer: Mapping[str, Any]) -> dict[str, int]:
    """Ids of the words that were added to *tokenizer*, a parsed `tokenizer.json`, by their text."""
    return {
        token["content"]: int(token["id"])
        for token in tokenizer.get("added_tokens") or []
        if is_word(token["content"], special=bool(token.get("special")))
    }

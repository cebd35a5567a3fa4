"""A `tokenizer.json` from the files of before there was one (vocab.json, merges.txt), and back. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from shared.models.tokens import COMMAND, MOMENT

_BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
_PLAIN = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}


def assemble(vocab: Mapping[str, int], merges: str, added: Mapping[str, int], config: Mapping[str, Any]) -> str:
    """The content of the `tokenizer.json` that those files make.

    *vocab* and *added* are ids by token, *merges* the text of merges.txt, *config* that of tokenizer_config.json, whose
    `added_tokens_decoder` tells of tokens that neither has. Raises ValueError, TypeError or AttributeError for files of
    another form.
    """
    decoder = {int(number): entry for number, entry in (config.get("added_tokens_decoder") or {}).items()}
    tokens = {int(number): token for token, number in added.items()}
    tokens |= {number: token for token, number in vocab.items() if COMMAND.fullmatch(token)}
    tokens |= {number: entry["content"] for number, entry in decoder.items()}
    value = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": number, "content": token, **_PLAIN, "special": _is_special(token, decoder.get(number, {}))}
            for number, token in sorted(tokens.items())
        ],
        "normalizer": None,
        "pre_tokenizer": _BYTES,
        "post_processor": None,
        "decoder": _BYTES,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": dict(vocab),
            "merges": [line for line in merges.splitlines() if line and not line.startswith("#version")],
        },
    }
    return json.dumps(value, ensure_ascii=False)


def _is_special(token: str, entry: Mapping[str, Any]) -> bool:
    return bool(entry.get("special", COMMAND.fullmatch(token) and not MOMENT.fullmatch(token)))


def taken_apart(tokenizer: Mapping[str, Any]) -> dict[str, str]:
    """The files of before, by name, that say what *tokenizer*, a parsed `tokenizer.json`, does.

    Raises ValueError, KeyError, TypeError or AttributeError for what is no byte-pair tokenizer, as Whisper's are.
    """
    model = tokenizer["model"]
    if model.get("type", "BPE") != "BPE":
        raise ValueError(f"it is a {model['type']} tokenizer, and Whisper's are BPE")
    merges = [rule if isinstance(rule, str) else " ".join(rule) for rule in model["merges"]]
    added = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    return {
        "vocab.json": json.dumps(model["vocab"], ensure_ascii=False),
        "merges.txt": "\n".join(["#version: 0.2", *merges]) + "\n",
        "added_tokens.json": json.dumps(added, ensure_ascii=False, indent=2) + "\n",
    }


def for_old_readers(tokenizer_json: str) -> str:
    """*tokenizer_json* with merges as text, which tokenizers of before 0.20 want and today's read as well."""
    value = json.loads(tokenizer_json)
    merges = value["model"].get("merges") or []
    if all(isinstance(rule, str) for rule in merges) or any(" " in part for rule in merges for part in rule):
        return tokenizer_json
    value["model"]["merges"] = [" ".join(rule) for rule in merges]
    return json.dumps(value, ensure_ascii=False)

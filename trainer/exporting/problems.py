"""What the files around an export's weights get wrong, in words."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shared.models.tokens import vocabulary
from shared.units import format_counted
from trainer.exporting.files import (
    FILES,
    RECORD,
    Checkpoint,
    digests,
    expected_config,
    expected_preprocessor,
    read_export_record,
    read_json,
)
from trainer.model.alignment import fits
from trainer.model.pointers import HEADS


def file_problems(folder: Path, checkpoint: Checkpoint) -> list[str]:
    """What in the export *folder* is not as *checkpoint* asks for, in words; [] where all is well."""
    missing = [name for name in (*FILES, RECORD) if not (folder / name).is_file()]
    if missing:
        return [f"{', '.join(missing)}: not there"]
    return [*_content_problems(folder, checkpoint), *_digest_problems(folder)]


def _content_problems(folder: Path, checkpoint: Checkpoint) -> Iterator[str]:
    config, preprocessor = read_json(folder / "config.json"), read_json(folder / "preprocessor_config.json")
    if isinstance(config, dict):
        yield from _head_problems(config.get(HEADS), checkpoint)
        for name, value in expected_config(checkpoint).items():
            if name != HEADS and config.get(name) != value:
                yield f"config.json: {name} is {_short(config.get(name))}, the checkpoint's {_short(value)}"
    else:
        yield "config.json: damaged"
    if isinstance(preprocessor, dict):
        for name, value in expected_preprocessor(checkpoint).items():
            if preprocessor.get(name) != value:
                yield f"preprocessor_config.json: {name} is {preprocessor.get(name)!r}, the model takes {value!r}"
    else:
        yield "preprocessor_config.json: damaged"
    yield from _tokenizer_problems(folder, checkpoint)


def _head_problems(found: Any, checkpoint: Checkpoint) -> Iterator[str]:
    shape, expected = checkpoint.shape, checkpoint.alignment.heads
    if found == expected:
        return
    if not isinstance(found, list):
        yield f"config.json: alignment_heads is {_short(found)}, not a list of layers and heads"
    elif outside := [pair for pair in found if not fits([pair], shape)]:
        decoder = f"a decoder of {shape.decoder_layers} layers of {shape.decoder_heads} heads"
        yield f"config.json: alignment heads {_short(outside)} are not in {decoder}"
    else:
        yield (
            f"config.json: {format_counted(len(found), 'alignment head')} {_short(found)}, the checkpoint has "
            f"{len(expected)}: "
            f"{_short(expected)}"
        )


def _tokenizer_problems(folder: Path, checkpoint: Checkpoint) -> Iterator[str]:
    mine = vocabulary(checkpoint.tokenizer_json)
    if (content := (folder / "tokenizer.json").read_bytes()) != checkpoint.tokenizer_json.encode():
        try:
            other = vocabulary(content.decode())
            count = sum(other.get(token) != number for token, number in mine.items())
            yield f"tokenizer.json: not the checkpoint's; {count} of {len(mine)} tokens have another id or none"
        except (ValueError, KeyError, TypeError, AttributeError):
            yield "tokenizer.json: not the checkpoint's, and damaged"
    tokens = read_json(folder / "vocabulary.json")
    size = checkpoint.shape.vocab_size
    if not isinstance(tokens, list) or len(tokens) != size:
        yield f"vocabulary.json: not a list of {size} tokens"
    elif any(tokens[number] != token for token, number in mine.items() if number < size):
        yield "vocabulary.json: its tokens are not the checkpoint's"


def _digest_problems(folder: Path) -> Iterator[str]:
    recorded = read_export_record(folder).get("digests")
    found = digests(folder)
    if not isinstance(recorded, dict):
        yield f"{RECORD}: damaged"
        return
    for name in FILES:
        if recorded.get(name) != found[name]:
            yield f"{name}: its content is not what was exported"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004 - a line's worth

"""What a right export will do otherwise than its model, in words: faster-whisper's own rules. Pure."""

from collections.abc import Iterator

from shared.errors import UsageError
from shared.models.tokens import FIRST_MOMENT, added_words, vocabulary
from shared.schema import MAX_LABELS, WINDOW_FRAMES
from shared.system.foreign_files import parse_json
from shared.text import one_line
from shared.units import format_counted
from trainer.exporting.files import Checkpoint
from trainer.model.generation import END, describe, foreign_settings
from trainer.model.hints import missing_tokens

_SHOWN = 3
_PROMPT = 4
"""Start, language, task and timestamps."""
_ASKED = MAX_LABELS // 2
"""Tokens that faster-whisper asks for where nobody says how many."""


def require_window(checkpoint: Checkpoint) -> None:
    """Raises UsageError for a model that faster-whisper cannot run: it hands the encoder 30 s, always."""
    if checkpoint.shape.window_frames != WINDOW_FRAMES:
        seconds = f"{checkpoint.shape.limits.window_seconds:g}"
        message = f"{checkpoint.folder} was made for windows of {seconds} s; faster-whisper hands every model 30 s"
        raise UsageError(message, "use it with transformers, or fine-tune a model with max_source_positions 1500")


def require_tokens(checkpoint: Checkpoint) -> None:
    """Raises UsageError for a model whose tokenizer lacks what faster-whisper asks every model for."""
    if missing := missing_tokens(vocabulary(checkpoint.tokenizer_json)):
        message = f"the tokenizer of {checkpoint.folder} has no {', '.join(missing)}, which faster-whisper asks for"
        raise UsageError(message, "bring the tokenizer.json of its base model, or use it with transformers")


def remarks(checkpoint: Checkpoint) -> list[str]:
    """What users of an export of *checkpoint* have to know; [] for a usual model."""
    return [one_line(text) for text in _remarks(checkpoint)]


def _remarks(checkpoint: Checkpoint) -> Iterator[str]:
    yield from checkpoint.mended
    places = checkpoint.shape.max_target_positions
    if own := foreign_settings(checkpoint.generation, places):
        yield (
            f"generation_config.json asks for {describe(own)}: faster-whisper reads none of it; what it has an option "
            "for is given to transcribe()"
        )
    ids = vocabulary(checkpoint.tokenizer_json)
    end = ids.get(END, len(ids))
    added = added_words(parse_json(checkpoint.tokenizer_json))
    if lost := [word for word, number in added.items() if number > end]:
        more = f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
        yield (
            f"faster-whisper leaves out {format_counted(len(lost), 'added word')}, numbered above {END}: "
            f"{', '.join(map(repr, lost[:_SHOWN]))}{more}; train without adding tokens, or decode with CTranslate2"
        )
    if places < MAX_LABELS:
        most = max(1, min(_ASKED, places - _PROMPT))
        yield (
            f"its decoder has {places} places, and faster-whisper assumes {MAX_LABELS}: give transcribe() "
            f"max_new_tokens={most} and condition_on_previous_text=False, or it ends with an error"
        )
    if FIRST_MOMENT not in ids:
        yield "its tokenizer has no timestamp tokens: segments may come without times (RealtimeSTT needs none)"

"""How long a model's labels and clips may be: what config.json states, else Whisper's own. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from shared.errors import UsageError
from shared.schema import HOP_LENGTH, MAX_LABELS, SAMPLING_RATE, WINDOW_FRAMES

_ENGLISH_VOCABULARY = 51_864
"""Entries of OpenAI's English-only models; the multilingual ones have more."""


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """The most labels of a clip, special tokens included, and the frames of the encoder's window."""

    max_labels: int = MAX_LABELS
    window_frames: int = WINDOW_FRAMES

    @classmethod
    def from_config(cls, config: Mapping[str, Any], model: str = "") -> Self:
        """Those of the parsed *config* of *model*. Raises UsageError where one is no positive whole number."""
        labels = positive(config, "max_target_positions", model, MAX_LABELS)
        # The second convolution makes one position of two frames.
        return cls(labels, 2 * positive(config, "max_source_positions", model, WINDOW_FRAMES // 2))

    @property
    def window_seconds(self) -> float:
        """The longest clip that fits into the window."""
        return self.window_frames * HOP_LENGTH / SAMPLING_RATE


def positive(config: Mapping[str, Any], name: str, model: str = "", missing: int | None = None) -> int:
    """The entry *name* of *config*, that of *model*, or *missing* where it has none.

    Raises UsageError where that is no positive whole number.
    """
    value = config.get(name, missing)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        file = f"config.json of {model}" if model else "config.json"
        raise UsageError(f"{file} has {name} = {value!r}, not a positive whole number", "name a Whisper model")
    return value


def is_english_only(config: Mapping[str, Any], generation: Mapping[str, Any]) -> bool:
    """Whether *config* and *generation*, its two parsed files, are of a model that takes no language and no task."""
    return generation.get("is_multilingual") is False or config.get("vocab_size") == _ENGLISH_VOCABULARY

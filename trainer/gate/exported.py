"""The export as faster-whisper loads it, and its arrays; without torch, as it runs in a process of its own."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel
from numpy.typing import NDArray


class ExportedModel(WhisperModel):  # type: ignore[misc]  # faster-whisper ships no types
    """An export as faster-whisper loads it."""

    def next_tokens(self, encoded: Any, labels: Sequence[int], prompt_labels: int) -> NDArray[np.float64]:
        """Log probabilities [places, vocabulary] after each of *labels* from the last of *prompt_labels* on.

        CTranslate2 is given *labels* as a prompt; of the text in a prompt it tells the logits step by step.
        """
        found = self.model.generate(
            encoded,
            [list(labels)],
            beam_size=1,
            max_length=2 * len(labels) + 2,
            suppress_blank=False,
            suppress_tokens=[],
            return_logits_vocab=True,
        )[0]
        places = len(labels) - prompt_labels + 1
        logits = np.stack([as_array(step).reshape(-1) for step in found.logits[0][:places]]).astype(np.float64)
        shifted = logits - logits.max(axis=-1, keepdims=True)
        log_probabilities: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
        return log_probabilities


def load_export(folder: Path, device: str, threads: int) -> ExportedModel:
    """The export in *folder*, computed in its own type or what *device* has instead; RuntimeError if it cannot be."""
    before, (kind, _, number) = ctranslate2.get_log_level(), device.partition(":")
    # It warns of a type that the device lacks; the table says so in words.
    ctranslate2.set_log_level(logging.ERROR)
    try:
        return ExportedModel(str(folder), device=kind, device_index=int(number or 0), cpu_threads=threads)
    finally:
        ctranslate2.set_log_level(before)


def as_array(value: Any) -> NDArray[np.float32]:
    """A tensor of either library as float32, on the CPU; an array as it is."""
    if isinstance(value, np.ndarray):
        return value
    if not isinstance(value, ctranslate2.StorageView):
        found: NDArray[np.float32] = value.float().cpu().numpy()
        return found
    moved = value.to(ctranslate2.DataType.float32).to_device(ctranslate2.Device.cpu)
    return np.array(moved)

"""The original behind faster-whisper's own interface, so that it is decoded by the same code as the export.

It is a `faster_whisper.WhisperModel` in which transformers does what CTranslate2 does elsewhere.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from faster_whisper import WhisperModel
from faster_whisper.feature_extractor import FeatureExtractor
from numpy.typing import NDArray
from transformers import WhisperFeatureExtractor

from shared.models.model_files import tokenizer_json
from shared.schema import HOP_LENGTH, SAMPLING_RATE
from shared.text import open_tokenizer
from trainer.gate.reference_engine import OriginalEngine
from trainer.model.files import ModelFiles
from trainer.model.whisper import load_model


class _OriginalFeatures(FeatureExtractor):  # type: ignore[misc]  # faster-whisper ships no types
    """faster-whisper's feature extractor, in which transformers' computes the features."""

    def __init__(self, num_mel_bins: int) -> None:
        super().__init__(feature_size=num_mel_bins)
        make: Any = WhisperFeatureExtractor
        self._extractor = make(feature_size=num_mel_bins)

    def __call__(self, waveform: NDArray[np.float32], padding: int = HOP_LENGTH, **_: Any) -> NDArray[np.float32]:
        """log-mel float32[mel bins, frames] of *waveform*, 16 kHz mono, and *padding* samples of silence."""
        padded = np.pad(waveform, (0, padding))
        features = self._extractor(
            padded, sampling_rate=SAMPLING_RATE, padding="do_not_pad", truncation=False, return_tensors="np"
        )
        found: NDArray[np.float32] = features["input_features"][0]
        return found


class OriginalModel(WhisperModel):  # type: ignore[misc]  # as above
    """The checkpoint as a `WhisperModel`, with `OriginalEngine` in CTranslate2's place; float32."""

    def __init__(self, checkpoint: Path, device: str) -> None:
        """Loads *checkpoint* to *device* ("cpu", "cuda:1"). Raises UsageError where it cannot be loaded."""
        self.hf_tokenizer = open_tokenizer(tokenizer_json(str(checkpoint)), str(checkpoint))
        whisper = load_model(str(checkpoint)).train(mode=False)
        # As the export has it, also where that follows from other files.
        first = ModelFiles.read(str(checkpoint)).generation.get("begin_suppress_tokens")
        whisper.generation_config.begin_suppress_tokens = list(first or [])
        self.model = OriginalEngine(whisper, self.hf_tokenizer, device)
        # What WhisperModel's own __init__ sets besides the engine.
        self.logger = logging.getLogger("faster_whisper")
        self.feature_extractor = _OriginalFeatures(self.model.n_mels)
        self.input_stride = 2
        self.num_samples_per_token = HOP_LENGTH * self.input_stride
        self.frames_per_second = SAMPLING_RATE // HOP_LENGTH
        self.tokens_per_second = SAMPLING_RATE // self.num_samples_per_token
        self.time_precision = 0.02
        self.max_length = int(whisper.config.max_target_positions)

    def encode(self, features: NDArray[np.float32]) -> torch.Tensor:
        """As `WhisperModel.encode`, in torch."""
        return self.model.encode(features if features.ndim == 3 else features[None])  # noqa: PLR2004 - rows, bins, frames

    def next_tokens(self, encoded: torch.Tensor, labels: Sequence[int], prompt_labels: int) -> NDArray[np.float64]:
        """Log probabilities [places, vocabulary] after each of *labels* from the last of *prompt_labels* on."""
        return self.model.next_tokens(encoded, labels)[prompt_labels - 1 :]

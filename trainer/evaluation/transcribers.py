"""Models that turn clips of a store into text: transformers folders and CTranslate2 folders, behind one call."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from shared.errors import UsageError
from shared.model_files import model_file
from shared.schema import MAX_LABELS
from shared.settings import expand_home
from shared.text import open_tokenizer
from trainer.model.generation import search
from trainer.model.whisper import encoder_outputs, load_model

_PROMPT = ("<|startoftranscript|>", "<|{language}|>", "<|transcribe|>", "<|notimestamps|>")


class Transcriber(Protocol):
    """A loaded model."""

    name: str
    num_mel_bins: int

    def __call__(self, log_mel: NDArray[np.float32], *, max_length: int) -> list[str]:
        """What is said in *log_mel* float32[clips, frames, num_mel_bins]; at most *max_length* labels a clip."""
        ...


@dataclass(slots=True)
class _TransformersModel:
    """A transformers folder or Hub id; contexts may be shorter than the window."""

    name: str
    num_mel_bins: int
    model: Any
    tokenizer: Tokenizer
    prompt: Sequence[int]
    beam_size: int
    device: torch.device

    @torch.no_grad()
    def __call__(self, log_mel: NDArray[np.float32], *, max_length: int) -> list[str]:
        """As `Transcriber`."""
        features = torch.from_numpy(log_mel).to(self.device)
        dtype = torch.float16 if self.device.type == "cuda" else None
        with torch.autocast(self.device.type, dtype, enabled=dtype is not None):
            encoded = encoder_outputs(self.model, features, features.new_zeros(len(features)))
            prompt = torch.tensor([self.prompt] * len(features), device=self.device)
            tokens = search(self.model, encoded, prompt, max_length=max_length, num_beams=self.beam_size)
        return [words(self.tokenizer, ids) for ids in tokens.tolist()]


@dataclass(slots=True)
class _CTranslate2Model:
    """A CTranslate2 folder as faster-whisper loads it; clips are padded to the window, as there."""

    name: str
    num_mel_bins: int
    model: Any
    tokenizer: Tokenizer
    prompt: Sequence[int]
    beam_size: int

    def __call__(self, log_mel: NDArray[np.float32], *, max_length: int) -> list[str]:
        """As `Transcriber`."""
        from ctranslate2 import StorageView  # noqa: PLC0415 - only those who compare such models need it

        features = StorageView.from_array(np.ascontiguousarray(log_mel.transpose(0, 2, 1)))
        prompts = [list(self.prompt)] * len(log_mel)
        # CTranslate2 generates half of what it is told, and does not count the prompt.
        length = 2 * (max_length - len(self.prompt))
        found = self.model.generate(features, prompts, beam_size=self.beam_size, max_length=length)
        return [words(self.tokenizer, result.sequences_ids[0]) for result in found]


def words(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    """The text of token *ids*, without special tokens and those of points in time, which follow the special ones."""
    last = tokenizer.token_to_id(_PROMPT[-1])
    spoken = [token for token in ids if last is None or token <= last]
    text: str = tokenizer.decode(spoken, skip_special_tokens=True)
    return text.strip()


def is_ctranslate2(name: str) -> bool:
    """Whether *name* is a folder that CTranslate2 made."""
    return (expand_home(name) / "model.bin").is_file()


def open_transcriber(
    name: str, *, language: str, beam_size: int, device: torch.device, tell: Callable[[str], None] = lambda _text: None
) -> Transcriber:
    """The model *name*, a transformers folder or Hub id, or a CTranslate2 folder, on *device*.

    *tell* is `load_model`'s. Raises UsageError when it cannot be loaded, or its tokenizer does not know *language*.
    """
    tokenizer = open_tokenizer(model_file(name, "tokenizer.json"), name)
    prompt = [_special(tokenizer, token.format(language=language), name) for token in _PROMPT]
    if is_ctranslate2(name):
        model = _load_ctranslate2(name, device)
        return _CTranslate2Model(name, model.n_mels, model, tokenizer, prompt, beam_size)
    whisper = load_model(name, tell).train(mode=False).to(device=device)
    return _TransformersModel(name, whisper.config.num_mel_bins, whisper, tokenizer, prompt, beam_size, device)


def _load_ctranslate2(name: str, device: torch.device) -> Any:
    try:
        from ctranslate2.models import Whisper  # noqa: PLC0415 - as above

        return Whisper(
            str(expand_home(name)),
            device=device.type,
            device_index=device.index or 0,
            intra_threads=torch.get_num_threads(),
        )
    except ImportError as error:
        raise UsageError(f"{name} needs CTranslate2: {error}", "pip install ctranslate2") from error
    except (RuntimeError, ValueError) as error:
        raise UsageError(f"{name} cannot be loaded: {error}", "export it again") from error


def _special(tokenizer: Tokenizer, token: str, name: str) -> int:
    token_id = tokenizer.token_to_id(token)
    if token_id is None:
        raise UsageError(f"the tokenizer of {name} has no {token}", "check --model, and the store's --language")
    return int(token_id)


def longest_text(seconds: float) -> int:
    """Labels of a clip of *seconds* at most: more than anybody speaks; a model that goes on and on is cut off there."""
    return min(MAX_LABELS, round(25 * seconds) + 2 * len(_PROMPT))

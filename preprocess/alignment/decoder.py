"""What a Whisper model in CTranslate2's format hears in pieces of speech. The one module here that knows CTranslate2.

Greedy and without timestamps: what is heard is only laid against a known text. Two machines may hear a word
differently, which is why cuts are made once and kept.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from shared.command.commands import install_line
from shared.errors import UsageError
from shared.system.foreign_files import read_text
from shared.text import open_tokenizer

Window = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""float32 mono at 16 kHz to the model's input, float32 `[num_mel_bins, frames of its window]`."""
BATCH = 8
"""Pieces decoded at once; a minute of speech costs a model of any size a few MB more."""
_MAX_TOKENS = 224
"""Of one piece: German read fast has 5 a second."""
_REMEDY = (
    "give a folder with model.bin and tokenizer.json, such as: hf download Systran/faster-whisper-base --local-dir base"
)


class WhisperDecoder:
    """The model in *folder*, told *language*, on *device* with *threads* threads. *window_of* gives, for its number of
    mel bins, what makes its input.

    Raises UsageError where the folder holds no such model, or CTranslate2 is not installed.
    """

    def __init__(
        self, folder: Path, language: str, window_of: Callable[[int], Window], *, threads: int = 0, device: str = "auto"
    ) -> None:
        self._tokenizer = _tokenizer(folder)
        names = ("<|startoftranscript|>", f"<|{language}|>", "<|transcribe|>", "<|notimestamps|>")
        self._prompt = [_token(self._tokenizer, name, folder) for name in names]
        self._model = _open(folder, threads, device)
        self._window = window_of(self._model.n_mels)

    def __call__(self, pieces: Sequence[NDArray[np.float32]]) -> list[str]:
        """What is said in each of *pieces*, float32 mono at 16 kHz, of at most the model's window."""
        return [text for first in range(0, len(pieces), BATCH) for text in self._batch(pieces[first : first + BATCH])]

    def _batch(self, pieces: Sequence[NDArray[np.float32]]) -> list[str]:
        from ctranslate2 import StorageView  # noqa: PLC0415 - an extra, as in `_open`

        windows = np.stack([self._window(piece) for piece in pieces])
        found = self._model.generate(
            StorageView.from_array(windows), [self._prompt] * len(pieces), beam_size=1, max_length=_MAX_TOKENS
        )
        return [self._tokenizer.decode(result.sequences_ids[0]) for result in found]


def model_fingerprint(folder: Path) -> str:
    """16 digits for the model's weights and tokenizer. Raises UsageError where they cannot be read."""
    digest = hashlib.blake2b(digest_size=8)
    try:
        for name in ("model.bin", "tokenizer.json"):
            with (folder / name).open("rb") as file:
                digest.update(hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest())
    except OSError as error:
        raise UsageError(f"{folder} holds no CTranslate2 model: {name}: {error.strerror}", _REMEDY) from error
    return digest.hexdigest()


def _tokenizer(folder: Path) -> Tokenizer:
    try:
        text = read_text(folder / "tokenizer.json")
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder} holds no CTranslate2 model with a tokenizer: {error}", _REMEDY) from error
    return open_tokenizer(text, str(folder))


def _token(tokenizer: Tokenizer, name: str, folder: Path) -> int:
    number = tokenizer.token_to_id(name)
    if number is None:
        raise UsageError(f"the model {folder} has no {name}", "name a multilingual model, or another --language")
    return int(number)


def _open(folder: Path, threads: int, device: str) -> Any:
    try:
        from ctranslate2.models import Whisper  # noqa: PLC0415 - an extra: only who cuts recordings needs it
    except ImportError as error:
        raise UsageError(f"cutting long recordings needs CTranslate2: {error}", install_line("align")) from error
    try:
        return Whisper(str(folder), device=device, intra_threads=threads)
    except (RuntimeError, ValueError) as error:
        raise UsageError(f"{folder} is no Whisper model of CTranslate2's: {error}", _REMEDY) from error

"""The files around an export's weights: what the checkpoint asks them to say.

CTranslate2's converter leaves some of them to chance: the mel bins (faster-whisper takes 80 where nothing says
otherwise), the alignment heads and the language ids. So they are written from here; `problems` compares.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from shared.errors import UsageError
from shared.models.assembled import for_old_readers
from shared.models.tokens import vocabulary
from shared.schema import HOP_LENGTH, N_FFT, SAMPLING_RATE, WINDOW_SAMPLES
from shared.system import foreign_files as foreign
from shared.system.read_errors import refuse_unreadable
from trainer.model.alignment import Alignment, choose
from trainer.model.files import ModelFiles
from trainer.model.pointers import HEADS
from trainer.model.shape import ModelShape

RECORD = "export.json"
"""What an export was made from, and the digests of its files."""
FILES = ("model.bin", "config.json", "tokenizer.json", "preprocessor_config.json", "vocabulary.json")
"""What an export consists of, besides `RECORD` and its README.md."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A transformers folder: its sizes, and the content of its files as far as an export depends on them.

    *mended* as `ModelFiles` has it: what in its files pointed at nothing.
    """

    folder: Path
    shape: ModelShape
    generation: Mapping[str, Any]
    preprocessor: Mapping[str, Any]
    tokenizer_json: str
    alignment: Alignment
    mended: Sequence[str] = ()

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The checkpoint in *folder*. Raises UsageError where there is none, or a file is missing or damaged."""
        if not folder.is_dir():
            raise UsageError(f"{folder} is not a folder", "--checkpoint names a model's folder, such as OUTPUT/best")
        files = ModelFiles.read(str(folder))
        # Tokenizers of before 0.20 read no others; faster-whisper is content with such.
        text = for_old_readers(files.tokenizer_json)
        shape = ModelShape.from_config(files.config)
        alignment = choose(files.generation.get(HEADS), shape)
        return cls(folder, shape, files.generation, files.preprocessor, text, alignment, files.mended)

    def fingerprint(self) -> str:
        """Identifies the checkpoint by the contents of its files."""
        digest = hashlib.blake2b(digest_size=16)
        for path in sorted(self.folder.iterdir()):
            if path.is_file() and not path.name.startswith(".") and path.suffix != ".md":
                digest.update(f"{path.name} {file_digest(path)}\n".encode())
        return digest.hexdigest()


def _language_ids(checkpoint: Checkpoint) -> list[int]:
    """Ids of the language tokens, in order: those of `lang_to_id`, else Whisper's languages in the tokenizer."""
    named = checkpoint.generation.get("lang_to_id")
    if named:
        return sorted(int(value) for value in named.values())
    from transformers.models.whisper.tokenization_whisper import LANGUAGES  # noqa: PLC0415 - seconds, for few models

    ids = vocabulary(checkpoint.tokenizer_json)
    return sorted(ids[f"<|{language}|>"] for language in LANGUAGES if f"<|{language}|>" in ids)


def require_language(checkpoint: Checkpoint, language: str) -> None:
    """Raises UsageError where *checkpoint* has no token for *language*, or faster-whisper does not know it."""
    from transformers.models.whisper.tokenization_whisper import LANGUAGES  # noqa: PLC0415 - as above

    knows_not = None if f"<|{language}|>" in vocabulary(checkpoint.tokenizer_json) else str(checkpoint.folder)
    # Whose list is the same.
    if who := knows_not or (None if language in LANGUAGES else "faster-whisper"):
        raise UsageError(
            f"{who} does not know the language {language!r}", "--language names one by its code: de, en, fr"
        )


def expected_config(checkpoint: Checkpoint) -> dict[str, Any]:
    """The export's `config.json`: what CTranslate2 suppresses, aligns with and knows as languages.

    Numbers that no token has are left out: CTranslate2 would write beside its memory with them.
    """
    size = checkpoint.shape.vocab_size
    ids = {
        "lang_ids": _language_ids(checkpoint),
        "suppress_ids": checkpoint.generation.get("suppress_tokens") or [],
        "suppress_ids_begin": checkpoint.generation.get("begin_suppress_tokens") or [],
    }
    kept = {name: [number for number in numbers if 0 <= number < size] for name, numbers in ids.items()}
    return {HEADS: list(checkpoint.alignment.heads)} | kept


def expected_preprocessor(checkpoint: Checkpoint) -> dict[str, Any]:
    """The export's `preprocessor_config.json`: the checkpoint's, with all five figures that faster-whisper reads."""
    return dict(checkpoint.preprocessor) | {
        "feature_size": checkpoint.shape.num_mel_bins,
        "sampling_rate": SAMPLING_RATE,
        "hop_length": HOP_LENGTH,
        "n_fft": N_FFT,
        "chunk_length": WINDOW_SAMPLES // SAMPLING_RATE,
    }


def digests(folder: Path) -> dict[str, str]:
    """The digest of every one of `FILES` in *folder*."""
    return {name: file_digest(folder / name) for name in FILES}


def file_digest(path: Path) -> str:
    """Identifies the content of *path*."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def read_export_record(folder: Path) -> dict[str, Any]:
    """What `RECORD` of an export says; {} where there is none, or it is damaged."""
    value = read_json(folder / RECORD)
    return value if isinstance(value, dict) else {}


def read_json(path: Path) -> Any:
    """The content of *path*; None where there is none, or it is damaged. Raises UnreadableError."""
    try:
        return foreign.read_json(path)
    except (OSError, ValueError) as error:
        refuse_unreadable(path, error)
        return None

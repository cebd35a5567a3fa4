"""The folders that a run writes to: held by one run at a time, with room for what it will write."""

import shutil
from contextlib import AbstractContextManager
from pathlib import Path

from shared.errors import ResourceLimitError, UsageError
from shared.models.kinds import refuse_pointer
from shared.models.model_files import model_path
from shared.system.durable import json_bytes
from shared.system.foreign_files import parse_json
from shared.system.locks import hold
from shared.units import format_bytes
from trainer.model.files import ModelFiles
from trainer.settings import TrainerSettings

LOCK = ".lock"
LOGS_LOCK = ".training.lock"
_SMALL_FILES = (
    "added_tokens.json",
    "config.json",
    "generation_config.json",
    "merges.txt",
    "normalizer.json",
    "preprocessor_config.json",
    "processor_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
)
"""What a model folder has besides its weights."""
_NOT_OURS = {"torch_dtype", "quantization_config"}
"""Entries of a config.json that tell how other weights than the saved ones were stored."""


def hold_output(folder: Path) -> AbstractContextManager[None]:
    """Makes *folder* and holds it for this run alone. Raises as `hold` does."""
    return hold(folder, "--output", LOCK)


def hold_logs(folder: Path) -> AbstractContextManager[None]:
    """Makes *folder*, whose log files are then this training's alone. Raises as `hold` does."""
    return hold(folder, "LOG_DIR", LOGS_LOCK)


def log_folder(settings: TrainerSettings, output: Path) -> Path:
    """LOG_DIR where one is named, else the output folder."""
    return settings.logs if settings.log_dir or settings.base_dir else output


def check_room(folder: Path, num_bytes: int, count: int) -> None:
    """Raises ResourceLimitError where *folder*'s disk has no room for *count* checkpoints of *num_bytes* each."""
    free = shutil.disk_usage(folder).free
    if free < count * num_bytes:
        message = (
            f"a checkpoint takes {format_bytes(num_bytes)}, and {count} will come before old ones make room: the disk "
            f"of {folder} has {format_bytes(free)} free"
        )
        raise ResourceLimitError(message, "make room, lower --keep-latest, or name another --output")


def small_files(model: str, *, tied: bool = True) -> dict[str, bytes]:
    """The small files of *model* (folder or Hub id) by name, those among them that it lacks itself.

    *tied*: the output projection is the embedding, as config.json has it; else config.json is made to say otherwise.

    Raises UsageError when one is damaged, or missing and not to be made of the others.
    """
    files = ModelFiles.read(model)
    paths = {name: model_path(model, name) for name in _SMALL_FILES}
    own = {name: _whole(path) for name, path in paths.items() if path is not None}
    if files.mended:
        own.pop("generation_config.json", None)
    config = {name: value for name, value in files.config.items() if name not in _NOT_OURS}
    config |= {} if tied else {"tie_word_embeddings": False}
    # The weights are float32, whatever those were that training began with.
    return files.as_bytes() | own | {"config.json": json_bytes(config | {"dtype": "float32"})}


def _whole(path: Path) -> bytes:
    """The content of *path*, which goes into every checkpoint, read by nobody before. Raises UsageError for damage."""
    content = path.read_bytes()
    refuse_pointer(path, content)
    try:
        if path.suffix == ".json":
            parse_json(content)
    except ValueError as error:
        raise UsageError(f"{path} is damaged: {error}", "download the model again") from error
    return content

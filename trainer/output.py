"""The folders that a run writes to: held by one run at a time, with room for what it will write."""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.durable import json_bytes
from shared.errors import ResourceLimitError, StoreBusyError, UsageError
from shared.model_files import model_file
from shared.units import format_bytes
from trainer.settings import TrainerSettings

LOCK = ".lock"
LOGS_LOCK = ".training.lock"
LOCKS = Path("/proc/locks")
SMALL_FILES = (
    "added_tokens.json",
    "config.json",
    "generation_config.json",
    "merges.txt",
    "normalizer.json",
    "preprocessor_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
)
"""What a model folder has besides its weights."""
NEEDED = {"config.json", "tokenizer.json"}


@contextmanager
def hold_output(folder: Path) -> Iterator[None]:
    """Makes *folder* and holds it. Raises StoreBusyError when another run does, UsageError where it cannot be made."""
    with _hold(folder, LOCK, "--output"):
        yield


@contextmanager
def hold_logs(folder: Path) -> Iterator[None]:
    """Makes *folder*, whose log files are then this training's alone. Raises as `hold_output` does."""
    with _hold(folder, LOGS_LOCK, "LOG_DIR"):
        yield


@contextmanager
def _hold(folder: Path, lock: str, name: str) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise UsageError(f"cannot make {folder}: {error.strerror}", f"name a writable {name}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            message = f"another run writes to {folder}{_holder(descriptor)}"
            raise StoreBusyError(message, f"wait for it, end it, or name another {name}") from error
        yield
    finally:
        os.close(descriptor)


def _holder(descriptor: int) -> str:
    """Which process has locked the open file, in brackets; nothing where the system does not tell."""
    status = os.fstat(descriptor)
    file = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    # proc_locks(5): number, kind, mode, access, process, file, and the range.
    locks = (line.split() for line in LOCKS.read_text().splitlines()) if LOCKS.exists() else ()
    return next((f" (process {entry[4]})" for entry in locks if entry[1] == "FLOCK" and entry[5] == file), "")


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


def small_files(model: str) -> dict[str, bytes]:
    """The small files of *model* (folder or Hub id) by name. Raises UsageError when one that is needed is missing."""
    found = {}
    for name in SMALL_FILES:
        try:
            found[name] = model_file(model, name).encode()
        except UsageError:
            if name in NEEDED:
                raise
    config = {name: value for name, value in json.loads(found["config.json"]).items() if name != "torch_dtype"}
    # The weights are float32, whatever those were that training began with.
    return found | {"config.json": json_bytes(config | {"dtype": "float32"})}

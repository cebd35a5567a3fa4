"""A checkpoint as a CTranslate2 folder that `faster_whisper.WhisperModel` and RealtimeSTT load.

The weights are converted by CTranslate2 itself, the files around them are `files`'. A folder is written aside
and renamed, so that one that exists is whole.
"""

import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import torch

from shared.errors import ResourceLimitError, SpeechPrepError, UsageError
from shared.system.durable import fsync_directory, fsync_tree, json_bytes
from shared.system.locks import hold
from shared.system.read_errors import is_of_system
from shared.text import open_tokenizer
from shared.units import format_bytes
from trainer.exporting.files import (
    RECORD,
    Checkpoint,
    digests,
    expected_config,
    expected_preprocessor,
    read_export_record,
)
from trainer.model.whisper import load_model

PARTIAL = ".partial-"
_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "int16": 2}
_REST = 64 << 20
"""Room for what is not weights."""


def export_folders(output: Path, quantizations: Sequence[str]) -> dict[str, Path]:
    """Where each quantisation lies: *output* itself for one, a folder below it for each of several."""
    if len(quantizations) == 1:
        return {quantizations[0]: output}
    return {name: output / name for name in quantizations}


def convert(checkpoint: Checkpoint, folder: Path, quantization: str) -> bool:
    """Makes the export *folder*, complete or not at all; False where it is there already, from the same checkpoint.

    Raises UsageError where *folder* holds something else, ResourceLimitError where its disk has no room,
    SpeechPrepError where CTranslate2 cannot convert the model; StoreBusyError where another export makes it now.
    """
    identity = {"checkpoint": checkpoint.fingerprint(), "quantization": quantization}
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        _require_same(folder, identity)
        return False
    # Whoever holds the folder, empty so far, owns what lies beside it; its name goes to what was made.
    with hold(folder, "--output"):
        if any(folder.iterdir()):
            _require_same(folder, identity)
            return False
        _make(folder, checkpoint, identity)
    return True


def require_room(checkpoint: Checkpoint, folders: Mapping[str, Path]) -> None:
    """Raises ResourceLimitError where the disks of *folders* have no room for all of those that are yet to be made.

    UsageError where one cannot be made, or written to.
    """
    needed: dict[int, int] = {}
    for quantization, folder in folders.items():
        if folder.is_dir() and any(folder.iterdir()):
            continue
        is_there = folder.exists()
        with hold(folder, "--output"):
            disk = folder.stat().st_dev
            _try_writing(folder)
            needed[disk] = needed.get(disk, 0) + _bytes_of(checkpoint, quantization)
            free = shutil.disk_usage(folder).free
        if not is_there:
            folder.rmdir()
        if free < needed[disk]:
            size = format_bytes(needed[disk])
            message = f"an export as {', '.join(folders)} takes {size}, {folder.parent} has {format_bytes(free)} free"
            raise ResourceLimitError(message, "make room, or name another --output, or fewer --quantization")


def _try_writing(folder: Path) -> None:
    """Raises UsageError where nothing can be made in *folder*, or beside it, where an export is made."""
    try:
        for where in (folder, folder.parent):
            with TemporaryFile(dir=where):
                pass
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}", "name another --output") from error


def _make(folder: Path, checkpoint: Checkpoint, identity: Mapping[str, str]) -> None:
    aside = folder.parent / f"{PARTIAL}{folder.name}"
    shutil.rmtree(aside, ignore_errors=True)
    try:
        _fill(aside, checkpoint, identity)
        fsync_tree(aside)
        aside.rename(folder)
        fsync_directory(folder.parent)
    except BaseException:
        with suppress(OSError):
            folder.rmdir()
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def folder_bytes(folder: Path) -> int:
    """The bytes of the files in *folder*."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


def _require_same(folder: Path, identity: Mapping[str, str]) -> None:
    found = read_export_record(folder) if folder.is_dir() else {}
    if all(found.get(name) == value for name, value in identity.items()):
        return
    of = "this" if found.get("checkpoint") == identity["checkpoint"] else "another"
    holds = f"an export of {of} checkpoint as {found.get('quantization')}" if found else "something else"
    raise UsageError(f"{folder} exists and holds {holds}", "name another --output, or remove it")


def _bytes_of(checkpoint: Checkpoint, quantization: str) -> int:
    return checkpoint.shape.parameter_count * _BYTES.get(quantization, 1) + _REST


def _converter(checkpoint: Checkpoint) -> Any:
    """CTranslate2's own, which is given the model that is trained and checked, and not what it would load itself."""
    from ctranslate2.converters import TransformersConverter  # noqa: PLC0415 - imports transformers
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415 - as above

    tokenizer = open_tokenizer(checkpoint.tokenizer_json, str(checkpoint.folder))

    class Converter(TransformersConverter):  # type: ignore[misc]  # CTranslate2 ships no types
        def load_model(self, *_: Any, **__: Any) -> Any:
            return load_model(str(checkpoint.folder))

        def load_tokenizer(self, *_: Any, **__: Any) -> Any:
            make: Any = PreTrainedTokenizerFast
            return make(tokenizer_object=tokenizer)

    return Converter(str(checkpoint.folder))


def _fill(folder: Path, checkpoint: Checkpoint, identity: Mapping[str, str]) -> None:
    quantization = identity["quantization"]
    try:
        with torch.no_grad():
            _converter(checkpoint).convert(str(folder), quantization=quantization)
    except UsageError:
        raise
    except Exception as error:  # the converter raises what the damage happens to break
        if is_of_system(error):
            raise
        message = f"CTranslate2 cannot convert {checkpoint.folder} to {quantization}: {error}"
        raise SpeechPrepError(message, "check that the checkpoint opens with transformers") from error
    (folder / "config.json").write_bytes(json_bytes(expected_config(checkpoint)))
    (folder / "preprocessor_config.json").write_bytes(json_bytes(expected_preprocessor(checkpoint)))
    (folder / "tokenizer.json").write_text(checkpoint.tokenizer_json, encoding="utf-8")
    (folder / RECORD).write_bytes(json_bytes({**identity, "digests": digests(folder)}))
